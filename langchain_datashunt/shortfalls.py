"""What to say when a goal is out of reach: the best that is achievable, and how many labels would do."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from langchain_datashunt.certification import accepted_sums, passing_power
from langchain_datashunt.errors import InfeasibleTargetError
from langchain_datashunt.goals import EndToEnd, TargetRisk
from langchain_datashunt.threshold_order import candidate_thresholds, expected_risk
from langchain_datashunt.threshold_walks import AccuracyWalk, RiskWalk, ScoredRows

POWER = 0.8
"""Chance of success at which a number of labels "would do"."""

_GROWTH = 1.25
_PRECISION = 1e-4
_MOST_LABELS = 10_000_000
_NORMAL_QUANTILE_OF_POWER = 0.8416


def unreached_risk(calibration: ScoredRows, certification: ScoredRows, goal: TargetRisk) -> InfeasibleTargetError:
    """Return the error for a `TargetRisk` that nothing reaches, with what is achievable."""
    level = 1 - goal.confidence_level
    n = len(certification)
    best, coverage = _best(lambda target: RiskWalk(calibration, certification, target, level), goal.risk, n)
    more, remedy = _remedy(_labels_for_risk(calibration, certification, goal.risk, level), n)
    return InfeasibleTargetError(
        f"no threshold reaches target risk {goal.risk:g} on {n} certification rows at level "
        f"{goal.confidence_level:g}; {_achievable('risk', best, coverage)}; {remedy}",
        best=best,
        coverage=coverage,
        n=n,
        more_labels=more,
    )


def unreached_accuracy(calibration: ScoredRows, certification: ScoredRows, goal: EndToEnd) -> InfeasibleTargetError:
    """Return the error for an `EndToEnd` margin that nothing reaches, with what is achievable."""
    level = 1 - goal.confidence_level
    n = len(certification)
    best, coverage = _best(lambda margin: AccuracyWalk(calibration, certification, margin, level), goal.margin, n)
    more, remedy = _remedy(_labels_for_accuracy(certification, goal.margin, level), n)
    return InfeasibleTargetError(
        f"no threshold keeps system accuracy within margin {goal.margin:g} of the large model's on {n} certification "
        f"rows at level {goal.confidence_level:g}; {_achievable('margin', best, coverage)}; {remedy}",
        best=best,
        coverage=coverage,
        n=n,
        more_labels=more,
    )


def _achievable(name: str, best: float | None, coverage: float | None) -> str:
    if best is None:
        return f"no {name} below 1 can be certified"
    return f"the lowest certified {name} is {best:.4f} at coverage {coverage:.3f}"


def _remedy(labels: int | None, n: int) -> tuple[int | None, str]:
    if labels is None:
        return None, "no number of labels would do with this small model: improve it, or ask for less"
    more = max(labels - n, 1)
    return more, f"about {more} more certification rows would do if these are typical; or ask for less"


def _best(
    walk_at: Callable[[float], RiskWalk | AccuracyWalk], failed: float, n: int
) -> tuple[float | None, float | None]:
    """Return the lowest target that a walk passes, by bisection above one that failed, and its coverage."""
    passing = 0.999
    best = walk_at(passing)
    if not best.passed:
        return None, None
    while passing - failed > _PRECISION:
        middle = (passing + failed) / 2
        walk = walk_at(middle)
        if walk.passed:
            passing, best = middle, walk
        else:
            failed = middle
    return passing, float(best.accepted[best.passed - 1]) / n


def _labels_for_risk(calibration: ScoredRows, certification: ScoredRows, target: float, level: float) -> int | None:
    """Return the certification rows with which some threshold passes with a chance of `POWER`."""
    confidence = np.concatenate([calibration.confidence, certification.confidence])
    wrong = np.concatenate([calibration.wrong, certification.wrong])
    share, risk = expected_risk(confidence, wrong, candidate_thresholds(confidence))
    n = float(len(certification))
    while (n := n * _GROWTH) < _MOST_LABELS:
        accepted = np.floor(n * share).astype(np.intp)
        if passing_power(accepted, risk, target, level).max() >= POWER:
            return int(n)
    return None


def _labels_for_accuracy(rows: ScoredRows, margin: float, level: float) -> int | None:
    """Return, by normal approximation, the rows with which the best threshold passes with a chance of `POWER`."""
    from scipy.special import ndtri  # noqa: PLC0415  an extra, needed only while fitting

    n = len(rows)
    thresholds = candidate_thresholds(rows.confidence)
    lost = accepted_sums(rows.confidence, rows.losses, thresholds) / n
    gained = accepted_sums(rows.confidence, rows.gains, thresholds) / n
    change = gained - lost
    deviations = (change + margin) / np.sqrt(np.maximum(gained + lost - change**2, 1 / n))
    if deviations.max() <= 0:
        return None
    needed = ((_NORMAL_QUANTILE_OF_POWER - float(ndtri(level))) / deviations.max()) ** 2
    return None if needed > _MOST_LABELS else max(int(np.ceil(needed)), n + 1)
