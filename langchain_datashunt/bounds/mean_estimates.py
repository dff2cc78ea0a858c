"""Means among accepted inputs, such as the cost of a large call, estimated from audits."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from langchain_datashunt.errors import AuditError, MissingExtraError

LINEARISED = "weighted ratio estimate, linearised variance, Student's t"

_FEWEST = 2
"""Rows below which a spread cannot be seen."""


@dataclass(frozen=True, slots=True)
class MeanEstimate:
    """An estimate of a mean, with its interval.

    Attributes:
        mean: The estimate; None without rows.
        low: Lower end of the interval, never below 0; None with fewer than two rows.
        high: Upper end; None likewise.
        confidence_level: In (0, 1). The interval is an approximation: it needs some dozens of rows, more where few of
            them make most of the sum.
        rows: Rows.
        method: Of the interval.
    """

    mean: float | None
    low: float | None
    high: float | None
    confidence_level: float
    rows: int
    method: str = LINEARISED


def estimate_mean(
    totals: ArrayLike, counts: ArrayLike, sampling_probabilities: ArrayLike, confidence_level: float = 0.95
) -> MeanEstimate:
    """Estimate the mean of a quantity that is 0 or more, from rows that were drawn with known probabilities.

    Each row holds the sum over equal requests; rows are drawn independently. The estimate is ``sum(w t) / sum(w n)``
    (Cochran 1977, section 6.3), the weights being one over the sampling probability.

    Args:
        totals: ``(n,)`` sums, 0 or more.
        counts: ``(n,)`` requests that each row sums over, 1 or more.
        sampling_probabilities: ``(n,)`` in (0, 1], or one for all.
        confidence_level: In (0, 1).

    Raises:
        AuditError: A sampling probability outside (0, 1].

    Example:
        >>> found = estimate_mean([2.0, 4.0, 6.0, 8.0], [1, 1, 1, 1], 0.05)
        >>> (found.mean, round(found.low, 2), round(found.high, 2))
        (5.0, 0.89, 9.11)
    """
    sums = np.asarray(totals, dtype=np.float64)
    sizes = np.asarray(counts, dtype=np.float64)
    given = np.broadcast_to(np.asarray(sampling_probabilities, dtype=np.float64), sums.shape)
    if not np.all((given > 0) & (given <= 1)):
        raise AuditError(f"sampling probabilities lie in (0, 1], got {np.unique(given)[:5]}")
    n = len(sums)
    if not n:
        return MeanEstimate(None, None, None, confidence_level, 0)
    weighted_size = float((sizes / given).sum())
    mean = float((sums / given).sum()) / weighted_size
    if n < _FEWEST:
        return MeanEstimate(mean, None, None, confidence_level, n)
    residuals = (sums - mean * sizes) / given
    error = float(np.sqrt((residuals**2).sum() * n / (n - 1))) / weighted_size * _student(n - 1, confidence_level)
    return MeanEstimate(mean, max(mean - error, 0.0), mean + error, confidence_level, n)


def _student(freedom: int, confidence_level: float) -> float:
    try:
        from scipy.special import stdtrit  # noqa: PLC0415  an extra, needed only for estimates
    except ImportError as error:
        raise MissingExtraError("the interval of an estimate", "fit") from error
    return float(stdtrit(freedom, (1 + confidence_level) / 2))
