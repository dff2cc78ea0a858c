"""Threshold selection: one search over candidate thresholds for each goal, on arrays."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from langchain_datashunt.certification import Certificate, binomial_p_value, count_accepted, walk_sequence
from langchain_datashunt.errors import InfeasibleTargetError
from langchain_datashunt.goals import TargetRisk
from langchain_datashunt.types import BoolArray, FloatArray

GRID_SIZE = 50


@dataclass(frozen=True, slots=True)
class FoundThreshold:
    """A threshold and what is certified of it."""

    threshold: float
    certificate: Certificate


def candidate_thresholds(confidence: FloatArray) -> FloatArray:
    """Return all thresholds that split the rows differently, highest first; the last, 0, accepts all.

    They lie midway between neighbouring confidences, so that rows of equal confidence stay together, and rounding in
    another batch size moves no row across.
    """
    levels = np.unique(confidence)[::-1]
    return np.append((levels[:-1] + levels[1:]) / 2, 0.0)


def certify_target_risk(
    fit_confidence: FloatArray,
    fit_wrong: BoolArray,
    confidence: FloatArray,
    wrong: BoolArray,
    goal: TargetRisk,
) -> FoundThreshold:
    """Find the largest coverage whose selective risk is certified.

    Args:
        fit_confidence: ``(m,)`` confidence of the rows that choose the thresholds to test, and their order.
        fit_wrong: ``(m,)`` whether the small model is wrong on them.
        confidence: ``(n,)`` of the certification rows.
        wrong: ``(n,)`` on the certification rows.
        goal: The target.

    Raises:
        InfeasibleTargetError: Nothing can be certified.
    """
    thresholds = _sequence(fit_confidence, fit_wrong, len(confidence), goal.risk)
    counts = count_accepted(confidence, wrong, thresholds)
    p_values = binomial_p_value(counts.wrong, counts.accepted, goal.risk)
    passed = walk_sequence(p_values, 1 - goal.confidence_level)
    if not passed:
        raise InfeasibleTargetError(
            f"no threshold reaches TargetRisk({goal.risk:g}) on {len(confidence)} certification rows at level "
            f"{goal.confidence_level:g}: give more labelled rows or a higher risk"
        )
    chosen = passed - 1
    accepted, errors = int(counts.accepted[chosen]), int(counts.wrong[chosen])
    return FoundThreshold(
        threshold=float(thresholds[chosen]),
        certificate=Certificate(
            quantity="selective_risk",
            target=goal.risk,
            confidence_level=goal.confidence_level,
            method="fixed-sequence exact binomial test",
            independence="certification rows were used for nothing else",
            n=len(confidence),
            n_accepted=accepted,
            observed=errors / accepted,
            n_tested=min(passed + 1, len(thresholds)),
        ),
    )


def _sequence(confidence: FloatArray, wrong: BoolArray, n: int, target: float) -> FloatArray:
    """Return the thresholds to test, in order: from the one most likely to pass down to 0."""
    candidates = candidate_thresholds(confidence)
    if len(candidates) > GRID_SIZE:
        candidates = candidates[np.linspace(0, len(candidates) - 1, GRID_SIZE).astype(int)]
    counts = count_accepted(confidence, wrong, candidates)
    share = counts.accepted / counts.n
    risk = (counts.wrong + 0.5) / (counts.accepted + 1)
    predicted = binomial_p_value(np.ceil(n * share * risk).astype(int), np.floor(n * share).astype(int), target)
    return candidates[int(np.argmin(predicted)) :]
