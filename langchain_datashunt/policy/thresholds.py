"""Threshold selection: for each goal one search over all candidate thresholds, on arrays.

Each search takes calibration rows, which choose what is tested and in what order, and certification rows, which count.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from langchain_datashunt.errors import InfeasibleTargetError
from langchain_datashunt.policy.certification import Certificate, accepted_counts, accepted_sums, critical_errors
from langchain_datashunt.policy.goals import EndToEnd, MaxDeferral, TargetRisk
from langchain_datashunt.policy.shortfalls import unreached_accuracy, unreached_risk
from langchain_datashunt.policy.threshold_walks import AccuracyWalk, RiskWalk, ScoredRows
from langchain_datashunt.types import FloatArray

SPLIT = "rows split by a seeded hash of the input; the certification rows were used for nothing else"


@dataclass(frozen=True, slots=True, eq=False)
class FoundThreshold:
    """A threshold, what is certified of it, and what else was seen, as plain JSON."""

    threshold: float
    certificate: Certificate | None
    observed: dict[str, Any] = field(default_factory=dict)


def find_target_risk(calibration: ScoredRows, certification: ScoredRows, goal: TargetRisk) -> FoundThreshold:
    """Find the largest coverage whose selective risk is certified.

    Raises:
        InfeasibleTargetError: Nothing can be certified.
    """
    walk = RiskWalk(calibration, certification, 1 - goal.confidence_level)
    passed = walk.passed(goal.risk)
    if not passed:
        raise unreached_risk(calibration, certification, goal, walk)
    chosen = passed - 1
    accepted, errors = int(walk.accepted[chosen]), int(walk.errors[chosen])
    certificate = Certificate(
        quantity="selective_risk",
        target=goal.risk,
        confidence_level=goal.confidence_level,
        method="fixed-sequence testing with exact binomial tests",
        independence=SPLIT,
        n=len(certification),
        n_accepted=accepted,
        observed=errors / accepted,
        n_tested=min(passed + 1, len(walk.thresholds)),
    )
    return FoundThreshold(float(walk.thresholds[chosen]), certificate)


def find_max_deferral(rows: ScoredRows, goal: MaxDeferral) -> FoundThreshold:
    """Find the best threshold within a budget of large calls or cost.

    Raises:
        InfeasibleTargetError: The small calls alone exceed the budget.
    """
    thresholds = midpoints(rows.confidence)
    weights, budget = _budget(rows, goal)
    spent = weights.sum() - accepted_sums(rows.confidence, weights, thresholds)
    affordable = spent <= budget + 1e-9 * weights.sum()
    if goal.large_answers is None:
        chosen = int(np.argmax(affordable))  # thresholds fall, and so does what they spend
    else:
        chosen = int(np.argmin(np.where(affordable, _system_errors(rows, thresholds), np.inf)))
    n_accepted = int(accepted_counts(rows.confidence, thresholds[chosen : chosen + 1])[0])
    if goal.confidence_level is None:
        return FoundThreshold(float(thresholds[chosen]), None)
    certificate = Certificate(
        quantity="deferral_rate",
        target=goal.share,
        confidence_level=goal.confidence_level,
        method="exact binomial tolerance limit on one order statistic fixed beforehand",
        independence="no labels were used, and the order statistic depends on the number of rows only",
        n=len(rows),
        n_accepted=n_accepted,
        observed=1 - n_accepted / len(rows),
        n_tested=1,
    )
    return FoundThreshold(float(thresholds[chosen]), certificate)


def find_end_to_end(calibration: ScoredRows, certification: ScoredRows, goal: EndToEnd) -> FoundThreshold:
    """Find a threshold whose system is certified non-inferior to the large model alone.

    All thresholds that the walk passes are certified together, so the most accurate of them may be chosen afterwards.

    Raises:
        CalibrationDataError: The large model's answers are not known.
        InfeasibleTargetError: Nothing can be certified.
    """
    walk = AccuracyWalk(calibration, certification, 1 - goal.confidence_level)
    passed = walk.passed(goal.margin)
    if not passed:
        raise unreached_accuracy(calibration, certification, goal, walk)
    changes = (walk.gains - walk.losses)[:passed] / len(certification)
    cheapest, most_accurate = passed - 1, passed - 1 - int(np.argmax(changes[::-1]))
    chosen = cheapest if goal.prefer == "cheapest" else most_accurate
    large_accuracy = 1 - float(certification.known_large_wrong.mean())
    certificate = Certificate(
        quantity="accuracy_loss",
        target=goal.margin,
        confidence_level=goal.confidence_level,
        method="fixed-sequence testing with exact conditional McNemar tests",
        independence=SPLIT,
        n=len(certification),
        n_accepted=int(walk.accepted[chosen]),
        observed=-float(changes[chosen]),
        n_tested=min(passed + 1, len(walk.thresholds)),
    )
    observed = {
        "large_accuracy": large_accuracy,
        **{
            name: {
                "threshold": float(walk.thresholds[index]),
                "coverage": float(walk.accepted[index]) / len(certification),
                "system_accuracy": large_accuracy + float(changes[index]),
                **_cost_at(certification, float(walk.thresholds[index]), goal),
            }
            for name, index in (("cheapest", cheapest), ("most_accurate", most_accurate))
        },
    }
    return FoundThreshold(float(walk.thresholds[chosen]), certificate, observed)


def midpoints(confidence: FloatArray) -> FloatArray:
    """Return every threshold that splits these rows differently, highest first; the last, 0, accepts all.

    They lie midway between neighbouring confidences: rows of equal confidence stay together, and rounding in another
    batch size moves no row across.
    """
    levels = np.unique(confidence)[::-1]
    return np.append((levels[:-1] + levels[1:]) / 2, 0.0)


def _budget(rows: ScoredRows, goal: MaxDeferral) -> tuple[FloatArray, float]:
    """Return what deferring each row spends, and how much may be spent on all."""
    n = len(rows)
    if goal.costs is None or rows.large_costs is None:
        if goal.confidence_level is None:
            return np.ones(n), float(np.floor(goal.share * n))
        calls = critical_errors(np.array([n]), goal.share, 1 - goal.confidence_level)[0]
        return np.ones(n), max(float(calls), 0.0)  # deferring nothing keeps every budget
    large = rows.large_costs
    budget = goal.share * large.sum() - goal.costs.small * n
    if budget < 0:
        raise InfeasibleTargetError(
            f"the small calls alone cost {goal.costs.small * n:g} on {n} inputs, more than the budget "
            f"{goal.share * large.sum():g} ({goal.share:g} of the large model's bill): raise the share"
        )
    return large, float(budget)


def _system_errors(rows: ScoredRows, thresholds: FloatArray) -> FloatArray:
    large_wrong = rows.known_large_wrong
    deferred_wrong = large_wrong.sum() - accepted_sums(rows.confidence, large_wrong, thresholds)
    return np.asarray(accepted_sums(rows.confidence, rows.wrong, thresholds) + deferred_wrong)


def _cost_at(rows: ScoredRows, threshold: float, goal: EndToEnd) -> dict[str, float]:
    if goal.costs is None or rows.large_costs is None:
        return {}
    deferred = np.where(rows.confidence < threshold, rows.large_costs, 0.0)
    cost = goal.costs.small + float(deferred.mean())
    return {"cost": cost, "cost_of_large_alone": float(rows.large_costs.mean())}
