"""Exact tests of two systems on the same rows, and how many rows they need."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from langchain_datashunt.policy.certification import exact_interval, margin_limits, upper_limit
from langchain_datashunt.policy.shortfalls import POWER
from langchain_datashunt.types import BoolArray

_NO_DISTANCE = 1e-9
"""Less than this between a change and what it must be above is what rounding leaves."""


@dataclass(frozen=True, slots=True)
class PairedChange:
    """By how much a rate changes from one system to another on the same rows.

    Attributes:
        change: Share of rows gained minus share lost.
        interval: Of the change, given on how many rows the two differ (Clopper-Pearson on the share of gains among
            those); it leaves out `error_level` on each side, and lies above 0 where McNemar's exact test rejects.
        gains: Rows where only the new system does.
        losses: Rows where only the old one does.
        n: Rows.
        error_level: One-sided.
    """

    change: float
    interval: tuple[float, float]
    gains: int
    losses: int
    n: int
    error_level: float

    @classmethod
    def of(cls, new: BoolArray, old: BoolArray, error_level: float) -> PairedChange:
        """Compare two ``(n,)`` outcomes of the same rows, n at least 1."""
        gains, losses, n = int((new & ~old).sum()), int((old & ~new).sum()), len(new)
        differing = gains + losses
        low, high = exact_interval(gains, differing, 1 - 2 * error_level)
        rate = differing / n
        interval = ((2 * low - 1) * rate, (2 * high - 1) * rate)
        return cls((gains - losses) / n, interval, gains, losses, n, error_level)

    def above(self, margin: float) -> bool:
        """Return whether the change is shown to be above ``-margin``.

        For 0 by McNemar's exact test; for other margins by `margin_limits`, which keeps a fiftieth of the error level
        for the share of rows that differ.
        """
        return self._shown(self.losses, self.gains, self.n, margin)

    def rows_needed(self, margin: float) -> int | None:
        """Return the rows with which `above` would succeed four times in five if the change is as observed.

        The counts of so many rows are taken where a normal approximation puts their worst fifth, and then tested as
        `above` tests. None where the observed change is not above ``-margin``, so that no number would do.
        """
        if self.change + margin < _NO_DISTANCE:
            return None
        too_few, enough = self.n, self.n + 1
        while not self._likely_shown(enough, margin):
            too_few, enough = enough, 2 * enough
        while enough - too_few > 1:
            middle = (too_few + enough) // 2
            too_few, enough = (too_few, middle) if self._likely_shown(middle, margin) else (middle, enough)
        return enough

    def _likely_shown(self, n: int, margin: float) -> bool:
        from scipy.special import ndtri  # noqa: PLC0415  an extra

        differing = (self.gains + self.losses) / self.n
        deviation = float(np.sqrt((differing - self.change**2) / n))
        low = max(self.change - float(ndtri(POWER)) * deviation, -differing)
        return self._shown(n * (differing - low) / 2, n * (differing + low) / 2, n, margin)

    def _shown(self, losses: float, gains: float, n: int, margin: float) -> bool:
        counts = np.array([losses]), np.array([gains])
        if margin == 0:
            return bool(upper_limit(counts[0], counts[0] + counts[1], self.error_level)[0] < 1 / 2)
        return bool(margin_limits(*counts, n, self.error_level)[0] <= margin)

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON."""
        return {**asdict(self), "interval": list(self.interval)}
