"""Labels as columns of the probability rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from langchain_datashunt.errors import CalibrationDataError
from langchain_datashunt.small_models import label_name

NO_ANSWER = -1
"""The column of a large model's reply that was no valid answer: it equals no target."""

_MOST_SHOWN = 10
_LONGEST_SHOWN = 60
"""Texts that were given in the place of labels are long."""


def target_columns(labels: Sequence[Any], classes: Sequence[str]) -> NDArray[np.intp]:
    """Return ``(n,)`` columns of true labels.

    Raises:
        CalibrationDataError: A label is none of the classes.
    """
    columns = {label: column for column, label in enumerate(classes)}
    return _looked_up([label_name(label) for label in labels], columns, classes, "labels")


def answer_columns(answers: Sequence[Any], classes: Sequence[str]) -> NDArray[np.intp]:
    """Return ``(n,)`` columns of a large model's parsed answers, `NO_ANSWER` where an answer is None.

    Raises:
        CalibrationDataError: An answer is neither None nor one of the classes.
    """
    names = [None if answer is None else label_name(answer) for answer in answers]
    columns: dict[str | None, int] = {None: NO_ANSWER, **{label: column for column, label in enumerate(classes)}}
    what = "large answers (parse replies first, give None for one that cannot be parsed)"
    return _looked_up(names, columns, classes, what)


def _looked_up(
    names: Sequence[str | None], columns: Mapping[Any, int], classes: Sequence[str], what: str
) -> NDArray[np.intp]:
    unknown = sorted({str(name) for name in names if name not in columns})
    if unknown:
        raise CalibrationDataError(
            f"{what} must be among the small model's classes {_shown(classes)}, found {_shown(unknown)}"
        )
    return np.array([columns[name] for name in names], dtype=np.intp)


def _shown(names: Sequence[str]) -> str:
    shown = [name if len(name) <= _LONGEST_SHOWN else f"{name[:_LONGEST_SHOWN]}..." for name in names[:_MOST_SHOWN]]
    rest = len(names) - _MOST_SHOWN
    return f"{shown}" if rest <= 0 else f"{shown} and {rest} more"
