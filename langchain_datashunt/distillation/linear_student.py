"""Students on frozen embeddings: the serving model's own head, moved as far as the lessons ask."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from langchain_core.embeddings import Embeddings

from langchain_datashunt.distillation.sklearn_student import fit_on_soft_labels
from langchain_datashunt.distillation.stages import Lessons, Stage
from langchain_datashunt.errors import MissingExtraError
from langchain_datashunt.small_models import EmbeddingClassifier, LinearHead
from langchain_datashunt.types import FloatArray, SmallModel

INVERSE_PENALTY = 10.0
"""As `default_head`: how far one unit of weight may pull the head."""

_MOST_STEPS = 1000


class EmbeddingStudent:
    """A student of an `EmbeddingClassifier`: another head on the same frozen encoder.

    A `LinearHead` starts as a copy of the serving one and is pulled back to it (see `moved_head`). Any other head is a
    scikit-learn classifier, and is fitted anew.
    """

    def __init__(self, small: EmbeddingClassifier) -> None:
        self.small = small
        self._remembered = _RememberedEmbeddings(small)

    def fit(self, lessons: Lessons) -> tuple[EmbeddingClassifier, dict[str, Any]]:
        """Return the student, and nothing more to say of its training."""
        head = self._head(lessons.together())
        embeddings, version = self.small.embeddings, self.small.embeddings_version
        return EmbeddingClassifier(embeddings=embeddings, head=head, embeddings_version=version), {}

    def fit_to_screen(self, rows: Stage) -> SmallModel:
        """Return a student of these rows that embeds no text twice."""
        return EmbeddingClassifier(
            embeddings=self._remembered, head=self._head(rows), embeddings_version=self.small.embeddings_version
        )

    def _head(self, rows: Stage) -> Any:
        vectors = np.array(self._remembered.embed_documents(rows.inputs))
        if isinstance(self.small.head, LinearHead):
            return moved_head(self.small.head, vectors, rows.targets, rows.weights)
        return fit_on_soft_labels(self.small.head, replace(rows, inputs=vectors), self.small.head.classes_)


class _RememberedEmbeddings(Embeddings):
    """The vectors of a classifier's encoder, computed once for each text: out-of-fold training asks six times."""

    def __init__(self, small: EmbeddingClassifier) -> None:
        self.small = small
        self.vectors: dict[str, list[float]] = {}

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        new = list(dict.fromkeys(text for text in texts if text not in self.vectors))
        if new:
            self.vectors.update(zip(new, self.small.vectors(new).tolist(), strict=True))
        return [self.vectors[text] for text in texts]

    def embed_query(self, text: str) -> list[float]:
        return self.embed_documents([text])[0]


def moved_head(head: LinearHead, vectors: FloatArray, targets: FloatArray, weights: FloatArray) -> LinearHead:
    """Return the head of least weighted cross-entropy to the targets, plus its squared distance from `head`.

    It minimises ``sum_i w_i CE(q_i, p_i) + ||W - W_0||^2 / (2 C)`` with C = 10, W_0 being the coefficients of `head`:
    with no lessons it stays what it was. The problem is convex, and is solved by L-BFGS.

    Args:
        head: The serving model's.
        vectors: ``(n, d)``.
        targets: ``(n, k)`` distributions.
        weights: ``(n,)``.
    """
    try:
        from scipy.optimize import minimize  # noqa: PLC0415  an extra
    except ImportError as error:
        raise MissingExtraError("training a head", "fit") from error
    start = np.column_stack([np.array(head.coefficients), np.array(head.intercepts)])
    design = np.column_stack([vectors, np.ones(len(vectors))])
    pulled_back = np.append(np.ones(start.shape[1] - 1), 0.0) / INVERSE_PENALTY

    def loss_and_gradient(flat: FloatArray) -> tuple[float, FloatArray]:
        scores = design @ flat.reshape(start.shape).T
        scores -= scores.max(axis=1, keepdims=True)
        log_rows = scores - np.log(np.exp(scores).sum(axis=1, keepdims=True))
        moved = flat.reshape(start.shape) - start
        loss = -float(weights @ (targets * log_rows).sum(axis=1)) + 0.5 * float((pulled_back * moved**2).sum())
        gradient = (weights[:, None] * (np.exp(log_rows) - targets)).T @ design + pulled_back * moved
        return loss, gradient.ravel()

    found = minimize(
        loss_and_gradient, start.ravel(), jac=True, method="L-BFGS-B", options={"maxiter": _MOST_STEPS}
    ).x.reshape(start.shape)
    return LinearHead(classes=head.classes, coefficients=found[:, :-1].tolist(), intercepts=found[:, -1].tolist())
