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

Quantity = Literal["selective_risk", "accuracy_loss", "deferral_rate"]


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


@dataclass(frozen=True, slots=True, eq=False)
class AcceptedCounts:
    """Rows at or above each of m thresholds.

    Attributes:
        thresholds: ``(m,)``.
        accepted: ``(m,)`` number of rows whose confidence is at or above the threshold.
        wrong: ``(m,)`` number of those whose label is wrong.
        n: All rows.
    """

    thresholds: FloatArray
    accepted: NDArray[np.intp]
    wrong: NDArray[np.intp]
    n: int


def count_accepted(confidence: FloatArray, wrong: BoolArray, thresholds: FloatArray) -> AcceptedCounts:
    """Count accepted rows, and errors among them, at each threshold.

    Args:
        confidence: ``(n,)`` in [0, 1].
        wrong: ``(n,)`` whether the small model's label is wrong.
        thresholds: ``(m,)`` in any order.
    """
    order = np.argsort(confidence, kind="stable")
    below = np.searchsorted(confidence[order], thresholds, side="left")
    errors_below = np.concatenate([[0], np.cumsum(wrong[order])])
    return AcceptedCounts(
        thresholds=np.asarray(thresholds, dtype=np.float64),
        accepted=len(confidence) - below,
        wrong=errors_below[-1] - errors_below[below],
        n=len(confidence),
    )


def binomial_p_value(errors: NDArray[np.intp], trials: NDArray[np.intp], target: float) -> FloatArray:
    """Return the exact p-value of "the error rate exceeds `target`": the chance of so few errors at that rate.

    Elementwise; 1 where there are no trials.
    """
    try:
        from scipy.special import bdtr  # noqa: PLC0415  an extra, needed only while fitting
    except ImportError as error:
        raise MissingExtraError("certifying a threshold", "fit") from error
    return np.where(trials > 0, bdtr(errors.astype(np.float64), np.maximum(trials, 1), target), 1.0)


def walk_sequence(p_values: FloatArray, level: float) -> int:
    """Return how many hypotheses, from the first on, a fixed-sequence test rejects at error level `level`."""
    failing = np.flatnonzero(p_values > level)
    return int(failing[0]) if len(failing) else len(p_values)
