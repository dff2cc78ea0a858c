"""Risk-coverage: what the small model's errors are at each share of inputs that it answers.

Rows of equal confidence are accepted together, so the order of the rows changes no number.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from langchain_datashunt.errors import CalibrationDataError
from langchain_datashunt.policy.certification import exact_interval
from langchain_datashunt.types import BoolArray, FloatArray

MIN_GROUP_SIZE = 30


@dataclass(frozen=True, slots=True, eq=False)
class RiskCoverage:
    """The curve: one point for each distinct confidence, from the surest rows to all.

    Attributes:
        thresholds: ``(m,)`` distinct confidences, falling; a threshold there gives the point.
        accepted: ``(m,)`` rows at or above the threshold.
        errors: ``(m,)`` errors among them.
        n: All rows.
    """

    thresholds: FloatArray
    accepted: NDArray[np.intp]
    errors: NDArray[np.intp]
    n: int

    @property
    def coverage(self) -> FloatArray:
        """``(m,)`` share of rows accepted, rising to 1."""
        return self.accepted / self.n

    @property
    def risk(self) -> FloatArray:
        """``(m,)`` selective risk: share of errors among the accepted."""
        return np.asarray(self.errors / self.accepted)

    @property
    def area(self) -> float:
        """Area under the curve (AURC): the mean selective risk of the 1, 2, ... n surest rows.

        Within rows of equal confidence errors are spread evenly, which is their mean over all orders.
        """
        ranks = np.arange(1, self.n + 1)
        return float(np.mean(self._errors_at(ranks) / ranks))

    def risk_at(self, coverage: float) -> float:
        """Return the selective risk of the surest share of rows; within equal confidences, of its mean order.

        Args:
            coverage: In (0, 1].
        """
        if not 0 < coverage <= 1:
            raise ValueError(f"coverage must lie in (0, 1], got {coverage!r}")
        rank = max(coverage * self.n, 1.0)
        return float(self._errors_at(np.array([rank]))[0] / rank)

    def _errors_at(self, ranks: NDArray[np.floating] | NDArray[np.integer]) -> FloatArray:
        return np.asarray(np.interp(ranks, np.append(0, self.accepted), np.append(0, self.errors)))


def risk_coverage(confidence: FloatArray, wrong: BoolArray) -> RiskCoverage:
    """Return the risk-coverage curve.

    Args:
        confidence: ``(n,)``, n at least 1.
        wrong: ``(n,)`` whether the label is wrong.

    Raises:
        CalibrationDataError: There are no rows.
    """
    if not len(confidence):
        raise CalibrationDataError("a risk-coverage curve needs at least one labelled row")
    levels, index = np.unique(-confidence, return_inverse=True)
    return RiskCoverage(
        thresholds=-levels,
        accepted=np.cumsum(np.bincount(index)),
        errors=np.cumsum(np.bincount(index, wrong)).astype(np.intp),
        n=len(confidence),
    )


@dataclass(frozen=True, slots=True)
class GroupRisk:
    """A group at one threshold.

    Attributes:
        group: Its name.
        n: Rows.
        n_accepted: Rows accepted.
        n_errors: Errors among them.
        risk: Selective risk; None where fewer rows than the minimum were accepted.
        interval: 95 % Clopper-Pearson interval of the risk, of this group alone (not corrected for the number of
            groups); None where `risk` is.
    """

    group: str
    n: int
    n_accepted: int
    n_errors: int
    risk: float | None
    interval: tuple[float, float] | None

    @property
    def coverage(self) -> float:
        """Share of the group's rows that are accepted."""
        return self.n_accepted / self.n


def group_risks(
    accepted: BoolArray, wrong: BoolArray, groups: Sequence[str], min_n: int = MIN_GROUP_SIZE
) -> list[GroupRisk]:
    """Return the selective risk of each group (class, language, tenant), sorted by name.

    A certificate bounds the risk over all inputs; a group may be far from it, which this shows.

    Args:
        accepted: ``(n,)`` whether the small model answers.
        wrong: ``(n,)`` whether it is wrong.
        groups: ``(n,)`` names.
        min_n: Accepted rows below which no risk is stated.
    """
    if not len(accepted) == len(wrong) == len(groups):
        raise CalibrationDataError(f"got {len(accepted)} decisions, {len(wrong)} outcomes and {len(groups)} groups")
    names, index = np.unique(np.asarray(groups, dtype=np.str_), return_inverse=True)
    sizes = np.bincount(index)
    accepted_sizes = np.bincount(index, accepted, len(names)).astype(int)
    errors = np.bincount(index, accepted & wrong, len(names)).astype(int)
    return [
        _group_risk(str(name), int(n), int(n_accepted), int(n_errors), min_n)
        for name, n, n_accepted, n_errors in zip(names, sizes, accepted_sizes, errors, strict=True)
    ]


def _group_risk(name: str, n: int, n_accepted: int, n_errors: int, min_n: int) -> GroupRisk:
    if n_accepted < max(min_n, 1):
        return GroupRisk(name, n, n_accepted, n_errors, None, None)
    return GroupRisk(name, n, n_accepted, n_errors, n_errors / n_accepted, exact_interval(n_errors, n_accepted))
