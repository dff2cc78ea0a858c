"""Which student learns from which serving model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from langchain_datashunt.distillation.linear_student import EmbeddingStudent
from langchain_datashunt.distillation.sklearn_student import SklearnStudent
from langchain_datashunt.distillation.stages import Lessons, Stage
from langchain_datashunt.distillation.transformers_student import TransformersStudent
from langchain_datashunt.distillation.transformers_training import TransformersTraining
from langchain_datashunt.errors import DistillationError
from langchain_datashunt.small_models import EmbeddingClassifier, OnnxClassifier, TransformersClassifier
from langchain_datashunt.types import SmallModel

Progress = Callable[[str, int, int], None]
"""Is told the part of the work, the steps done and the steps in all."""


class Student(Protocol):
    """Learns from lessons; made of a serving model, which it leaves as it is."""

    def fit(self, lessons: Lessons) -> tuple[SmallModel, dict[str, Any]]:
        """Return the finished student, and what its training says of itself."""

    def fit_to_screen(self, rows: Stage) -> SmallModel:
        """Return a quick student of these rows, which judges rows that it has not seen."""


def student_of(
    small: SmallModel, training: TransformersTraining | None, progress: Progress | None, seed: int
) -> Student:
    """Return the student of a serving model.

    Raises:
        DistillationError: No student can be made of such a model, or `training` does not go with it.
    """
    if isinstance(small, TransformersClassifier):
        if training is None:
            raise DistillationError(
                "a TransformersClassifier is trained for minutes and written to a folder: give "
                "training=TransformersTraining(folder)"
            )
        return TransformersStudent(small, training, progress, seed)
    if training is not None:
        raise DistillationError(f"training= is for a TransformersClassifier; got {type(small).__name__}")
    if isinstance(small, EmbeddingClassifier):
        return EmbeddingStudent(small)
    if hasattr(small, "get_params") and hasattr(small, "fit"):
        return SklearnStudent(small)
    if isinstance(small, OnnxClassifier):
        raise DistillationError(
            "an OnnxClassifier cannot be trained, so no loop can run where one is promoted. In Python: distil the "
            "TransformersClassifier that it was exported from, export the student with export_onnx, let the gate judge "
            "the export (PromotionGate.judge), and add and promote that (the lines stand in docs/registry.md)"
        )
    raise DistillationError(
        f"no student can be made of {type(small).__name__}: distil a scikit-learn classifier, an EmbeddingClassifier "
        "or a TransformersClassifier"
    )
