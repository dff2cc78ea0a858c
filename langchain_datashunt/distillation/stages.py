"""The two stages of 2CD as arrays: inputs, the distributions that they are to teach, and weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from langchain_datashunt.types import BoolArray, FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class Stage:
    """Rows with what they are to teach.

    Attributes:
        inputs: n inputs, a list or an array of rows.
        targets: ``(n, k)`` distributions to learn, rows summing to 1.
        weights: ``(n,)``, at least 0.
        ids: Of the records; ``""`` where no record stands behind a row.
        confidence: ``(n,)`` the teacher's in its most probable class; 1 for a person's label.
        gold: ``(n,)`` where the label is a person's.
    """

    inputs: Any
    targets: FloatArray
    weights: FloatArray
    ids: list[str]
    confidence: FloatArray
    gold: BoolArray

    def __len__(self) -> int:
        return len(self.inputs)

    def where(self, mask: BoolArray) -> Stage:
        """Return the rows where `mask` is true."""
        kept = np.flatnonzero(mask)
        return Stage(
            [self.inputs[row] for row in kept],
            self.targets[kept],
            self.weights[kept],
            [self.ids[row] for row in kept],
            self.confidence[kept],
            self.gold[kept],
        )

    def hardened(self) -> Stage:
        """Return the same rows with each target all on its most probable class."""
        return replace(self, targets=np.eye(self.targets.shape[1])[self.targets.argmax(axis=1)])

    def weighing(self, weights: FloatArray) -> Stage:
        """Return the same rows with other weights."""
        return replace(self, weights=weights)


@dataclass(frozen=True, slots=True, eq=False)
class Lessons:
    """What a student is to learn.

    Attributes:
        classes: In column order.
        acquire: Hard samples towards the teacher's answers, and gold rows towards their labels.
        retain: Easy inputs towards the frozen model's own distribution.
        counts: What became of everything that was given.
    """

    classes: tuple[str, ...]
    acquire: Stage
    retain: Stage
    counts: Mapping[str, int]

    def together(self) -> Stage:
        """Return the rows of both stages."""
        return joined([self.acquire, self.retain])


def joined(stages: Sequence[Stage]) -> Stage:
    """Return the rows of all stages, one after the other."""
    return Stage(
        [each for stage in stages for each in stage.inputs],
        np.concatenate([stage.targets for stage in stages]),
        np.concatenate([stage.weights for stage in stages]),
        [each for stage in stages for each in stage.ids],
        np.concatenate([stage.confidence for stage in stages]),
        np.concatenate([stage.gold for stage in stages]),
    )
