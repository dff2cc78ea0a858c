"""A Hugging Face sequence classifier as a small model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from langchain_datashunt.errors import SmallModelError
from langchain_datashunt.small_models.folder_classifier import FolderClassifier
from langchain_datashunt.small_models.torch_text_model import TorchTextModel


class TransformersClassifier(FolderClassifier, TorchTextModel):
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

    def __init__(self, path_or_hub_id: str | Path, *, labels: Sequence[Any] | None = None, **settings: Any) -> None:
        """Name a model and its settings (see the fields); nothing is loaded yet.

        Raises:
            SmallModelError: A setting is unknown or out of range, or two labels have one name.
        """
        super().__init__(path_or_hub_id, labels=labels, **settings)

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
