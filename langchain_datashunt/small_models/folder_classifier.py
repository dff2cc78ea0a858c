"""A classifier of texts that is named by where its files are: its labels, and its answers, checked."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import PrivateAttr

from langchain_datashunt.errors import SmallModelError
from langchain_datashunt.small_models.answers import probability_rows, unique_names
from langchain_datashunt.small_models.folder_text_model import FolderTextModel
from langchain_datashunt.small_models.tokens import checked_texts
from langchain_datashunt.types import FloatArray


class FolderClassifier(FolderTextModel):
    """What `TransformersClassifier` and `OnnxClassifier` share: labels, and probability rows that are checked."""

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

    def _deciding_settings(self) -> dict[str, Any]:
        return {**super()._deciding_settings(), "classes": self.classes_}


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
