"""Mastered classes: those so rare among deferred inputs that the large model need not be offered them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from langchain_datashunt.errors import CalibrationDataError, InfeasibleTargetError, PolicyError
from langchain_datashunt.policy.certification import risk_p_values, walk_sequence
from langchain_datashunt.types import FloatArray

Columns = NDArray[np.intp]

FEWEST_LEFT = 2
"""Labels that are always left: with one there is nothing to ask."""


@dataclass(frozen=True, slots=True)
class DropMastered:
    """Drop the classes that the small model has mastered: inputs of these are seldom deferred.

    Had the input been one of them, the small model would have been sure, and the input would not be here. A deferred
    input that is of such a class all the same can no longer be answered rightly: `max_unanswerable` bounds their share.

    The guarantee: with probability `confidence_level` over the draw of the rows, at most the share `max_unanswerable`
    of all deferred inputs is of a dropped class. Classes are put in order, rarest first, on one half of the deferred
    rows; each longer list of dropped classes is tested on the other half (exact binomial, fixed-sequence testing, so
    the bound holds although the list was searched). It presumes what `PredictionSet` presumes.

    Attributes:
        max_unanswerable: In (0, 1), for example 0.02.
        confidence_level: In (0, 1).

    Example:
        .. code-block:: python

            policy = learn_pruning(policy, small, texts, labels, PredictionSet(0.95), DropMastered(0.02))

    Source: hard prompt pruning of Data Shunt+ (arXiv 2406.15471), whose code fixes the dropped classes by hand.
    """

    max_unanswerable: float
    confidence_level: float = 0.95

    def __post_init__(self) -> None:
        """Refuse shares and levels outside (0, 1)."""
        for name in ("max_unanswerable", "confidence_level"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1:
                raise PolicyError(f"{name} of DropMastered lies strictly between 0 and 1; got {value!r}")

    @property
    def rows_needed(self) -> int:
        """The deferred rows that must certify; with fewer, nothing passes even where no row is of a dropped class."""
        return math.ceil(math.log(1 - self.confidence_level) / math.log1p(-self.max_unanswerable))

    def dropped(self, order: Columns, targets: Columns) -> Columns:
        """Return the longest beginning of `order` that may be dropped.

        Args:
            order: ``(k,)`` columns, rarest first, chosen without the rows of `targets`.
            targets: ``(n,)`` columns of the true labels of the deferred rows that certify.

        Raises:
            CalibrationDataError: The rows are too few for the bound.
            InfeasibleTargetError: Not one class may be dropped.
        """
        n = len(targets)
        if n < self.rows_needed:
            raise CalibrationDataError(
                f"dropping classes at max_unanswerable={self.max_unanswerable:g} and confidence level "
                f"{self.confidence_level:g} needs at least {self.rows_needed} deferred rows to certify; got {n}: give "
                "more labelled rows, or allow more"
            )
        counts = np.cumsum(np.bincount(targets, minlength=len(order))[order])[: len(order) - FEWEST_LEFT]
        p_values = risk_p_values(counts, np.full(len(counts), n), self.max_unanswerable)
        passed = walk_sequence(p_values, 1 - self.confidence_level)
        if not passed:
            raise InfeasibleTargetError(
                f"no class may be dropped at max_unanswerable={self.max_unanswerable:g} and confidence level "
                f"{self.confidence_level:g}: {_seen(counts)} of {n} deferred rows are of the rarest class; allow more, "
                "give more rows, or use PredictionSet alone",
                n=n,
            )
        return order[:passed]


def rarest_first(probabilities: FloatArray, targets: Columns) -> Columns:
    """Return ``(k,)`` columns in the order of how many of the rows are of each class, as seen and as expected.

    Args:
        probabilities: ``(n, k)`` calibrated, of deferred rows; their sum tells classes apart that were not seen.
        targets: ``(n,)`` columns of the true labels.
    """
    k = probabilities.shape[1]
    return np.argsort(np.bincount(targets, minlength=k) + probabilities.sum(axis=0), kind="stable")


def _seen(counts: Columns) -> str:
    return "all" if not len(counts) else str(int(counts[0]))
