"""An experiment beyond the policy's one threshold: a threshold for each label that the small model predicts.

A large model may err in one direction more than in the other. Deferring is then worth more where its likely answer is
one that it is usually right about, and a single threshold on confidence cannot say so.
"""

from __future__ import annotations

import numpy as np

from langchain_datashunt.fitting import fit_policy
from langchain_datashunt.policy.goals import MaxDeferral
from langchain_datashunt.types import BoolArray, FloatArray
from tests.evidence.recorded.comparison import PAPER_CALL_RATE, Pair
from tests.evidence.recorded.cross_fitting import IntArray, folds_of

PRICES_OF_A_CALL = np.linspace(0, 1, 2001)


def cross_fit_label_thresholds(pair: Pair, folds: int = 5) -> BoolArray:
    """Return what is accepted, each row by thresholds that were found on the other folds.

    Calibration and budget are those of the certified `MaxDeferral(0.3118)` policy of the same rows: as many calls as
    it would make on them.
    """
    accepted = np.zeros(len(pair.rows), dtype=bool)
    goal = MaxDeferral(PAPER_CALL_RATE, confidence_level=0.95)
    for fit_on, apply_to in folds_of(pair.rows, folds):
        known = pair.at(fit_on)
        policy = fit_policy(pair.small, known.rows.texts, known.rows.labels.tolist(), goal)
        judged = policy.judge(pair.small.predict_proba(known.rows.texts))
        thresholds = best_thresholds(
            judged.confidence,
            judged.probabilities.argmax(axis=1),
            known.small_wrong.astype(int) - known.large_wrong.astype(int),
            budget=int((~judged.accepted).sum()),
        )
        probabilities = pair.small.predict_proba(pair.at(apply_to).rows.texts)
        accepted[apply_to] = policy.accepts(probabilities, threshold=thresholds[probabilities.argmax(axis=1)])
    return accepted


def hindsight_label_thresholds(pair: Pair, max_rate: float = PAPER_CALL_RATE) -> BoolArray:
    """Return what the best thresholds accept, found on the very rows that are scored: no system, a limit."""
    probabilities = pair.small.predict_proba(pair.rows.texts)
    confidence, predicted = probabilities.max(axis=1), probabilities.argmax(axis=1)
    gain = pair.small_wrong.astype(int) - pair.large_wrong.astype(int)
    return confidence >= best_thresholds(confidence, predicted, gain, int(max_rate * len(gain)))[predicted]


def best_thresholds(confidence: FloatArray, predicted: IntArray, gain: IntArray, budget: int) -> FloatArray:
    """Return one threshold a predicted label: the most errors mended within a budget of deferred rows.

    Args:
        confidence: ``(n,)``.
        predicted: ``(n,)`` columns of the small model's labels.
        gain: ``(n,)`` 1 where deferring mends an error, -1 where it makes one, 0 elsewhere.
        budget: Rows that may be deferred in all.

    The budget is shared out by one price of a call, the lowest that keeps it (Lagrangian relaxation).
    """
    labels = range(int(predicted.max()) + 1)
    curves = [_gain_curve(confidence[predicted == label], gain[predicted == label]) for label in labels]
    for price in PRICES_OF_A_CALL:
        best = [int((gains - price * deferred).argmax()) for _, deferred, gains in curves]
        if sum(curve[1][at] for curve, at in zip(curves, best, strict=True)) <= budget:
            break
    return np.array([curve[0][at] for curve, at in zip(curves, best, strict=True)])


def _gain_curve(confidence: FloatArray, gain: IntArray) -> tuple[FloatArray, IntArray, IntArray]:
    """Return thresholds, rows deferred below each, and errors mended by that."""
    order = np.argsort(confidence, kind="stable")
    levels = np.unique(confidence)
    deferred = np.append(0, np.searchsorted(confidence[order], levels, side="right"))
    thresholds = np.concatenate([[0.0], (levels[:-1] + levels[1:]) / 2, [1.0]])
    return thresholds, deferred, np.append(0, np.cumsum(gain[order]))[deferred]
