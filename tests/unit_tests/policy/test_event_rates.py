from __future__ import annotations

import numpy as np
import pytest

from langchain_datashunt.policy.event_rates import fit_event_rates


def calibrated(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    confidence = rng.uniform(0.5, 1, n)
    return confidence, rng.random(n) > confidence


def test_many_rows_of_a_calibrated_model_give_one_minus_the_confidence() -> None:
    confidence, wrong = calibrated(20_000)
    assert np.abs(fit_event_rates(confidence, wrong).expected() - (1 - confidence)).max() < 0.02


def test_rows_without_an_event_give_small_rates_and_not_zero() -> None:
    confidence, _ = calibrated(50)
    rates = fit_event_rates(confidence, np.zeros(50, dtype=bool)).expected()
    assert 0 < rates.max() < 0.2


def test_saturated_confidence_gives_finite_rates() -> None:
    rates = fit_event_rates(np.array([1.0] * 30 + [0.0, 0.5]), np.arange(32) > 29)
    assert np.isfinite(rates.expected()).all()
    assert all(np.isfinite(chances).all() for _, chances in rates.possible())


def test_the_weights_of_what_is_possible_sum_to_one() -> None:
    assert sum(weight for weight, _ in fit_event_rates(*calibrated(100)).possible()) == pytest.approx(1)


def test_more_rows_leave_less_open() -> None:
    spans = []
    for n in (50, 500, 5_000):
        chances = np.array([rates for _, rates in fit_event_rates(*calibrated(n)).possible()])
        spans.append((chances.max(axis=0) - chances.min(axis=0)).mean())
    assert spans[0] > 2 * spans[1] > 4 * spans[2]


def test_the_truth_lies_within_what_is_possible() -> None:
    inside = 0
    for seed in range(100):
        confidence, wrong = calibrated(200, seed)
        chances = np.array([rates.mean() for _, rates in fit_event_rates(confidence, wrong).possible()])
        inside += chances.min() < 1 - confidence.mean() < chances.max()
    assert inside > 85
