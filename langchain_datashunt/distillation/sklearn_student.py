"""Scikit-learn students: fitted anew on soft labels, as weighted rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from langchain_datashunt.distillation.stages import Lessons, Stage
from langchain_datashunt.errors import DistillationError, MissingExtraError
from langchain_datashunt.types import SmallModel

MASS_KEPT = 0.99
"""Of each soft label the likeliest classes are learned, up to so much of it; the rest would multiply the rows."""


def fit_on_soft_labels(estimator: Any, lessons: Stage, classes: Sequence[Any]) -> Any:
    """Return a copy of a fitted classifier, fitted anew on soft labels.

    A row with distribution q and weight w becomes one row for each class c, with label c and weight w q_c. For a
    classifier that minimises a weighted log loss that is exactly the cross-entropy to q, which is the Kullback-Leibler
    divergence from q but for a constant. In a pipeline the steps before the classifier see each input once.

    A refit has no memory: what it keeps of the old model comes from the stage *retain*, in which the old model's own
    answers stand.

    Args:
        estimator: A classifier, or a pipeline that ends in one, whose `fit` takes `sample_weight`.
        lessons: What to learn.
        classes: The label of each column of the targets, as the classifier is to know it.

    Raises:
        DistillationError: The classifier takes no weights.
        MissingExtraError: scikit-learn is not installed.
    """
    try:
        from sklearn.base import clone  # noqa: PLC0415  an extra
        from sklearn.pipeline import Pipeline  # noqa: PLC0415  an extra
        from sklearn.utils import _safe_indexing as rows_of  # noqa: PLC0415  an extra; public, for all its name
    except ImportError as error:
        raise MissingExtraError("training a scikit-learn student", "fit") from error
    names = np.asarray(classes)
    rows, columns, weights = weighted_rows(lessons.targets, lessons.weights)
    fresh = clone(estimator)
    if not isinstance(fresh, Pipeline):
        return _fit(fresh, rows_of(lessons.inputs, rows), names[columns], weights)
    name, head = fresh.steps[-1]
    before = fresh[:-1]
    features = before.fit_transform(lessons.inputs, names[lessons.targets.argmax(axis=1)]) if len(before) else None
    taken = rows_of(lessons.inputs if features is None else features, rows)  # arrays, sparse ones, frames, lists
    return Pipeline([*before.steps, (name, _fit(head, taken, names[columns], weights))])


def weighted_rows(targets: Any, weights: Any) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float64]]:
    """Return soft labels as m weighted rows of one class each: their rows, columns and weights.

    The likeliest classes of each row stay, up to `MASS_KEPT` of its distribution, and share its weight anew.
    """
    best_first = np.argsort(-targets, axis=1, kind="stable")
    ordered = np.take_along_axis(targets, best_first, axis=1)
    before = np.cumsum(ordered, axis=1) - ordered
    kept = np.where((before < MASS_KEPT) & (ordered > 0), ordered, 0.0)
    shares = weights[:, None] * kept / kept.sum(axis=1, keepdims=True)
    rows, places = np.nonzero(shares)
    return rows, best_first[rows, places], shares[rows, places]


def _fit(classifier: Any, inputs: Any, labels: Any, weights: Any) -> Any:
    from sklearn.pipeline import Pipeline  # noqa: PLC0415  an extra
    from sklearn.utils.validation import has_fit_parameter  # noqa: PLC0415  an extra

    if isinstance(classifier, Pipeline):
        raise DistillationError(
            "a pipeline that ends in a pipeline cannot be distilled: put the steps of both into one, make_pipeline(...)"
        )
    if not has_fit_parameter(classifier, "sample_weight"):
        raise DistillationError(
            f"{type(classifier).__name__} takes no sample_weight, so it cannot learn soft labels: distil a classifier "
            "whose fit does, such as LogisticRegression"
        )
    return classifier.fit(inputs, labels, sample_weight=weights)


class SklearnStudent:
    """A student of a scikit-learn classifier or pipeline."""

    def __init__(self, small: Any) -> None:
        self.small = small

    def fit(self, lessons: Lessons) -> tuple[Any, dict[str, Any]]:
        """Return the student, and nothing more to say of its training.

        Raises:
            DistillationError: A class would be lost because no row speaks of it.
        """
        rows = lessons.together()
        _, columns, _ = weighted_rows(rows.targets, rows.weights)
        lost = [label for column, label in enumerate(lessons.classes) if column not in set(columns.tolist())]
        if lost:
            raise DistillationError(
                f"no row speaks of the classes {lost}, so the student would lose them: give the rows that trained the "
                "serving model as gold=(inputs, labels)"
            )
        return fit_on_soft_labels(self.small, rows, self.small.classes_), {}

    def fit_to_screen(self, rows: Stage) -> SmallModel:
        """Return a student of these rows."""
        student: SmallModel = fit_on_soft_labels(self.small, rows, self.small.classes_)
        return student
