"""Which thresholds to test, and where to begin: chosen on calibration rows, before any certification row is seen.

A fixed-sequence walk certifies nothing if its first threshold fails, so it must begin where passing is likeliest; and
it loses coverage if its steps are coarse. Both choices cost power only: whatever they are, the certificate is valid.
"""

from __future__ import annotations

import numpy as np

from langchain_datashunt.policy.certification import accepted_counts, accepted_sums, upper_limit
from langchain_datashunt.types import BoolArray, FloatArray

MAX_THRESHOLDS = 2000
_STEPS = np.array([1, 3, 5, 7]) / 8
"""Places of the thresholds between two neighbouring confidences: never on one, so that rounding moves no row across."""

_DOUBT = 0.25
"""Errors added to the expected ones: the very surest rows, which are few, would else seem too good."""
_PESSIMISM = 0.9
"""The walk begins where it is this likely to certify the lowest risk."""
_USUAL_LEVEL = 0.05
_TINY = 1e-9
_CALIBRATED = np.array([0.0, -1.0])
"""Intercept and slope at which the error rate is ``1 - confidence``."""
_MAX_STEPS = 50
_CONVERGED = 1e-8


def candidate_thresholds(confidence: FloatArray) -> FloatArray:
    """Return thresholds that tell the rows apart, highest first; the last, 0, accepts all.

    Several lie between each two neighbouring confidences, because other rows will fall between them; rows of equal
    confidence stay together.

    Args:
        confidence: ``(n,)`` in [0, 1].

    Returns:
        ``(m,)`` strictly decreasing, m at most `MAX_THRESHOLDS` + 1.
    """
    levels = np.unique(confidence)
    if len(levels) > MAX_THRESHOLDS // len(_STEPS):
        levels = levels[np.linspace(0, len(levels) - 1, MAX_THRESHOLDS // len(_STEPS)).astype(np.intp)]
    between = levels[:-1, None] + np.diff(levels)[:, None] * _STEPS
    return np.unique(np.append(between.ravel(), 0.0))[::-1]


def order_for_risk(confidence: FloatArray, wrong: BoolArray, n: int) -> FloatArray:
    """Return the thresholds to test for `TargetRisk`, in order.

    The walk begins where the lowest risk will probably be certified on n rows, and goes down to 0. The errors to
    expect come from a logistic fit on the confidence, which is steadier than counting the few errors of few rows. The
    order depends neither on the target nor on the confidence level, so a higher target never certifies less.

    Args:
        confidence: ``(m,)`` of the calibration rows.
        wrong: ``(m,)`` on the calibration rows.
        n: Certification rows to come.
    """
    from scipy.stats import binom  # noqa: PLC0415  an extra, needed only while fitting

    thresholds = candidate_thresholds(confidence)
    share, risk = expected_risk(confidence, wrong, thresholds)
    rows = np.maximum(share * len(confidence), _DOUBT)
    doubted = risk + (1 - risk) * _DOUBT / (rows + _DOUBT)
    accepted = np.floor(n * share).astype(np.intp)
    errors = binom.ppf(_PESSIMISM, accepted, doubted).astype(np.intp)
    return thresholds[int(np.argmin(upper_limit(errors, accepted, _USUAL_LEVEL))) :]


def order_for_accuracy(
    confidence: FloatArray, losses: BoolArray, gains: BoolArray, n: int, margin: float
) -> FloatArray:
    """Return the thresholds to test for `EndToEnd`, in order.

    The walk begins where the loss of accuracy is expected to stay below the margin by the most standard deviations on
    n rows, and goes down to 0.

    Args:
        confidence: ``(m,)`` of the calibration rows.
        losses: ``(m,)`` where the small model is wrong and the large one right.
        gains: ``(m,)`` where the small model is right and the large one wrong.
        n: Certification rows to come.
        margin: The accuracy that may be lost.
    """
    thresholds = candidate_thresholds(confidence)
    scale = n / len(confidence)
    lost = scale * accepted_sums(confidence, fitted_rates(confidence, losses), thresholds)
    gained = scale * accepted_sums(confidence, fitted_rates(confidence, gains), thresholds)
    deviations = (n * margin + gained - lost) / np.sqrt(lost + gained + 1)
    return thresholds[int(np.argmax(deviations)) :]


def expected_risk(confidence: FloatArray, wrong: BoolArray, thresholds: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return coverage and smoothed selective risk at each threshold, as far as the rows show them."""
    accepted = accepted_counts(confidence, thresholds)
    errors = accepted_sums(confidence, fitted_rates(confidence, wrong), thresholds)
    return accepted / len(confidence), np.clip(errors / np.maximum(accepted, 1), 0.0, 1.0)


def fitted_rates(confidence: FloatArray, events: BoolArray) -> FloatArray:
    """Return the chance of an event at each row, from a logistic fit on the log-odds of the confidence.

    A weak ridge draws the fit towards ``1 - confidence``, the error rate of a calibrated model, so that few rows, or
    rows without any event, give sensible rates.
    """
    log_odds = np.log(np.maximum(confidence, _TINY) / np.maximum(1 - confidence, _TINY))
    design = np.column_stack([np.ones_like(log_odds), log_odds])
    weights = _CALIBRATED.copy()
    for _ in range(_MAX_STEPS):
        rates = _sigmoid(design @ weights)
        gradient = design.T @ (events - rates) - (weights - _CALIBRATED)
        curvature = (design * (rates * (1 - rates))[:, None]).T @ design + np.eye(2)
        step = np.linalg.solve(curvature, gradient)
        step /= max(1.0, float(np.abs(step).max()))  # a full Newton step may overshoot where rates saturate
        weights += step
        if np.abs(step).max() < _CONVERGED:
            break
    return _sigmoid(design @ weights)


def _sigmoid(values: FloatArray) -> FloatArray:
    return np.asarray(1 / (1 + np.exp(-np.clip(values, -500, 500))))
