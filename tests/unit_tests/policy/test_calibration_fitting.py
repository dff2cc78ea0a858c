from __future__ import annotations

import numpy as np
import pytest

from langchain_datashunt.errors import CalibrationDataError
from langchain_datashunt.policy.calibration import IsotonicCalibration, NoCalibration, TemperatureScaling
from langchain_datashunt.policy.calibration_fitting import choose_calibration, fit_isotonic, fit_temperature
from langchain_datashunt.policy.reliability import calibration_metrics, negative_log_likelihood
from langchain_datashunt.types import FloatArray

Drawn = tuple[FloatArray, np.ndarray]


def draw(n: int, k: int, said: float = 1.0, seed: int = 0, spread: float = 2.0) -> Drawn:
    """Draw rows whose true chances are a softmax; the model says their power `said`."""
    rng = np.random.default_rng(seed)
    logits = spread * rng.normal(size=(n, k))
    true = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    targets = (np.cumsum(true, axis=1) < rng.random((n, 1))).sum(axis=1)
    model = np.exp(said * logits) / np.exp(said * logits).sum(axis=1, keepdims=True)
    return model, targets


@pytest.mark.parametrize("k", [2, 150])
@pytest.mark.parametrize("said", [0.5, 1.0, 3.0])
def test_the_fitted_temperature_undoes_the_models_own(k: int, said: float) -> None:
    fitted = fit_temperature(*draw(20_000, k, said))
    assert fitted.temperature == pytest.approx(said, rel=0.05)


def test_the_fitted_temperature_is_the_best_one() -> None:
    probabilities, targets = draw(3_000, 5, said=2.0)
    best = negative_log_likelihood(fit_temperature(probabilities, targets).apply(probabilities), targets)
    for temperature in (0.5, 1.0, 1.9, 2.1, 5.0):
        assert best <= negative_log_likelihood(TemperatureScaling(temperature).apply(probabilities), targets)


def test_classes_without_rows_do_not_hinder_a_fit() -> None:
    probabilities, targets = draw(2_000, 150, said=2.0)
    few = targets < 3
    for fit in (fit_temperature, fit_isotonic):
        calibrated = fit(probabilities[few], targets[few]).apply(probabilities)
        assert np.isfinite(calibrated).all()


def test_saturated_probabilities_are_softened_where_they_are_wrong() -> None:
    saturated = np.tile([1.0, 0.0], (100, 1))
    targets = np.array([0] * 90 + [1] * 10)
    for fit in (fit_temperature, fit_isotonic):
        assert fit(saturated, targets).apply(saturated)[0, 0] == pytest.approx(0.9, abs=0.02)


def test_a_model_that_is_always_right_is_sharpened_within_bounds() -> None:
    probabilities = np.tile([0.8, 0.2], (50, 1))
    fitted = fit_temperature(probabilities, np.zeros(50, dtype=np.intp))
    assert 0.05 <= fitted.temperature < 0.1


def test_isotonic_mends_what_no_temperature_can() -> None:
    rng = np.random.default_rng(0)
    true = rng.uniform(size=20_000)
    said = np.where(true > 0.5, 0.5 + 0.1 * true, 0.5 * true)  # high chances are squeezed, low ones are not
    probabilities = np.column_stack([said, 1 - said])
    targets = (rng.random(20_000) > true).astype(np.intp)
    errors = {
        name: calibration_metrics(fit(probabilities, targets).apply(probabilities), targets)["nll"]
        for name, fit in (("temperature", fit_temperature), ("isotonic", fit_isotonic))
    }
    assert errors["isotonic"] < errors["temperature"]


@pytest.mark.parametrize("k", [2, 77])
def test_calibration_lowers_the_expected_calibration_error_of_an_overconfident_model(k: int) -> None:
    probabilities, targets = draw(4_000, k, said=3.0)
    chosen = choose_calibration(probabilities[:2_000], targets[:2_000])
    before = calibration_metrics(probabilities[2_000:], targets[2_000:])["ece"]
    after = calibration_metrics(chosen.calibration.apply(probabilities[2_000:]), targets[2_000:])["ece"]
    assert after < before / 3


def test_a_calibrated_model_is_left_alone() -> None:
    assert isinstance(choose_calibration(*draw(2_000, 3)).calibration, NoCalibration)


def test_the_choice_reports_the_held_out_loss_of_every_kind() -> None:
    chosen = choose_calibration(*draw(2_000, 3, said=3.0))
    assert isinstance(chosen.calibration, TemperatureScaling)
    assert set(chosen.held_out_nll) == {"none", "temperature", "isotonic"}
    assert chosen.held_out_nll["temperature"] < chosen.held_out_nll["none"]


def test_isotonic_is_chosen_where_it_is_clearly_better() -> None:
    rng = np.random.default_rng(0)
    said = rng.choice([0.6, 0.9], 4_000)
    right = rng.random(4_000) < np.where(said == 0.9, 0.61, 0.99)  # rising in no way that a temperature makes
    probabilities = np.column_stack([said, 1 - said])
    falling = choose_calibration(probabilities, (~right).astype(np.intp))
    assert falling.held_out_nll["isotonic"] < falling.held_out_nll["temperature"]
    assert isinstance(falling.calibration, IsotonicCalibration)


def test_a_named_kind_is_fitted_without_a_choice() -> None:
    chosen = choose_calibration(*draw(100, 3), "isotonic")
    assert isinstance(chosen.calibration, IsotonicCalibration)
    assert chosen.held_out_nll == {}


def test_with_too_few_rows_to_choose_the_temperature_is_fitted() -> None:
    assert isinstance(choose_calibration(*draw(9, 2)).calibration, TemperatureScaling)


def test_an_unknown_kind_and_no_rows_are_refused() -> None:
    with pytest.raises(CalibrationDataError, match="unknown calibration 'platt'"):
        choose_calibration(*draw(20, 2), "platt")  # type: ignore[arg-type]
    for fit in (fit_temperature, fit_isotonic):
        with pytest.raises(CalibrationDataError, match="no rows"):
            fit(np.empty((0, 2)), np.empty(0, dtype=np.intp))
