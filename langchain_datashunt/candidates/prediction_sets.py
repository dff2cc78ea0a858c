"""Conformal prediction sets: how many labels to keep so that the true one is among them as often as promised."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from langchain_datashunt.errors import CalibrationDataError, InfeasibleTargetError, PolicyError
from langchain_datashunt.types import FloatArray

OUT_OF_REACH = -1.0
"""The score of a row whose true label is no candidate whatever its probability."""


@dataclass(frozen=True, slots=True)
class PredictionSet:
    """Keep the labels that a deferred input needs to have its true one among them, at a stated level.

    A label stays where its calibrated probability reaches a bound that `learn_pruning` finds on labelled deferred
    inputs (the LAC score of split conformal prediction): surely deferred inputs are offered two labels, others twenty.

    The guarantee: ``P(true label among the candidates | deferred) >= level``, over the draw of both the n deferred rows
    that the bound was learned on and the new input. It needs no assumption on the small model. It is *marginal*: for
    one draw of the rows the share varies around its mean with a standard deviation of about
    ``sqrt(level * (1 - level) / n)``, and it says nothing of a single class or subgroup. It presumes that the new input
    is drawn like those rows, that these trained neither the small model nor the policy, and the policy's own threshold:
    a request with another threshold defers other inputs.

    Why not MAPIE: what is to be ordered here are the probabilities of the true labels of deferred rows, with the labels
    dropped by `DropMastered` below all others, which its estimators have no place for; and it warns where the rows are
    too few for the level, where this raises.

    Attributes:
        level: In (0, 1), for example 0.95.

    Example:
        .. code-block:: python

            policy = learn_pruning(policy, small, texts, labels, PredictionSet(0.95))

    Source: Sadinle, Lei and Wasserman, "Least ambiguous set-valued classifiers with bounded error levels" (JASA 2019);
    conditioning on deferral by calibrating on what a *fixed* rule selects, where deferred rows are exchangeable again.
    """

    level: float

    def __post_init__(self) -> None:
        """Refuse a level that no set could have."""
        if isinstance(self.level, bool) or not isinstance(self.level, int | float) or not 0 < self.level < 1:
            raise PolicyError(f"the level of a PredictionSet lies strictly between 0 and 1; got {self.level!r}")

    @property
    def rows_needed(self) -> int:
        """The deferred rows without which the level says nothing; with fewer, every set would hold all labels."""
        level = Fraction(str(self.level))
        return math.ceil(level / (1 - level))

    def min_probability(self, true_probabilities: FloatArray) -> float:
        """Return the bound that keeps the true label of a new deferred input with probability `level` at least.

        It is the j-th smallest of n scores, with ``j = n + 1 - ceil((n + 1) * level)``: by exchangeability a new score
        is smaller than it with a chance of at most ``j / (n + 1)``.

        Args:
            true_probabilities: ``(n,)`` calibrated probability of the true label of each deferred row, `OUT_OF_REACH`
                where that label is dropped.

        Raises:
            CalibrationDataError: The rows are too few for the level.
            InfeasibleTargetError: More true labels are dropped than the level allows.
        """
        n = len(true_probabilities)
        rank = n + 1 - math.ceil((n + 1) * Fraction(str(self.level)))
        if rank < 1:
            raise CalibrationDataError(
                f"a prediction set at level {self.level:g} needs at least {self.rows_needed} deferred rows, and a few "
                f"hundred to be worth it; got {n}: give more labelled rows, or a lower level"
            )
        bound = float(np.sort(true_probabilities)[rank - 1])
        if bound == OUT_OF_REACH:
            reached = float(np.mean(true_probabilities != OUT_OF_REACH))
            raise InfeasibleTargetError(
                f"the labels that are dropped leave the true one to {reached:.4f} of {n} deferred rows, which is too "
                f"few for a prediction set at level {self.level:g}: drop fewer (DropMastered) or ask for a lower level",
                best=reached,
                n=n,
            )
        return bound


def true_scores(probabilities: FloatArray, targets: NDArray[np.intp], dropped: tuple[int, ...] = ()) -> FloatArray:
    """Return ``(n,)`` what `PredictionSet.min_probability` orders.

    Args:
        probabilities: ``(n, k)`` calibrated.
        targets: ``(n,)`` columns of the true labels.
        dropped: Columns of the labels that are no candidates.
    """
    true = np.take_along_axis(probabilities, targets[:, None], axis=1)[:, 0]
    return np.where(np.isin(targets, dropped), OUT_OF_REACH, true)
