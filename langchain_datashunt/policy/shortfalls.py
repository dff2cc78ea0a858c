"""What to say when a goal is out of reach: the best that is achievable, and how many labels would do."""

from __future__ import annotations

import numpy as np

from langchain_datashunt.errors import InfeasibleTargetError
from langchain_datashunt.policy.certification import accepted_sums, passing_power
from langchain_datashunt.policy.goals import EndToEnd, TargetRisk
from langchain_datashunt.policy.threshold_order import candidate_thresholds, expected_risk
from langchain_datashunt.policy.threshold_walks import AccuracyWalk, RiskWalk, ScoredRows
from langchain_datashunt.types import BoolArray, FloatArray

POWER = 0.8
"""Chance of success at which a number of labels "would do"."""

_GROWTH = 1.25
_MOST_ROWS = 10_000_000
_NORMAL_QUANTILE_OF_POWER = 0.8416


def unreached_risk(
    calibration: ScoredRows, certification: ScoredRows, goal: TargetRisk, walk: RiskWalk
) -> InfeasibleTargetError:
    """Return the error for a `TargetRisk` that the walk does not reach, with what is achievable."""
    confidence = np.concatenate([calibration.confidence, certification.confidence])
    wrong = np.concatenate([calibration.wrong, certification.wrong])
    needed = _rows_for_risk(confidence, wrong, goal.risk, walk)
    failure = f"no threshold reaches target risk {goal.risk:g}"
    return _error(failure, "risk", walk, _more_labels(needed, len(calibration), walk.n))


def unreached_accuracy(
    calibration: ScoredRows, certification: ScoredRows, goal: EndToEnd, walk: AccuracyWalk
) -> InfeasibleTargetError:
    """Return the error for an `EndToEnd` margin that the walk does not reach, with what is achievable."""
    needed = _rows_for_accuracy(certification, goal.margin, walk)
    failure = f"no threshold keeps system accuracy within margin {goal.margin:g} of the large model's"
    return _error(failure, "margin", walk, _more_labels(needed, len(calibration), walk.n))


def _error(failure: str, name: str, walk: RiskWalk | AccuracyWalk, more_labels: int | None) -> InfeasibleTargetError:
    best = float(walk.limits[0])
    coverage = None if best >= 1 else float(walk.accepted[walk.passed(best) - 1]) / walk.n
    achievable = (
        f"no {name} below 1 can be certified"
        if best >= 1
        else f"the lowest certified {name} is {best:.4f} at coverage {coverage:.3f}"
    )
    remedy = (
        "no number of labels would do with this small model: improve it, or ask for less"
        if more_labels is None
        else f"about {more_labels} more labelled rows would do if these are typical; or ask for less"
    )
    return InfeasibleTargetError(
        f"{failure} on {walk.n} certification rows at level {1 - walk.level:g}; {achievable}; {remedy}",
        best=best if best < 1 else None,
        coverage=coverage,
        n=walk.n,
        more_labels=more_labels,
    )


def _more_labels(needed: int | None, n_calibration: int, n: int) -> int | None:
    """Return the labelled rows to add, of which the same share as before will certify."""
    return None if needed is None else max(int(np.ceil((needed - n) * (n_calibration + n) / n)), 1)


def _rows_for_risk(confidence: FloatArray, wrong: BoolArray, target: float, walk: RiskWalk) -> int | None:
    """Return the certification rows with which some threshold passes with a chance of `POWER`."""
    share, risk = expected_risk(confidence, wrong, candidate_thresholds(confidence))
    n = float(walk.n)
    while (n := n * _GROWTH) < _MOST_ROWS:
        accepted = np.floor(n * share).astype(np.intp)
        if passing_power(accepted, risk, target, walk.level).max() >= POWER:
            return int(n)
    return None


def _rows_for_accuracy(rows: ScoredRows, margin: float, walk: AccuracyWalk) -> int | None:
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
    needed = ((_NORMAL_QUANTILE_OF_POWER - float(ndtri(walk.level))) / deviations.max()) ** 2
    return None if needed > _MOST_ROWS else max(int(np.ceil(needed)), n + 1)
