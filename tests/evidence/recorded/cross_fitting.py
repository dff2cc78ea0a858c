"""Policies that are fitted on some rows and scored on others."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from langchain_datashunt.errors import InfeasibleTargetError
from langchain_datashunt.fitting import fit_policy
from langchain_datashunt.policy.goals import Goal
from langchain_datashunt.policy.splitting import hash_inputs
from langchain_datashunt.small_models import class_names, version_of
from langchain_datashunt.types import BoolArray, FloatArray, SmallModel
from tests.evidence.recorded.recorded_rows import Rows

IntArray = NDArray[np.intp]
GoalFor = Callable[[Rows], Goal]
"""The goal for a policy that is fitted on these rows; `EndToEnd` takes the large model's answers from them."""


class Remembered:
    """A small model whose answers on given texts were computed once, and are looked up from then on."""

    def __init__(self, small: SmallModel, texts: Sequence[str]) -> None:
        self.classes_ = class_names(small)
        self.version = version_of(small)
        self._rows = dict(zip(texts, np.asarray(small.predict_proba(list(texts)), dtype=np.float64), strict=True))

    def predict_proba(self, texts: Sequence[str]) -> FloatArray:
        return np.stack([self._rows[text] for text in texts])

    def labels_of(self, texts: Sequence[str]) -> list[str]:
        return [self.classes_[column] for column in self.predict_proba(texts).argmax(axis=1)]


@dataclass(frozen=True)
class Applied:
    """What policies did on rows that they were not fitted on.

    Attributes:
        accepted: ``(n,)``.
        probabilities: ``(n, k)`` calibrated.
        thresholds: One a policy; NaN where the goal was infeasible, and the policy then defers every row.
    """

    accepted: BoolArray
    probabilities: FloatArray
    thresholds: list[float]

    @property
    def infeasible(self) -> int:
        return int(np.isnan(self.thresholds).sum())


def cross_fit(small: Remembered, rows: Rows, goal_for: GoalFor, *, folds: int = 5, seed: int = 0) -> Applied:
    """Give each row the decision of a policy that was fitted on the other folds; equal texts share a fold."""
    accepted = np.zeros(len(rows), dtype=bool)
    probabilities = small.predict_proba(rows.texts)
    thresholds = []
    for fit_on, apply_to in folds_of(rows, folds, seed):
        applied = fit_and_apply(small, rows.at(fit_on), rows.at(apply_to), goal_for)
        accepted[apply_to], probabilities[apply_to] = applied.accepted, applied.probabilities
        thresholds += applied.thresholds
    return Applied(accepted, probabilities, thresholds)


def fit_and_apply(small: Remembered, fit_on: Rows, apply_to: Rows, goal_for: GoalFor) -> Applied:
    probabilities = small.predict_proba(apply_to.texts)
    try:
        policy = fit_policy(small, fit_on.texts, fit_on.labels.tolist(), goal_for(fit_on))
    except InfeasibleTargetError:
        return Applied(np.zeros(len(apply_to), dtype=bool), probabilities, [float("nan")])
    judged = policy.judge(probabilities)
    return Applied(judged.accepted, judged.probabilities, [policy.threshold])


def random_halves(rows: Rows, splits: int) -> Iterator[tuple[IntArray, IntArray]]:
    """Yield (fit on, score on), half of the rows each, another split each time; equal texts stay together."""
    for split in range(splits):
        half = hash_inputs(rows.texts, seed=1000 + split) % 2 == 0
        yield np.flatnonzero(half), np.flatnonzero(~half)


def folds_of(rows: Rows, folds: int, seed: int = 0) -> Iterator[tuple[IntArray, IntArray]]:
    """Yield (fit on, score on) of each fold; equal texts share a fold."""
    fold = hash_inputs(rows.texts, seed=100 + seed) % folds
    for held_out in range(folds):
        yield np.flatnonzero(fold != held_out), np.flatnonzero(fold == held_out)
