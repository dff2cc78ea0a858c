"""What a prompt is offered of the small model's knowledge: `CandidateLabels` and `Prior`.

The shunt puts them into a prompt's variables ``candidates`` and ``prior``: a program reads them as a tuple and a dict,
a template renders them for a reader.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Self

import numpy as np

from langchain_datashunt.types import BoolArray, FloatArray

RENDERED_ENTRIES = 10
"""A rendered prior names at most so many labels; the rest stands there as one sum."""


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
