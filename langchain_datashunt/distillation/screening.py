"""Suspected teacher errors: labels that a student which has not seen them contradicts more than the teacher is sure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from langchain_datashunt.distillation.stages import Stage, joined
from langchain_datashunt.policy.calibration_fitting import fit_temperature
from langchain_datashunt.policy.splitting import hash_inputs
from langchain_datashunt.small_models import class_names, probability_rows
from langchain_datashunt.types import BoolArray, FloatArray, SmallModel

FOLDS = 5

_NEVER_TWO_ROWS = 2 * FOLDS
"""Fewer rows than this are not screened: a fold would hold one, and its student know next to nothing."""

Fit = Callable[[Stage], SmallModel]
"""Trains a student on rows of both stages."""


@dataclass(frozen=True, slots=True)
class SuspectedError:
    """A teacher's label that was left out.

    Attributes:
        id: Of the record.
        input: What was labelled.
        teacher_label: By the teacher.
        teacher_confidence: In [0, 1].
        student_label: What a student says that was trained on the other folds.
        student_probability: Its calibrated probability of that label.
    """

    id: str
    input: Any
    teacher_label: str
    teacher_confidence: float
    student_label: str
    student_probability: float


def suspect_labels(
    acquire: Stage, retain: Stage, classes: tuple[str, ...], fit: Fit
) -> list[tuple[int, SuspectedError]]:
    """Return the rows of `acquire` whose label is more likely the teacher's error than the student's, with why.

    Five students are each trained without one fold of `acquire`, and judge it; equal inputs share a fold, and leave
    `retain` with it (audits that agreed). One temperature calibrates all their probabilities. With p the student's
    probability of a class and c the teacher's confidence, the odds that the student's class is the true one, against
    the teacher's, are ``p_student (1 - c) / (k - 1)`` to ``p_teacher c`` if both err independently and the teacher's
    errors spread evenly over the other k - 1 classes. A label is suspected where they are above 1. Gold labels never
    are, nor are those of a fold without which a single class is left: nobody can be trained to judge it.
    """
    if len(acquire) < _NEVER_TWO_ROWS:
        return []
    targets = acquire.targets.argmax(axis=1)
    probabilities = _out_of_fold(acquire, retain, classes, fit)
    judged = probabilities.any(axis=1)
    if not judged.any():
        return []
    temperature = fit_temperature(probabilities[judged], targets[judged])
    probabilities[judged] = temperature.apply(probabilities[judged])
    rows = np.arange(len(acquire))
    student = probabilities.argmax(axis=1)
    for_student = probabilities[rows, student] * (1 - acquire.confidence) / (len(classes) - 1)
    for_teacher = probabilities[rows, targets] * acquire.confidence
    suspected = (for_student > for_teacher) & (student != targets) & ~acquire.gold & judged
    return [
        (
            int(row),
            SuspectedError(
                id=acquire.ids[row],
                input=acquire.inputs[row],
                teacher_label=classes[targets[row]],
                teacher_confidence=float(acquire.confidence[row]),
                student_label=classes[student[row]],
                student_probability=float(probabilities[row, student[row]]),
            ),
        )
        for row in np.flatnonzero(suspected)
    ]


def _out_of_fold(acquire: Stage, retain: Stage, classes: tuple[str, ...], fit: Fit) -> FloatArray:
    """Return ``(n, k)`` probabilities of `acquire` by students that were not trained on them; 0 where nobody judges."""
    hashes, retained = hash_inputs(acquire.inputs, seed=1), hash_inputs(retain.inputs, seed=1)
    folds = hashes % np.uint64(FOLDS)
    probabilities = np.zeros((len(acquire), len(classes)))
    for fold in np.unique(folds):
        outside: BoolArray = folds == fold
        rest = joined([acquire.where(~outside), retain.where(~np.isin(retained, hashes[outside]))])
        if len(np.unique(rest.targets.argmax(axis=1))) < 2:  # noqa: PLR2004  what "to classify" means
            continue
        student = fit(rest)
        known = class_names(student)
        columns: NDArray[np.intp] = np.array([classes.index(label) for label in known])
        inputs = acquire.where(outside).inputs
        answers = probability_rows(student.predict_proba(inputs), len(inputs), known)
        probabilities[np.ix_(outside, columns)] = answers
    return probabilities
