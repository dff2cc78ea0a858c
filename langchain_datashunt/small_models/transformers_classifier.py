"""A Hugging Face sequence classifier as a small model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import PrivateAttr

from langchain_datashunt.errors import SmallModelError
from langchain_datashunt.small_models.answers import probability_rows, unique_names
from langchain_datashunt.small_models.tokens import checked_texts
from langchain_datashunt.small_models.torch_text_model import TorchTextModel
from langchain_datashunt.types import FloatArray


class TransformersClassifier(TorchTextModel):
    """A fine-tuned sequence classifier, from a folder or the Hugging Face hub, run by PyTorch.

    Texts are sorted by length, run in batches, and answered in the order they came; the softmax is taken in float64.
    A text's probabilities do not depend on what else is in the batch, up to rounding (about 1e-6 in float32).

    Example::

        small = TransformersClassifier("models/reviews", truncation="head_tail")
        small.predict_proba(["Works exactly as described."])   # array([[0.02, 0.98]])

    Raises:
        SmallModelError: At the first use: the folder holds no trained classifier, names no labels and none are given,
            or is a multi-label classifier, whose scores do not sum to 1.
        MissingExtraError: At the first use: torch or transformers is not installed.
    """

    labels: tuple[str, ...] | None = None
    """The label of each output, in order; None takes the names in the model's ``config.json``."""

    _classes: tuple[str, ...] | None = PrivateAttr(default=None)

    def __init__(self, path_or_hub_id: str | Path, *, labels: Sequence[Any] | None = None, **settings: Any) -> None:
        """Name a model and its settings (see the fields); nothing is loaded yet.

        Raises:
            SmallModelError: A setting is unknown or out of range, or two labels have one name.
        """
        super().__init__(path_or_hub_id, labels=None if labels is None else unique_names(labels), **settings)

    @property
    def classes_(self) -> tuple[str, ...]:
        """The labels, in column order; read from the configuration without loading the weights."""
        if self._classes is None:
            self._classes = _labels(self._config(), self.labels, self.path_or_hub_id)
        return self._classes

    def predict_proba(self, inputs: Sequence[str]) -> FloatArray:
        """Return the ``(n, k)`` probabilities of `n` texts.

        Raises:
            InvalidInputError: An input is no string.
            SmallModelError: The model cannot be loaded, or answers nonsense (float16 may overflow to NaN).
        """
        classes = self.classes_
        rows = self._run(checked_texts(inputs), width=len(classes))
        return probability_rows(rows, len(rows), classes)

    def __getstate__(self) -> dict[Any, Any]:
        """Leave out what is read from files."""
        state = super().__getstate__()
        state["__pydantic_private__"]["_classes"] = None
        return state

    def _deciding_settings(self) -> dict[str, Any]:
        return {**super()._deciding_settings(), "classes": self.classes_}

    def _load_network(self, folder: Path) -> Any:
        from transformers import AutoModelForSequenceClassification  # noqa: PLC0415  an extra

        network, found = AutoModelForSequenceClassification.from_pretrained(
            folder, local_files_only=True, output_loading_info=True
        )
        if found["missing_keys"]:
            raise SmallModelError(
                f"{folder} holds no trained sequence classifier: it has no weights for "
                f"{sorted(found['missing_keys'])}; fine-tune it first, or use EmbeddingClassifier.fit"
            )
        return network

    def _read(self, output: Any, attention_mask: Any) -> Any:  # noqa: ARG002  the network has used the mask
        return output.logits.float().cpu().double().softmax(dim=-1)


def _labels(config: dict[str, Any], labels: tuple[str, ...] | None, name: str) -> tuple[str, ...]:
    if config.get("problem_type") == "multi_label_classification":
        raise SmallModelError(f"{name!r} is a multi-label classifier: its scores are no probabilities that sum to 1")
    named = config.get("id2label")
    if named is None:
        if labels is None:
            raise SmallModelError(f"the config.json of {name!r} names no labels (id2label); give labels=[...] in order")
        return labels
    if labels is not None and len(named) != len(labels):
        raise SmallModelError(f"{name!r} has {len(named)} outputs {list(named.values())}; got labels={list(labels)}")
    return labels or unique_names([named[column] for column in sorted(named, key=int)])
