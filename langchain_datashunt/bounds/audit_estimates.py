"""Rates among accepted inputs, estimated from audits: how often the small model disagrees with the LLM, or errs.

Deferred inputs say nothing of accepted ones: they are the hard part. Audits are a random sample of the accepted inputs,
each drawn with a known probability and independently of all others, and weights of one over that probability make
audits of different rates one sample. Two words are kept apart:

* **disagreement** with the LLM is what an LLM's audit answers measure. It is not error: where both are wrong alike
  they agree, and where the LLM is wrong the small model may be right.
* **error** needs people's labels: on the audits themselves (`estimate_rate` of those), or on other accepted rows that
  bound how often the LLM errs (`error_through_teacher`).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from langchain_datashunt.errors import AuditError, MissingExtraError
from langchain_datashunt.types import FloatArray

Quantity = Literal["disagreement", "error"]

CLOPPER_PEARSON = "Clopper-Pearson"
WEIGHTED = "Clopper-Pearson for weighted audits, after Fay and Feuer"
THROUGH_TEACHER = "disagreement, widened by the bound on the LLM's error rate"


@dataclass(frozen=True, slots=True, eq=False)
class AuditCounts:
    """Audits and the misses among them, by sampling probability.

    Attributes:
        sampling_probabilities: ``(g,)``, in (0, 1], all different. Name one that is in use even if it has no audits
            yet: it widens intervals.
        audits: ``(g,)`` audits with a label.
        misses: ``(g,)`` those that disagree, or are wrong.
    """

    sampling_probabilities: FloatArray
    audits: NDArray[np.int64]
    misses: NDArray[np.int64]

    def __post_init__(self) -> None:
        """Refuse what are no counts.

        Raises:
            AuditError: A probability outside (0, 1], or counts that do not fit together.
        """
        _require_probabilities(self.sampling_probabilities)
        shapes = {np.shape(column) for column in (self.sampling_probabilities, self.audits, self.misses)}
        if len(shapes) != 1 or np.any(self.misses < 0) or np.any(self.misses > self.audits):
            raise AuditError(f"of {self.audits} audits, {self.misses} cannot be misses; give equally long counts")

    @classmethod
    def of_rows(cls, misses: ArrayLike, sampling_probabilities: ArrayLike) -> AuditCounts:
        """Count single audits.

        Args:
            misses: ``(n,)`` bool.
            sampling_probabilities: ``(n,)``, or one for all.
        """
        missed = np.asarray(misses, dtype=bool)
        _require_probabilities(np.asarray(sampling_probabilities, dtype=np.float64))
        given = np.broadcast_to(np.asarray(sampling_probabilities, dtype=np.float64), missed.shape)
        different, group = np.unique(given, return_inverse=True)
        size = len(different)
        return cls(different, np.bincount(group, minlength=size), np.bincount(group[missed], minlength=size))


@dataclass(frozen=True, slots=True)
class RateEstimate:
    """An estimate of a rate among accepted inputs, with its interval.

    The interval covers the rate with a chance of at least `confidence_level`, over the draw of inputs and audits, if it
    is computed once; for looking again and again there is `langchain_datashunt.bounds.live_bound.LiveBound`.

    Attributes:
        quantity: What it is the rate of: ``disagreement`` with the LLM, or ``error``.
        rate: The estimate in [0, 1]; None without audits, and where only the interval is known.
        low: Lower end of the interval.
        high: Upper end.
        confidence_level: In (0, 1).
        audits: Audits with a label.
        misses: Those that disagree, or are wrong.
        method: Of the interval.
    """

    quantity: Quantity
    rate: float | None
    low: float
    high: float
    confidence_level: float
    audits: int
    misses: int
    method: str

    def __str__(self) -> str:
        """Return it as it is printed."""
        rate = "" if self.rate is None else f"{self.rate:.4f}, "
        return (
            f"{self.quantity} among accepted inputs: {rate}{self.confidence_level:.0%} interval {self.low:.4f} to "
            f"{self.high:.4f} ({self.misses} of {self.audits} audits; {self.method})"
        )

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON."""
        return asdict(self)


