"""Which thresholds to test, and where to begin: chosen on calibration rows, before any certification row is seen.

A fixed-sequence walk certifies nothing if its first threshold fails, so it must begin where passing is likeliest; and
it loses coverage if its steps are coarse. Both choices cost power only: whatever they are, the certificate is valid.
Neither depends on the target, so asking for less never gives less coverage.
"""

from __future__ import annotations

import numpy as np

from langchain_datashunt.policy.certification import accepted_counts, accepted_sums, upper_limit
from langchain_datashunt.policy.event_rates import fit_event_rates
from langchain_datashunt.types import BoolArray, FloatArray

MAX_THRESHOLDS = 2000
_STEPS = np.array([1, 3, 5, 7]) / 8
"""Places of the thresholds between two neighbouring confidences: never on one, so that rounding moves no row across."""

_MAX_STARTS = 60
_LUCK = np.array([-1.2816, 0.0, 1.2816])[:, None]
"""Standard deviations of the errors to come over which a start is judged: their 10, 50 and 90 % quantiles."""
_DOUBT = 0.1
"""Errors added to the expected ones: the fit may be wrong where rows are fewest, among the very surest."""
_USUAL_LEVEL = 0.05


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

    The walk begins where the lowest risk is expected to be certified on n rows, and goes down to 0. The order depends
    neither on the target nor on the confidence level, so a higher target never certifies less.

    Args:
        confidence: ``(m,)`` of the calibration rows.
        wrong: ``(m,)`` on the calibration rows.
        n: Certification rows to come.
    """
    thresholds = candidate_thresholds(confidence)
    starts = np.unique(np.linspace(0, len(thresholds) - 1, _MAX_STARTS).astype(np.intp))
    limits = expected_risk_limits(confidence, wrong, thresholds[starts], n)
    return thresholds[starts[int(np.argmin(limits))] :]


def order_for_accuracy(confidence: FloatArray, losses: BoolArray, gains: BoolArray, n: int) -> FloatArray:
    """Return the thresholds to test for `EndToEnd`, in order.

    The walk begins where the system is expected to be ahead of the large model by the most standard deviations on n
    rows, and goes down to 0. The order depends neither on the margin asked for nor on the confidence level, so a wider
    margin never certifies less.

    Args:
        confidence: ``(m,)`` of the calibration rows.
        losses: ``(m,)`` where the small model is wrong and the large one right.
        gains: ``(m,)`` where the small model is right and the large one wrong.
        n: Certification rows to come.
    """
    thresholds = candidate_thresholds(confidence)
    scale = n / len(confidence)
    lost = scale * accepted_sums(confidence, fit_event_rates(confidence, losses).expected(), thresholds)
    gained = scale * accepted_sums(confidence, fit_event_rates(confidence, gains).expected(), thresholds)
    return thresholds[int(np.argmax((gained - lost) / np.sqrt(lost + gained + 1))) :]


def expected_risk(confidence: FloatArray, wrong: BoolArray, thresholds: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return coverage and smoothed selective risk at each threshold, as far as the rows show them."""
    rates = fit_event_rates(confidence, wrong).expected()
    return accepted_counts(confidence, thresholds) / len(confidence), _mean_rates(confidence, rates, thresholds)


def expected_risk_limits(confidence: FloatArray, wrong: BoolArray, thresholds: FloatArray, n: int) -> FloatArray:
    """Return the risk that is expected to be certified at each threshold on n rows to come.

    It is the mean of the exact upper limit, over what the rows leave open about the rate of errors and over the luck of
    the rows to come. The rates come from a logistic fit on the confidence, which is steadier than counting the few
    errors of few rows.

    Args:
        confidence: ``(m,)`` of the calibration rows.
        wrong: ``(m,)`` on the calibration rows.
        thresholds: ``(t,)``.
        n: Certification rows to come.
    """
    counts = accepted_counts(confidence, thresholds)
    accepted = np.floor(n * counts / len(confidence))
    doubt = _DOUBT / (np.maximum(counts, 1) + _DOUBT)
    limits = np.zeros(len(thresholds))
    for weight, rates in fit_event_rates(confidence, wrong).possible():
        risk = _mean_rates(confidence, rates, thresholds)
        risk = risk + (1 - risk) * doubt
        errors = accepted * risk + _LUCK * np.sqrt(accepted * risk * (1 - risk))
        limits += weight * upper_limit(np.clip(errors, 0, accepted), accepted, _USUAL_LEVEL).mean(axis=0)
    return limits


def _mean_rates(confidence: FloatArray, rates: FloatArray, thresholds: FloatArray) -> FloatArray:
    sums, counts = accepted_sums(confidence, rates, thresholds), accepted_counts(confidence, thresholds)
    return np.clip(sums / np.maximum(counts, 1), 0.0, 1.0)
