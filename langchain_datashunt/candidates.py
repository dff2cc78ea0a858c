"""Candidates: which labels are left for the large model, and how a prompt speaks of them (S4L prompt pruning).

A rule maps calibrated probabilities ``(n, k)`` to a mask ``(n, k)``. `CandidateLabels` and `Prior` are the two values
that the shunt puts into a prompt's variables ``candidates`` and ``prior``: a program reads them as a tuple and a dict,
a template renders them for a reader.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol, Self, runtime_checkable

import numpy as np

from langchain_datashunt.errors import PolicyError
from langchain_datashunt.types import BoolArray, FloatArray

RENDERED_ENTRIES = 10
"""A rendered prior names at most so many labels; the rest stands there as one sum."""


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


class CandidateLabels(tuple[str, ...]):
    """The labels left for the large model, most probable first; ``str()`` gives ``"a, b, c"``."""

    __slots__ = ()

    @classmethod
    def of(cls, classes: Sequence[str], probabilities: FloatArray, kept: BoolArray) -> Self:
        """Return the classes where `kept` is true; `probabilities` and `kept` are one row, ``(k,)``."""
        best_first = np.argsort(-probabilities, kind="stable")
        return cls(classes[column] for column in best_first[kept[best_first]].tolist())

    def __str__(self) -> str:
        return ", ".join(self)


class Prior(dict[str, float]):
    """What the small model believes: label to calibrated probability, most probable first.

    ``str()`` renders it for a reader: rounded to whole percents, at most ten labels, the rest as one sum. It is the
    empty text where no probabilities are known, so that a template's section stays empty.

    Example:
        >>> str(Prior({"positive": 0.712, "negative": 0.288}))
        'positive 71 %, negative 29 %'
    """

    __slots__ = ()

    @classmethod
    def of(cls, classes: Sequence[str], probabilities: FloatArray) -> Self:
        """Return the prior of one row of calibrated probabilities, ``(k,)``."""
        best_first = np.argsort(-probabilities, kind="stable")
        return cls(zip([classes[column] for column in best_first], probabilities[best_first].tolist(), strict=True))

    def among(self, labels: Iterable[str]) -> Prior:
        """Return the prior given that one of `labels` is true: only those, renormalised to sum to 1.

        Labels without an entry have probability 0. Where no entry is left, or nothing but zeros, the result is empty.
        """
        wanted = set(labels)
        left = {label: probability for label, probability in self.items() if label in wanted}
        total = sum(left.values())
        return Prior({label: probability / total for label, probability in left.items()}) if total > 0 else Prior()

    def __str__(self) -> str:
        entries = list(self.items())
        named, rest = entries[:RENDERED_ENTRIES], entries[RENDERED_ENTRIES:]
        parts = [f"{label} {_percent(probability)}" for label, probability in named]
        if rest:
            parts.append(f"{len(rest)} other labels together {_percent(sum(probability for _, probability in rest))}")
        return ", ".join(parts)


def _percent(probability: float) -> str:
    """Render a probability; one that is neither 0 nor 1 is never rounded to 0 % or 100 %."""
    rounded = round(100 * probability)
    if rounded == 0 and probability > 0:
        return "under 1 %"
    if rounded == 100 and probability < 1:  # noqa: PLR2004  a hundred percent
        return "over 99 %"
    return f"{rounded} %"
