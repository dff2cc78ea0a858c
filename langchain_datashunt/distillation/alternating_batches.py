"""The order in which a transformers student sees its rows: a batch to acquire, a batch to retain, and so on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice

import numpy as np

from langchain_datashunt.types import FloatArray

_POOL_OF_BATCHES = 50
"""Rows are shuffled, and sorted by length within pools of so many batches: little is padded, and much stays random."""


def alternating_batches(
    acquire: Sequence[int], retain: Sequence[int], *, epochs: int, batch_size: int, seed: int
) -> list[list[int]]:
    """Return the batches of the whole training, as places in the two stages put one behind the other.

    An epoch shows each row of *acquire* once. Each of its batches is followed by one of *retain*, which goes on through
    its own rows, shuffled anew each time it has shown them all. The same arguments give the same batches.

    Args:
        acquire: Lengths of the texts to acquire, at least one.
        retain: Lengths of the texts to retain.
        epochs: Over the rows to acquire.
        batch_size: Most rows a batch.
        seed: Of the shuffling.
    """
    acquiring = _endless(acquire, batch_size, np.random.default_rng((seed, 0)))
    retaining = _endless(retain, batch_size, np.random.default_rng((seed, 1)))
    first_retained = len(acquire)
    plan: list[list[int]] = []
    for batch in islice(acquiring, epochs * -(-len(acquire) // batch_size)):
        plan.append(batch)
        if retain:
            plan.append([first_retained + row for row in next(retaining)])
    return plan


def stage_scales(acquire: FloatArray, retain: FloatArray) -> FloatArray:
    """Return the weights of all rows as they count in a batch's mean loss.

    Those of *acquire* are scaled to a mean of 1. A batch of *retain* counts for as much less as the stage weighs less
    in all, since it comes as often.
    """
    scaled = np.asarray(acquire / acquire.mean())
    if not len(retain):
        return scaled
    return np.concatenate([scaled, retain / retain.mean() * (retain.sum() / acquire.sum())])


def _endless(lengths: Sequence[int], batch_size: int, rng: np.random.Generator) -> Iterator[list[int]]:
    """Yield batches of rows of similar length, pass after pass.

    Their sizes differ by one at most: a batch's loss is a mean, in which a rest of one row would count as a whole batch
    does, and in a pool sorted by length that row would always be the longest.
    """
    while lengths:
        parts = np.array_split(rng.permutation(len(lengths)), -(-len(lengths) // batch_size))
        batches: list[list[int]] = []
        for start in range(0, len(parts), _POOL_OF_BATCHES):
            pool = parts[start : start + _POOL_OF_BATCHES]
            rows = sorted(np.concatenate(pool).tolist(), key=lambda row: lengths[row])
            batches += [batch.tolist() for batch in np.split(rows, np.cumsum([len(part) for part in pool])[:-1])]
        yield from (batches[place] for place in rng.permutation(len(batches)))