def estimate_rate(quantity: Quantity, counts: AuditCounts, confidence_level: float = 0.95) -> RateEstimate:
    """Estimate a rate among accepted inputs from audits, weighted by the inverse of their sampling probability.

    With one sampling probability the audits are, given their number, independent draws of the accepted inputs: the
    interval is Clopper and Pearson's, exact. With several the estimate is Hajek's ratio ``sum(w x) / sum(w)``, and the
    interval is made in the same way: its upper end is the quantile of a beta distribution with the mean and variance
    that the ratio has with one more audit, of the largest weight, that misses; its lower end, with one more that does
    not (Fay and Feuer 1997 do so for weighted Poisson counts). The additional audit is what a stratum may hide in which
    audits are rare; without it such intervals fail. With equal weights it is the exact interval; with others the
    coverage is a matter of simulation (docs/audits.md), not of proof.

    Args:
        quantity: What a miss is: ``disagreement`` with the LLM, or ``error`` against people's labels. For an error
            rate, the labelled audits must be a random share of all audits: if people label the doubtful ones first,
            it is the rate of the doubtful ones.
        counts: The audits.
        confidence_level: In (0, 1).

    Example:
        >>> counts = AuditCounts.of_rows([True] * 12 + [False] * 388, 0.02)
        >>> print(estimate_rate("disagreement", counts))
        disagreement among accepted inputs: 0.0300, 95% interval 0.0156 to 0.0518
        (12 of 400 audits; Clopper-Pearson)
    """
    _require_level(confidence_level)
    n, k = int(counts.audits.sum()), int(counts.misses.sum())
    method = CLOPPER_PEARSON if len(counts.audits) <= 1 else WEIGHTED
    if n == 0:
        return RateEstimate(quantity, None, 0.0, 1.0, confidence_level, 0, 0, method)
    weights = counts.sampling_probabilities.min() / counts.sampling_probabilities
    rate, _ = _ratio(weights, counts.audits, counts.misses)
    low, high = _interval(weights, counts, confidence_level)
    return RateEstimate(quantity, rate, low, high, confidence_level, n, k, method)


def error_through_teacher(
    disagreements: AuditCounts, teacher_errors: AuditCounts, confidence_level: float = 0.95
) -> RateEstimate:
    """Bound the error rate among accepted inputs by the disagreement with an LLM and that LLM's own error rate.

    The small model errs where it disagrees with an LLM that is right, and may err where the LLM does: its error rate
    differs from the disagreement by at most the LLM's error rate. Each of both rates gets half of the error level. The
    result is an interval without an estimate; it is wider than the bound on the LLM's error rate.

    Args:
        disagreements: Audits, answered by the LLM; misses are disagreements.
        teacher_errors: Rows with a person's label and the LLM's answer; misses are errors of the LLM. They must be
            drawn at random from *accepted* inputs (sampling probability 1 where there was no weighting): on deferred
            ones the LLM errs more often, and of hand-picked ones nothing is known.
        confidence_level: In (0, 1).

    Example:
        >>> audits = AuditCounts.of_rows([True] * 120 + [False] * 3880, 0.02)
        >>> llm_wrong = AuditCounts.of_rows([True] * 2 + [False] * 498, 1.0)
        >>> print(error_through_teacher(audits, llm_wrong))
        error among accepted inputs: 95% interval 0.0099 to 0.0510 (120 of 4000 audits; disagreement, widened by the
        bound on the LLM's error rate)
    """
    _require_level(confidence_level)
    half = (1 - confidence_level) / 2
    seen = estimate_rate("disagreement", disagreements, 1 - half)
    worst = estimate_rate("error", teacher_errors, 1 - 2 * half).high  # one-sided at level `half`
    return RateEstimate(
        "error",
        None,
        max(seen.low - worst, 0.0),
        min(seen.high + worst, 1.0),
        confidence_level,
        seen.audits,
        seen.misses,
        THROUGH_TEACHER,
    )


def _interval(weights: FloatArray, counts: AuditCounts, confidence_level: float) -> tuple[float, float]:
    try:
        from scipy.special import betaincinv  # noqa: PLC0415  an extra, needed only for estimates
    except ImportError as error:
        raise MissingExtraError("the interval of an estimate", "fit") from error
    tail = (1 - confidence_level) / 2
    one_more = np.arange(len(weights)) == weights.argmax()
    rate, size = _ratio(weights, counts.audits + one_more, counts.misses)
    low = float(betaincinv(rate * size, (1 - rate) * size, tail)) if rate > 0 else 0.0
    rate, size = _ratio(weights, counts.audits + one_more, counts.misses + one_more)
    high = float(betaincinv(rate * size, (1 - rate) * size, 1 - tail)) if rate < 1 else 1.0
    return low, high


def _ratio(weights: FloatArray, audits: NDArray[Any], misses: NDArray[Any]) -> tuple[float, float]:
    """Return Hajek's ratio, and how many audits of equal weight have its variance (linearised); nan where that is 0."""
    total = float(weights @ audits)
    rate = float(weights @ misses) / total
    squares = misses * (1 - rate) ** 2 + (audits - misses) * rate**2
    variance = float(weights**2 @ squares) / total**2
    return rate, rate * (1 - rate) / variance if variance > 0 else np.nan


def _require_probabilities(values: FloatArray) -> None:
    if not (np.all(values > 0) and np.all(values <= 1)):
        raise AuditError(f"sampling probabilities of audits lie in (0, 1], got {np.unique(values)[:5]}")


def _require_level(confidence_level: float) -> None:
    if not 0 < confidence_level < 1:
        raise AuditError(f"confidence_level must lie strictly between 0 and 1, got {confidence_level!r}")
