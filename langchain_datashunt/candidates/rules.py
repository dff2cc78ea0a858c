"""Rules that say which labels stay possible, given what the small model says of an input."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np

from langchain_datashunt.errors import PolicyError
from langchain_datashunt.types import BoolArray, FloatArray

ROUNDING = 1e-12
"""By how much a sum of probabilities may fall short of `TopP.p` and still count as reaching it."""


@runtime_checkable
class CandidateRule(Protocol):
    """Which labels stay possible, given what the small model says."""

    def select(self, probabilities: FloatArray, /) -> BoolArray:
        """Return the ``(n, k)`` mask of the labels kept, at least one in each row."""


@dataclass(frozen=True, slots=True)
class TopK:
    """Keep the `k` most probable labels of each row.

    Exactly ``min(k, number of classes)`` labels are kept; of equal probabilities the earlier column stays. This bounds
    the length of the prompt and nothing else: how often the true label is among the `k` is to be measured on deferred
    inputs, where the small model is unsure by construction.

    Example:
        >>> TopK(2).select(np.array([[0.1, 0.6, 0.3]]))
        array([[False,  True,  True]])
    """

    k: int

    def __post_init__(self) -> None:
        """Refuse a `k` that would leave no label."""
        if not isinstance(self.k, int) or isinstance(self.k, bool) or self.k < 1:
            raise PolicyError(f"TopK keeps a whole number of labels, at least 1; got k={self.k!r}")

    def select(self, probabilities: FloatArray, /) -> BoolArray:
        """Return the ``(n, k)`` mask of the labels kept."""
        kept = np.zeros(probabilities.shape, dtype=np.bool_)
        best_first = np.argsort(-probabilities, axis=1, kind="stable")
        np.put_along_axis(kept, best_first[:, : self.k], values=True, axis=1)
        return kept


@dataclass(frozen=True, slots=True)
class TopP:
    """Keep the most probable labels of each row until their probabilities add up to `p`.

    The sure rows keep few labels, the unsure ones many. `p` is what the small model claims that the set holds, not what
    it does hold: among deferred inputs even a calibrated model may be wrong about that, so use `PredictionSet` where a
    level is to be met. The name is the field's for the same cut in sampling (top-p, nucleus).

    Attributes:
        p: In (0, 1]; with 1 every label stays that has any probability.

    Example:
        >>> TopP(0.8).select(np.array([[0.1, 0.6, 0.3]]))
        array([[False,  True,  True]])
    """

    p: float

    def __post_init__(self) -> None:
        """Refuse a `p` that no set of labels could reach."""
        if isinstance(self.p, bool) or not isinstance(self.p, int | float) or not 0 < self.p <= 1:
            raise PolicyError(f"TopP adds up probabilities to p in (0, 1]; got p={self.p!r}")

    def select(self, probabilities: FloatArray, /) -> BoolArray:
        """Return the ``(n, k)`` mask of the labels kept."""
        best_first = np.argsort(-probabilities, axis=1, kind="stable")
        ranked = np.take_along_axis(probabilities, best_first, axis=1)
        before = np.cumsum(ranked, axis=1) - ranked
        needed = (before < self.p - ROUNDING) & (ranked > 0)
        needed[:, 0] = True
        kept = np.zeros(probabilities.shape, dtype=np.bool_)
        np.put_along_axis(kept, best_first, needed, axis=1)
        return kept


@dataclass(frozen=True, slots=True)
class LearnedCandidates:
    """Keep the labels of enough probability that are not dropped: what a policy has learned, ready to apply.

    The most probable label that is not dropped always stays, so no row is left without one.

    Attributes:
        min_probability: Calibrated probability that a label needs; 0 keeps all.
        dropped: Columns of the labels that no row keeps.
    """

    min_probability: float
    dropped: tuple[int, ...]

    def select(self, probabilities: FloatArray, /) -> BoolArray:
        """Return the ``(n, k)`` mask of the labels kept."""
        left = probabilities.copy()
        left[:, list(self.dropped)] = -1.0
        kept: BoolArray = left >= self.min_probability
        kept[np.arange(len(left)), left.argmax(axis=1)] = True
        return kept
