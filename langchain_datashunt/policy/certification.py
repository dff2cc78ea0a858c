"""Certificates: finite-sample statements about a threshold that stay true although the threshold was searched.

The method is fixed-sequence testing, the simplest form of Learn then Test (Angelopoulos et al. 2021, section 3.2):
thresholds are put in an order before the certification rows are looked at, each is tested at the full error level, and
the walk stops at the first that fails. The chance that any threshold walked over is bad is then at most
``1 - confidence_level``, however many thresholds there are.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from langchain_datashunt.errors import MissingExtraError
from langchain_datashunt.types import BoolArray, FloatArray

Counts = NDArray[np.intp]
Quantity = Literal["selective_risk", "accuracy_loss", "deferral_rate"]

_INTERVAL_SHARE = 0.02
"""Share of the error level that `margin_limits` spends on bounding the rate of disagreement."""


@dataclass(frozen=True, slots=True)
class Certificate:
    """What is known of a threshold, and from what.

    The claim: over the draw of the calibration data, with probability at least `confidence_level`, the `quantity` of
    the threshold on new inputs of the same distribution is at most `target`. It says nothing about inputs from
    elsewhere, about later drift, or about a subgroup.

    Attributes:
        quantity: What is bounded: ``selective_risk`` (error among accepted inputs), ``accuracy_loss`` (accuracy of the
            large model alone minus that of the system) or ``deferral_rate``.
        target: The bound, in [0, 1].
        confidence_level: In (0, 1).
        method: The test, and how it allows for the search.
        independence: What keeps the rows that certify apart from those that chose.
        n: Certification rows.
        n_accepted: Those of them at or above the threshold.
        observed: The quantity on the certification rows; an estimate, not a bound, and slightly optimistic.
        n_tested: Thresholds tested before the walk stopped.
    """

    quantity: Quantity
    target: float
    confidence_level: float
    method: str
    independence: str
    n: int
    n_accepted: int
    observed: float
    n_tested: int

    @property
    def coverage(self) -> float:
        """Share of the certification rows at or above the threshold."""
        return self.n_accepted / self.n

    def claim(self) -> str:
        """Return the claim as part of a sentence."""
        return (
            f"certified at level {self.confidence_level:g} to keep {self.quantity.replace('_', ' ')} at or below "
            f"{self.target:g} (n = {self.n}, coverage {self.coverage:.3f})"
        )

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON."""
        return asdict(self)


def accepted_counts(confidence: FloatArray, thresholds: FloatArray) -> Counts:
    """Return, for each of m thresholds, how many of n rows have a confidence at or above it."""
    return len(confidence) - np.searchsorted(np.sort(confidence), thresholds, side="left")


def accepted_sums(confidence: FloatArray, values: NDArray[Any], thresholds: FloatArray) -> FloatArray:
    """Return, for each of m thresholds, the sum of `values` over the rows with a confidence at or above it.

    Args:
        confidence: ``(n,)``.
        values: ``(n,)``.
        thresholds: ``(m,)`` in any order.
    """
    order = np.argsort(confidence, kind="stable")
    below = np.searchsorted(confidence[order], thresholds, side="left")
    sums = np.concatenate([[0.0], np.cumsum(values[order], dtype=np.float64)])
    return np.asarray(sums[-1] - sums[below])


def risk_p_values(errors: Counts, accepted: Counts, target: float | FloatArray) -> FloatArray:
    """Return exact p-values of "the error rate exceeds `target`": the chance of so few errors at that rate.

    Given the number of accepted rows, their errors are binomial with the selective risk. 1 where none is accepted.
    """
    special = _scipy_special()
    return np.where(accepted > 0, special.bdtr(errors.astype(np.float64), np.maximum(accepted, 1), target), 1.0)


def passing_power(accepted: Counts, risk: FloatArray, target: float, level: float) -> FloatArray:
    """Return the chance that so many accepted rows of true risk `risk` pass the test of `target`."""
    critical = critical_errors(accepted, target, level)
    chance = risk_p_values(np.maximum(critical, 0), accepted, risk)
    return np.where((critical >= 0) & (accepted > 0), chance, 0.0)


def critical_errors(accepted: Counts, target: float, level: float) -> Counts:
    """Return the largest number of errors at which `risk_p_values` is at most `level`; -1 where there is none."""
    from scipy.stats import binom  # noqa: PLC0415  an extra, needed only while fitting

    return np.asarray(binom.ppf(level, accepted, target), dtype=np.intp) - 1


def margin_limits(losses: FloatArray | Counts, gains: FloatArray | Counts, n: int, level: float) -> FloatArray:
    """Return upper limits of the accuracy that the system loses against the large model; below 0 it gains.

    Each limit fails with a chance of at most `level`. The test behind it is McNemar's exact conditional one. Of n rows,
    the system is wrong where the large model is right on `losses` and right where it is wrong on `gains`. Given their
    sum, the losses are binomial with the share ``1/2 + loss / (2 q)``, q being the rate of disagreement. So an upper
    limit of that share and one of q limit the loss; of `level`, q takes a small part (Berger and Boos 1994). Whether
    the limit is at or below 0 depends on the share alone.

    Args:
        losses: ``(m,)``, one for each threshold.
        gains: ``(m,)``.
        n: Rows.
        level: In (0, 1).
    """
    disagreements = losses + gains
    share = upper_limit(losses, disagreements, (1 - _INTERVAL_SHARE) * level)
    return (2 * share - 1) * upper_limit(disagreements, n, _INTERVAL_SHARE * level)


def upper_limit(successes: FloatArray | Counts, trials: int | FloatArray | Counts, error: float) -> FloatArray:
    """Return the one-sided upper Clopper-Pearson limit of a rate, which fails with a chance of at most `error`.

    It is at or below a rate exactly where the binomial test of that rate rejects at level `error`; 1 without trials.
    """
    special = _scipy_special()
    rest = np.maximum(trials - successes, 1)
    return np.where(successes < trials, special.betaincinv(successes + 1.0, rest, 1 - error), 1.0)


def exact_interval(successes: int, trials: int, confidence_level: float = 0.95) -> tuple[float, float]:
    """Return the two-sided Clopper-Pearson interval of a rate; (0, 1) without trials.

    Example:
        >>> [round(end, 4) for end in exact_interval(0, 100)]
        [0.0, 0.0362]
    """
    if trials == 0:
        return 0.0, 1.0
    error = (1 - confidence_level) / 2
    hits = np.array([successes, trials - successes], dtype=np.intp)
    upper, upper_of_rest = upper_limit(hits, trials, error)
    return float(1 - upper_of_rest), float(upper)


def walk_sequence(values: FloatArray, bound: float) -> int:
    """Return how many hypotheses, from the first on, a fixed-sequence test rejects.

    Args:
        values: p-values, or upper limits of what is tested, in the order of the walk.
        bound: The error level, or the target: the walk stops at the first value above it.
    """
    failing = np.flatnonzero(values > bound)
    return int(failing[0]) if len(failing) else len(values)


def count_wrong(confidence: FloatArray, wrong: BoolArray, thresholds: FloatArray) -> Counts:
    """Return, for each of m thresholds, how many accepted rows are wrong."""
    return np.rint(accepted_sums(confidence, wrong, thresholds)).astype(np.intp)


def _scipy_special() -> Any:
    try:
        from scipy import special  # noqa: PLC0415  an extra, needed only while fitting
    except ImportError as error:
        raise MissingExtraError("certifying a threshold", "fit") from error
    return special
