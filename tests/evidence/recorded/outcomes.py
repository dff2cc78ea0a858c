"""What a system did on recorded rows: errors, calls of the large model, and paired intervals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import f1_score

from langchain_datashunt.types import BoolArray, FloatArray

BOOTSTRAP_DRAWS = 10_000
NO_ANSWER = "(no valid answer)"


@dataclass(frozen=True)
class Outcome:
    """One system on n rows.

    `wrong` and `asked` are 0 or 1 a row: whether the final answer is wrong, and whether the large model was called. For
    random routing they are the chances of it, so that no single draw is reported.
    """

    name: str
    wrong: FloatArray
    asked: FloatArray
    macro_f1: float

    @property
    def accuracy(self) -> float:
        return 1 - float(self.wrong.mean())

    @property
    def call_rate(self) -> float:
        return float(self.asked.mean())


def alone(name: str, answers: Sequence[str | None], labels: NDArray[np.str_], *, asked: bool) -> Outcome:
    """One model answers everything; None is a wrong answer."""
    given = _as_strings(answers)
    return Outcome(name, (given != labels).astype(float), np.full(len(labels), float(asked)), _macro_f1(labels, given))


def cascade(
    name: str,
    accepted: BoolArray,
    small: Sequence[str | None],
    large: Sequence[str | None],
    labels: NDArray[np.str_],
) -> Outcome:
    given = np.where(accepted, _as_strings(small), _as_strings(large))
    return Outcome(name, (given != labels).astype(float), (~accepted).astype(float), _macro_f1(labels, given))


def random_shunt(
    name: str, rate: float, small: Sequence[str | None], large: Sequence[str | None], labels: NDArray[np.str_]
) -> Outcome:
    """What is expected of sending a random share `rate` of the rows to the large model."""
    given_small, given_large = _as_strings(small), _as_strings(large)
    n = len(labels)
    wrong = (1 - rate) * (given_small != labels) + rate * (given_large != labels)
    weights = np.repeat([1 - rate, rate], n)
    f1 = _macro_f1(np.tile(labels, 2), np.concatenate([given_small, given_large]), weights)
    return Outcome(name, wrong, np.full(n, rate), f1)


def with_fallback(answers: Sequence[str | None], fallback: Sequence[str]) -> list[str]:
    """The answers, with another model's in place of invalid replies."""
    return [other if answer is None else answer for answer, other in zip(answers, fallback, strict=True)]


@dataclass(frozen=True)
class Difference:
    """By how much a system makes fewer errors than another on the same rows, with 95 % bootstrap intervals.

    `points` is the difference of error rates (positive: fewer errors), `fewer` the share of the reference's errors that
    are gone. Intervals are (low, high).
    """

    points: float
    points_interval: tuple[float, float]
    fewer: float
    fewer_interval: tuple[float, float]


def fewer_errors(system: Outcome, reference: Outcome, *, seed: int = 0) -> Difference:
    """Compare paired: each bootstrap draw takes whole rows, with what both systems did on them."""
    rng = np.random.default_rng(seed)
    n = len(system.wrong)
    both = np.stack([system.wrong, reference.wrong], axis=1)
    draws = np.empty((BOOTSTRAP_DRAWS, 2))
    for draw in range(BOOTSTRAP_DRAWS):
        draws[draw] = both[rng.integers(0, n, n)].mean(axis=0)
    mine, theirs = both.mean(axis=0)
    return Difference(
        points=float(theirs - mine),
        points_interval=_interval(draws[:, 1] - draws[:, 0]),
        fewer=float(1 - mine / theirs),
        fewer_interval=_interval(1 - draws[:, 0] / draws[:, 1]),
    )


def wilson_interval(errors: float, n: int) -> tuple[float, float]:
    """Return the 95 % Wilson interval of a rate."""
    z = 1.959964
    rate, scale = errors / n, 1 + z**2 / n
    half = z * np.sqrt(rate * (1 - rate) / n + z**2 / (4 * n**2)) / scale
    centre = (rate + z**2 / (2 * n)) / scale
    return float(centre - half), float(centre + half)


def best_with_hindsight(
    confidence: FloatArray, small_wrong: BoolArray, large_wrong: BoolArray, max_rate: float = 1.0
) -> tuple[float, int, float]:
    """Return (threshold, errors, rate) of the best threshold, chosen on the very rows that are scored.

    No system: an upper limit on what choosing a threshold better could bring for this confidence.
    """
    candidates = np.append(np.unique(confidence), np.inf)
    order = np.argsort(confidence, kind="stable")
    deferred = np.searchsorted(confidence[order], candidates, side="left")
    large_below = np.concatenate([[0], np.cumsum(large_wrong[order])])[deferred]
    small_above = small_wrong.sum() - np.concatenate([[0], np.cumsum(small_wrong[order])])[deferred]
    errors = np.where(deferred <= max_rate * len(confidence), large_below + small_above, len(confidence) + 1)
    best = int(errors.argmin())
    return float(candidates[best]), int(errors[best]), float(deferred[best] / len(confidence))


def _as_strings(answers: Sequence[str | None]) -> NDArray[np.str_]:
    return np.array([NO_ANSWER if answer is None else answer for answer in answers])


def _macro_f1(labels: NDArray[np.str_], given: NDArray[np.str_], weights: FloatArray | None = None) -> float:
    classes = np.unique(labels)
    return float(f1_score(labels, given, labels=classes, average="macro", sample_weight=weights, zero_division=0.0))


def _interval(draws: FloatArray) -> tuple[float, float]:
    low, high = np.quantile(draws, [0.025, 0.975])
    return float(low), float(high)
