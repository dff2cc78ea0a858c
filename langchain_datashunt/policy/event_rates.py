"""How often something happens at each confidence, from few rows: a logistic fit, and how far it may be off."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from langchain_datashunt.types import BoolArray, FloatArray

_TINY = 1e-9
_CALIBRATED = np.array([0.0, -1.0])
"""Intercept and slope at which the error rate is ``1 - confidence``."""
_MAX_STEPS = 50
_CONVERGED = 1e-8
_NODES = np.array([-np.sqrt(3), 0.0, np.sqrt(3)])
_WEIGHTS = np.array([1, 4, 1]) / 6
"""Gauss-Hermite rule for averages over a standard normal distribution."""


@dataclass(frozen=True, slots=True, eq=False)
class EventRates:
    """A logistic fit of events on the log-odds of the confidence.

    Attributes:
        design: ``(n, 2)`` one and log-odds of each row.
        weights: ``(2,)`` most likely intercept and slope.
        spread: ``(2, 2)`` Cholesky factor of their covariance (Laplace's approximation).
    """

    design: FloatArray
    weights: FloatArray
    spread: FloatArray

    def expected(self) -> FloatArray:
        """Return ``(n,)`` chances of the event."""
        return _sigmoid(self.design @ self.weights)

    def possible(self) -> Iterator[tuple[float, FloatArray]]:
        """Yield what the rates may be: nine times a weight and ``(n,)`` chances; the weights sum to 1.

        Averages over them are averages over what the rows leave open, without drawing anything at random.
        """
        for first, first_weight in zip(_NODES, _WEIGHTS, strict=True):
            for second, second_weight in zip(_NODES, _WEIGHTS, strict=True):
                weights = self.weights + self.spread @ np.array([first, second])
                yield float(first_weight * second_weight), _sigmoid(self.design @ weights)


def fit_event_rates(confidence: FloatArray, events: BoolArray) -> EventRates:
    """Fit the chance of an event to the confidence.

    A weak ridge draws the fit towards ``1 - confidence``, the error rate of a calibrated model, so that few rows, or
    rows without any event, give sensible rates.

    Args:
        confidence: ``(n,)`` in [0, 1].
        events: ``(n,)``.
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
    return EventRates(design, weights, np.linalg.cholesky(np.linalg.inv(curvature)))


def _sigmoid(values: FloatArray) -> FloatArray:
    return np.asarray(1 / (1 + np.exp(-np.clip(values, -500, 500))))
