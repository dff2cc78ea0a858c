"""Populations whose true risks are known: finite pools of rows that calibration sets are drawn from with replacement.

The true selective risk and coverage of any threshold are exact sums over the pool.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from langchain_datashunt.policy.calibration import Calibration

Floats = NDArray[np.float64]
POOL = 20_000


@dataclass(frozen=True, eq=False)
class Population:
    """A pool of rows: what the small model says, and the true chances of the classes."""

    name: str
    probabilities: Floats  # (N, k)
    chances: Floats  # (N, k)

    def draw(self, n: int, rng: np.random.Generator) -> tuple[Floats, NDArray[np.intp]]:
        rows = rng.integers(0, len(self.probabilities), n)
        below = np.cumsum(self.chances[rows], axis=1) < rng.random((n, 1))
        return self.probabilities[rows], np.minimum(below.sum(axis=1), self.chances.shape[1] - 1)

    def truth(self, calibration: Calibration) -> Truth:
        calibrated = calibration.apply(self.probabilities)
        labels = calibrated.argmax(axis=1)
        error = 1 - np.take_along_axis(self.chances, labels[:, None], axis=1)[:, 0]
        confidence = calibrated.max(axis=1)
        order = np.argsort(confidence, kind="stable")
        return Truth(calibrated, error, confidence[order], np.append(0, np.cumsum(error[order[::-1]])))


@dataclass(frozen=True, eq=False)
class Truth:
    """The pool under one calibration: exact risk and coverage of any rule.

    Attributes:
        calibrated: ``(N, k)``.
        error: ``(N,)`` chances that the small model is wrong.
        levels: ``(N,)`` confidences, rising.
        sums: ``(N + 1,)`` errors to expect among so many of the surest rows.
    """

    calibrated: Floats
    error: Floats
    levels: Floats
    sums: Floats

    def of(self, accepted: NDArray[np.bool_]) -> tuple[float, float]:
        """Return the selective risk (0 where nothing is accepted) and the coverage."""
        return float(self.error[accepted].mean()) if accepted.any() else 0.0, float(accepted.mean())

    def at(self, threshold: float) -> tuple[float, float]:
        """Return the same of all rows at or above a threshold."""
        n = len(self.levels) - int(np.searchsorted(self.levels, threshold, side="left"))
        return float(self.sums[n]) / max(n, 1), n / len(self.levels)

    def best_coverage(self, target: float) -> float:
        """Return the coverage of an oracle that knows the risk of every threshold."""
        n = np.arange(1, len(self.levels) + 1)
        last_of_ties = np.append(np.diff(self.levels[::-1]) != 0, True)
        good = np.flatnonzero(last_of_ties & (self.sums[1:] <= target * n))
        return float(good[-1] + 1) / len(n) if len(good) else 0.0


def _two_classes(name: str, seed: int, report: Callable[[Floats], Floats], noise: float = 0.0) -> Population:
    rng = np.random.default_rng(seed)
    sure = 0.5 + 0.5 * rng.beta(2.5, 0.6, POOL)
    first = np.where(rng.random(POOL) < 0.5, sure, 1 - sure)
    true = (1 - noise) * first + noise / 2
    said = report(first)
    return Population(name, np.column_stack([said, 1 - said]), np.column_stack([true, 1 - true]))


def _sharpened(p: Floats) -> Floats:
    return np.asarray(p**3 / (p**3 + (1 - p) ** 3))


def _rounded(p: Floats) -> Floats:
    return np.round(p * 20) / 20


def _many_classes() -> Population:
    rng = np.random.default_rng(4)
    logits = rng.normal(size=(POOL, 77))
    logits[np.arange(POOL), rng.integers(0, 77, POOL)] += rng.gamma(6, 1.5, POOL)
    true = np.exp(logits - logits.max(axis=1, keepdims=True))
    true /= true.sum(axis=1, keepdims=True)
    said = true**1.5
    return Population("77 classes", said / said.sum(axis=1, keepdims=True), true)


POPULATIONS: dict[str, Callable[[], Population]] = {
    "well-specified": lambda: _two_classes("well-specified", 1, lambda p: p),
    "miscalibrated": lambda: _two_classes("miscalibrated", 2, _sharpened),
    "heavy ties": lambda: _two_classes("heavy ties", 3, _rounded),
    "77 classes": _many_classes,
    "noisy labels": lambda: _two_classes("noisy labels", 5, lambda p: p, noise=0.02),
}
