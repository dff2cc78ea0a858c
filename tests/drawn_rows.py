"""Rows of a two-class small model whose true risks are known."""

from __future__ import annotations

import numpy as np

from langchain_datashunt.policy.threshold_walks import ScoredRows


def draw(n: int, rng: np.random.Generator, large_accuracy: float | None = None) -> ScoredRows:
    """Draw calibrated rows: confidence is uniform on (0.5, 1), and is the chance to be right."""
    confidence = rng.uniform(0.5, 1, n)
    wrong = rng.random(n) > confidence
    large_wrong = None if large_accuracy is None else rng.random(n) > large_accuracy
    return ScoredRows(confidence, wrong, large_wrong)


def true_risk(threshold: float) -> float:
    """Return the selective risk of `draw` at a threshold."""
    return (1 - max(threshold, 0.5)) / 2


def parts(rows: ScoredRows, share: float = 0.1) -> tuple[ScoredRows, ScoredRows]:
    first = int(len(rows) * share)
    return rows_of(rows, slice(first)), rows_of(rows, slice(first, None))


def rows_of(rows: ScoredRows, index: slice | np.ndarray) -> ScoredRows:
    return ScoredRows(
        rows.confidence[index],
        rows.wrong[index],
        None if rows.large_wrong is None else rows.large_wrong[index],
        None if rows.large_costs is None else rows.large_costs[index],
    )
