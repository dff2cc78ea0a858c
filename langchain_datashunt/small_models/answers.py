"""What a small model says, checked: its class names and its probability rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from langchain_datashunt.errors import SmallModelError
from langchain_datashunt.types import FloatArray, SmallModel

ROW_SUM_TOLERANCE = 1e-3
"""A row may miss 1 by so much: half-precision models and rounded JSON do."""

NO_SMALL_MODEL = (
    "a small model has classes_ and predict_proba(inputs) -> (n, k), as fitted scikit-learn classifiers have; got {}; "
    "langchain_datashunt.small_models has adapters for transformers, Runnables, embeddings and functions, and "
    "sklearn.calibration.CalibratedClassifierCV gives probabilities to what has none, such as LinearSVC"
)

RANGE_TOLERANCE = 1e-6
"""A probability may leave [0, 1] by so much, as float32 rounding does, and is then clipped."""


def label_name(label: Any) -> str:
    """Return a label as the string that the package calls it by, the same for a numpy scalar and its Python value.

    Raises:
        SmallModelError: It is no string, number or bool.

    Example:
        >>> label_name(np.int64(1)), label_name("positive")
        ('1', 'positive')
    """
    value = label.item() if isinstance(label, np.generic) else label
    if not isinstance(value, str | int | float):
        raise SmallModelError(f"a label is a string, a number or a bool; got {value!r} ({type(value).__name__})")
    return str(value)


def class_names(small: SmallModel) -> tuple[str, ...]:
    """Return the labels of a small model as unique strings, in column order.

    Raises:
        SmallModelError: It has no `predict_proba`; `classes_` is missing (a scikit-learn model that is not fitted), has
            fewer than two entries, holds something that is no label, or two labels with one name.
    """
    if not callable(getattr(small, "predict_proba", None)):
        raise SmallModelError(NO_SMALL_MODEL.format(type(small).__name__))
    classes = getattr(small, "classes_", None)
    if classes is None:
        raise SmallModelError(
            f"{type(small).__name__} has no `classes_`: fit it first, or wrap it in one of the adapters of "
            "langchain_datashunt.small_models with classes=[...]"
        )
    return unique_names(classes)


def unique_names(classes: Sequence[Any]) -> tuple[str, ...]:
    """Return labels as strings.

    Raises:
        SmallModelError: There are fewer than two, or two have one name.
    """
    if isinstance(classes, str):
        raise SmallModelError(f"classes are a list of labels; got the string {classes!r}")
    names = tuple(label_name(label) for label in classes)
    if len(names) < 2:  # noqa: PLR2004  two is what "to classify" means
        raise SmallModelError(f"a classifier has at least two classes; got {list(names)}")
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise SmallModelError(f"each class needs a name of its own; {repeated} stand more than once in {list(names)}")
    return names


def probability_rows(probabilities: Any, n: int, classes: Sequence[str]) -> FloatArray:
    """Return a small model's answer as a float64 array, if it is one probability row an input.

    Args:
        probabilities: What `predict_proba` returned: an array, a torch tensor or a list of rows.
        n: How many inputs were asked.
        classes: The labels, in column order.

    Returns:
        ``(n, k)`` rows, unchanged but for values that rounding has pushed out of [0, 1] by at most 1e-6. No input gives
        ``(0, k)``.

    Raises:
        SmallModelError: It has another shape, holds NaN, leaves [0, 1], or a row does not sum to 1 within 1e-3.
    """
    rows = as_floats(probabilities)
    k = len(classes)
    if n == 0 and rows.size == 0:
        return np.zeros((0, k))
    if rows.shape != (n, k):
        raise SmallModelError(
            f"{n} inputs and the {k} classes {_shown(classes)} need probabilities of shape ({n}, {k}); "
            f"the small model returned shape {rows.shape}"
        )
    _check_each(rows, np.isfinite(rows).all(axis=1), "are not finite numbers")
    inside = (rows >= -RANGE_TOLERANCE) & (rows <= 1 + RANGE_TOLERANCE)
    _check_each(rows, inside.all(axis=1), "leave [0, 1]: are they logits? Apply a softmax first")
    summed = np.abs(rows.sum(axis=1) - 1) <= ROW_SUM_TOLERANCE
    _check_each(rows, summed, f"do not sum to 1 within {ROW_SUM_TOLERANCE}: are they one-vs-rest scores?")
    return np.clip(rows, 0.0, 1.0)


def as_floats(probabilities: Any) -> FloatArray:
    """Return a small model's answer as a float64 array, unchecked.

    Raises:
        SmallModelError: It holds something other than numbers.
    """
    if hasattr(probabilities, "detach"):  # a torch tensor; numpy knows neither bfloat16 nor other devices
        probabilities = probabilities.detach().cpu().double().numpy()
    try:
        return np.asarray(probabilities, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise SmallModelError(
            f"probabilities are an (n, k) array of floats; the small model returned {_clipped(repr(probabilities))}"
        ) from error


def _check_each(rows: FloatArray, good: Any, complaint: str) -> None:
    bad = np.flatnonzero(~good)
    if bad.size:
        first = [round(float(value), 6) for value in rows[bad[0]]]
        raise SmallModelError(
            f"{bad.size} of {len(rows)} probability rows {complaint}; the first is row {bad[0]}: {_shown(first)}"
        )


def _shown(values: Sequence[Any], most: int = 10) -> str:
    listed = list(values)
    return repr(listed) if len(listed) <= most else f"{listed[:most]!r} and {len(listed) - most} more"


def _clipped(text: str, most: int = 200) -> str:
    return text if len(text) <= most else f"{text[:most]}..."
