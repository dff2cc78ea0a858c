"""What the demo's run says: accuracy with intervals, differences from the cascade, calls, tokens, seconds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from langchain_datashunt.policy.certification import exact_interval
from langchain_datashunt.types import FloatArray

RESAMPLES = 10_000

Interval = tuple[float, float]


@dataclass(frozen=True, slots=True, eq=False)
class Answers:
    """How one way of answering did on the n test rows.

    Attributes:
        name: What answers.
        right: ``(n,)``, 1 where the answer is right, 0 where it is not; between them for an average over random draws.
        large_calls: Calls of the large model.
        large_tokens: Tokens that these read and wrote.
        seconds: Wall time of all rows; None where nothing was run.
    """

    name: str
    right: FloatArray
    large_calls: float
    large_tokens: int | None
    seconds: float | None


@dataclass(frozen=True, slots=True)
class Score:
    """One row of the table.

    Attributes:
        name: What answers.
        accuracy: Share of right answers.
        interval: 95 % Clopper-Pearson interval of it; None for an average over random draws.
        cascade_gain: Accuracy of the cascade minus this one; None for the cascade.
        cascade_gain_interval: 95 % bootstrap interval of that difference over *reviews*, paired.
        large_call_share: Calls of the large model an input.
        large_tokens: Tokens that these read and wrote; None where nothing was run.
        seconds: Wall time of all rows; None where nothing was run.
    """

    name: str
    accuracy: float
    interval: Interval | None
    cascade_gain: float | None
    cascade_gain_interval: Interval | None
    large_call_share: float
    large_tokens: int | None
    seconds: float | None


def right_answers(answers: Sequence[str | None], labels: Sequence[str]) -> FloatArray:
    """Return ``(n,)`` ones where an answer is the label; None, an invalid reply, never is."""
    return np.array([answer == label for answer, label in zip(answers, labels, strict=True)], dtype=np.float64)


def random_shunt(small: Answers, large: Answers, deferral_rate: float) -> Answers:
    """Return the average over all ways of sending a random share of the rows to the large model."""
    return Answers(
        name="random shunt",
        right=(1 - deferral_rate) * small.right + deferral_rate * large.right,
        large_calls=deferral_rate * len(small.right),
        large_tokens=None,
        seconds=None,
    )


def score(answers: Answers, cascade: Answers, reviews: Sequence[str], seed: int) -> Score:
    """Score one way of answering, and compare the cascade with it.

    Args:
        answers: To be scored.
        cascade: To be compared with.
        reviews: ``n`` names: rows of one review are drawn together, since they are about one product by one person.
        seed: Of the bootstrap.
    """
    n = len(answers.right)
    is_average = bool(((answers.right > 0) & (answers.right < 1)).any())
    gain = None if answers is cascade else cascade.right - answers.right
    return Score(
        name=answers.name,
        accuracy=float(answers.right.mean()),
        interval=None if is_average else exact_interval(int(answers.right.sum()), n),
        cascade_gain=None if gain is None else float(gain.mean()),
        cascade_gain_interval=None if gain is None else clustered_interval(gain, reviews, seed),
        large_call_share=answers.large_calls / n,
        large_tokens=answers.large_tokens,
        seconds=answers.seconds,
    )


def clustered_interval(values: FloatArray, clusters: Sequence[str], seed: int) -> Interval:
    """Return the 95 % percentile bootstrap interval of the mean of ``(n,)`` values, resampling whole clusters."""
    names, cluster_of = np.unique(np.array(clusters), return_inverse=True)
    sums = np.bincount(cluster_of, weights=values)
    sizes = np.bincount(cluster_of)
    drawn = np.random.default_rng(seed).integers(len(names), size=(RESAMPLES, len(names)))
    low, high = np.quantile(sums[drawn].sum(axis=1) / sizes[drawn].sum(axis=1), [0.025, 0.975])
    return float(low), float(high)
