from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import log_loss

from langchain_datashunt.policy.reliability import (
    brier_score,
    calibration_metrics,
    negative_log_likelihood,
    reliability_curve,
)

RNG = np.random.default_rng(0)
PROBABILITIES = RNG.dirichlet(np.ones(3), 500)
TARGETS = RNG.integers(0, 3, 500)


def test_nll_is_scikit_learns_log_loss() -> None:
    assert negative_log_likelihood(PROBABILITIES, TARGETS) == pytest.approx(log_loss(TARGETS, PROBABILITIES))


def test_brier_is_the_squared_distance_to_the_one_hot_row() -> None:
    assert brier_score(PROBABILITIES, TARGETS) == pytest.approx(
        ((PROBABILITIES - np.eye(3)[TARGETS]) ** 2).sum(axis=1).mean()
    )


def test_an_impossible_true_class_costs_much_but_not_infinitely_much() -> None:
    assert 80 < negative_log_likelihood(np.array([[1.0, 0.0]]), np.array([1])) < 100


def test_ece_of_one_bin_is_the_distance_of_mean_confidence_and_accuracy() -> None:
    curve = reliability_curve(np.array([0.9, 0.7, 0.8]), np.array([True, False, False]), bins=1)
    assert curve.calibration_error == pytest.approx(0.8 - 1 / 3)


@pytest.mark.parametrize("binning", ["equal_width", "equal_mass"])
def test_bins_keep_every_row_and_leave_out_empty_ones(binning: str) -> None:
    curve = reliability_curve(np.array([0.2, 0.95, 0.95, 1.0]), np.ones(4, dtype=bool), 10, binning)
    assert curve.counts.sum() == 4
    assert (curve.counts > 0).all()


def test_equal_mass_bins_hold_about_as_many_rows_each() -> None:
    curve = reliability_curve(RNG.random(1_000), RNG.random(1_000) < 0.5, 10, "equal_mass")
    assert curve.counts.tolist() == [100] * 10


def test_rows_of_equal_confidence_share_a_bin() -> None:
    curve = reliability_curve(np.full(100, 0.8), RNG.random(100) < 0.5, 10, "equal_mass")
    assert curve.counts.tolist() == [100]


def test_a_perfectly_calibrated_sample_has_almost_no_error() -> None:
    confidence = np.full(1_000, 0.75)
    correct = np.arange(1_000) < 750
    assert reliability_curve(confidence, correct).calibration_error == pytest.approx(0)


def test_metrics_say_how_they_were_binned() -> None:
    assert calibration_metrics(PROBABILITIES, TARGETS)["ece_bins"] == "15 of equal width"
