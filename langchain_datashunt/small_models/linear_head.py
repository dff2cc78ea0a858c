"""Logistic regression as plain numbers: what `EmbeddingClassifier` keeps of its fitted head."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from langchain_core.load.serializable import Serializable
from pydantic import ConfigDict, FiniteFloat, PrivateAttr, ValidationError

from langchain_datashunt.errors import SmallModelError
from langchain_datashunt.small_models.answers import unique_names
from langchain_datashunt.small_models.fingerprints import fingerprint
from langchain_datashunt.types import FloatArray


class LinearHead(Serializable):
    """``softmax(vectors @ coefficients.T + intercepts)``: needs numpy only, and its JSON holds every digit."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    classes: tuple[str, ...]
    """The labels, in column order."""

    coefficients: tuple[tuple[FiniteFloat, ...], ...]
    """One row a class, one column a dimension of the vectors."""

    intercepts: tuple[FiniteFloat, ...]
    """One a class."""

    _coefficients: FloatArray = PrivateAttr()
    _intercepts: FloatArray = PrivateAttr()

    def __init__(self, **fields: Any) -> None:
        """Take classes and numbers.

        Raises:
            SmallModelError: The numbers of classes, coefficient rows and intercepts differ, or a number is not finite.
        """
        try:
            super().__init__(**fields)
        except ValidationError as error:
            raise SmallModelError(f"no linear head can be made of this: {error}") from error
        unique_names(self.classes)
        widths = sorted({len(row) for row in self.coefficients})
        if not len(self.classes) == len(self.coefficients) == len(self.intercepts) or len(widths) != 1:
            raise SmallModelError(
                f"{len(self.classes)} classes need as many intercepts, and as many coefficient rows of one width; got "
                f"{len(self.intercepts)} intercepts and {len(self.coefficients)} rows of widths {widths}"
            )
        self._coefficients = np.array(self.coefficients)
        self._intercepts = np.array(self.intercepts)

    @classmethod
    def of_logistic_regression(cls, fitted: Any) -> Self:
        """Return the head of a fitted ``sklearn.linear_model.LogisticRegression``."""
        coefficients, intercepts = np.asarray(fitted.coef_, float), np.asarray(fitted.intercept_, float)
        if len(fitted.classes_) == 2:  # noqa: PLR2004  a binary fit holds the second class' row; the first's is zero
            coefficients = np.vstack([np.zeros_like(coefficients), coefficients])
            intercepts = np.concatenate([[0.0], intercepts])
        return cls(
            classes=unique_names(fitted.classes_), coefficients=coefficients.tolist(), intercepts=intercepts.tolist()
        )

    @classmethod
    def is_lc_serializable(cls) -> bool:
        """Return True: it is plain numbers."""
        return True

    @property
    def classes_(self) -> tuple[str, ...]:
        """The labels, in column order."""
        return self.classes

    @property
    def version(self) -> str:
        """Identity, made of classes and numbers."""
        return f"LinearHead-{fingerprint((list(self.classes), self._coefficients, self._intercepts))}"

    def predict_proba(self, vectors: FloatArray) -> FloatArray:
        """Return the ``(n, k)`` probabilities of ``(n, d)`` vectors.

        Raises:
            SmallModelError: The vectors have another width.
        """
        if vectors.ndim != 2 or vectors.shape[1] != self._coefficients.shape[1]:  # noqa: PLR2004  rows and columns
            raise SmallModelError(
                f"this head reads vectors of {self._coefficients.shape[1]} dimensions; got shape {vectors.shape}: "
                "is this the encoder that it was fitted on?"
            )
        scores = vectors @ self._coefficients.T + self._intercepts
        exponentials = np.exp(scores - scores.max(axis=1, keepdims=True))
        probabilities: FloatArray = exponentials / exponentials.sum(axis=1, keepdims=True)
        return probabilities
