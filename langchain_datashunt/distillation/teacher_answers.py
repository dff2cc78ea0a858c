"""What a teacher said about an input, as a distribution over the classes, and how sure it is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from langchain_datashunt.types import FloatArray, HardSample


class TeacherAnswer(NamedTuple):
    """A teacher's answer.

    Attributes:
        distribution: ``(k,)`` over the classes, summing to 1.
        confidence: In its most probable class, in [0, 1].
    """

    distribution: FloatArray
    confidence: float


def certain(column: int, width: int) -> TeacherAnswer:
    """Return the answer of a person: one class, without doubt."""
    row = np.zeros(width)
    row[column] = 1.0
    return TeacherAnswer(row, 1.0)


def teacher_answer(sample: HardSample, columns: Mapping[str, int], prior: float) -> TeacherAnswer | None:
    """Return what the teacher of a record says; None where it names none of the classes.

    * Where the reply's log-probabilities told the labels' probabilities, these are the distribution. The confidence is
      the largest, as it was told: what went to no class (an option to escape) is doubt.
    * Else the distribution is how often the same prompt got which label (`HardSample.answers`), and the confidence is
      `prior` times the largest share. Replies that agree never raise it above `prior`: a model that is asked again at
      temperature 0 repeats itself.

    Args:
        sample: A record whose label may train.
        columns: The column of each class.
        prior: The confidence in a reply of which nothing else is known, in (0, 1].
    """
    if sample.teacher_probabilities is not None:
        told = dict(zip(sample.classes, sample.teacher_probabilities, strict=True))
        return _answer(told, columns, certainty=1.0)
    counts = dict(sample.answers) or {str(sample.label): 1}
    total = sum(counts.values())
    return _answer({label: count / total for label, count in counts.items()}, columns, certainty=prior)


def _answer(shares: Mapping[str, float], columns: Mapping[str, int], certainty: float) -> TeacherAnswer | None:
    row = np.zeros(len(columns))
    for label, share in shares.items():
        if label in columns:
            row[columns[label]] = share
    named = float(row.sum())
    return TeacherAnswer(row / named, certainty * float(row.max())) if named > 0 else None
