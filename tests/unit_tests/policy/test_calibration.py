from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from langchain_datashunt.errors import PolicyError
from langchain_datashunt.policy.calibration import (
    Calibration,
    IsotonicCalibration,
    NoCalibration,
    TemperatureScaling,
    calibration_from_dict,
)

CALIBRATIONS: list[Calibration] = [
    NoCalibration(),
    TemperatureScaling(0.3),
    TemperatureScaling(4.0),
    IsotonicCalibration((0.1, 0.4, 0.6, 0.9), (0.0, 0.3, 0.3, 1.0), slope=0.01),
]

weights = arrays(np.float64, (20, 4), elements=st.floats(0.001, 1.0))


@pytest.mark.parametrize("calibration", CALIBRATIONS)
@given(weights=weights)
@settings(max_examples=50)
def test_a_calibration_keeps_the_ranking_of_the_classes_in_a_row(calibration: Calibration, weights: np.ndarray) -> None:
    probabilities = weights / weights.sum(axis=1, keepdims=True)
    calibrated = calibration.apply(probabilities)
    before = probabilities[:, :, None] - probabilities[:, None, :]
    after = calibrated[:, :, None] - calibrated[:, None, :]
    assert (after[before > 1e-6] > 0).all()


@pytest.mark.parametrize("calibration", CALIBRATIONS)
@given(weights=weights)
@settings(max_examples=20)
def test_calibrated_rows_are_distributions(calibration: Calibration, weights: np.ndarray) -> None:
    calibrated = calibration.apply(weights / weights.sum(axis=1, keepdims=True))
    assert (calibrated >= 0).all()
    np.testing.assert_allclose(calibrated.sum(axis=1), 1)


@pytest.mark.parametrize("calibration", CALIBRATIONS)
def test_two_class_rankings_between_rows_are_kept(calibration: Calibration) -> None:
    first = np.linspace(0.01, 0.99, 99)
    calibrated = calibration.apply(np.column_stack([first, 1 - first]))[:, 0]
    assert (np.diff(calibrated) > 0).all()


@pytest.mark.parametrize("calibration", CALIBRATIONS)
def test_saturated_probabilities_stay_distributions(calibration: Calibration) -> None:
    calibrated = calibration.apply(np.array([[1.0, 0.0, 0.0], [0.0, 1e-320, 1.0]]))
    np.testing.assert_allclose(calibrated.sum(axis=1), 1)
    assert calibrated.argmax(axis=1).tolist() == [0, 2]


@pytest.mark.parametrize("calibration", CALIBRATIONS)
def test_an_empty_batch_stays_empty(calibration: Calibration) -> None:
    assert calibration.apply(np.empty((0, 3))).shape == (0, 3)


@pytest.mark.parametrize("calibration", CALIBRATIONS)
def test_the_input_is_not_changed(calibration: Calibration) -> None:
    probabilities = np.array([[0.7, 0.3]])
    calibration.apply(probabilities)
    assert probabilities.tolist() == [[0.7, 0.3]]


@pytest.mark.parametrize("calibration", CALIBRATIONS)
def test_its_json_gives_the_calibration_back(calibration: Calibration) -> None:
    assert calibration_from_dict(calibration.to_dict()) == calibration


@pytest.mark.parametrize("temperature", [0, -1.0, float("nan"), float("inf"), "2", True])
def test_a_temperature_that_is_no_positive_number_is_refused(temperature: float) -> None:
    with pytest.raises(PolicyError, match="positive and finite"):
        TemperatureScaling(temperature)


@pytest.mark.parametrize(
    ("inputs", "outputs", "slope"),
    [((0.5, 0.1), (0.1, 0.2), 0.1), ((0.1, 0.2), (0.5, 0.4), 0.1), ((0.1,), (0.1, 0.2), 0.1), ((0.1,), (2.0,), 0.1),
     ((0.1,), (0.2,), 0.0), ((), (), 0.1), (("a",), (0.2,), 0.1)],
)  # fmt: skip
def test_an_isotonic_calibration_that_is_no_increasing_function_is_refused(
    inputs: tuple[float, ...], outputs: tuple[float, ...], slope: float
) -> None:
    with pytest.raises(PolicyError, match="isotonic"):
        IsotonicCalibration(inputs, outputs, slope)


@pytest.mark.parametrize(
    ("record", "message"),
    [({"kind": "platt"}, "unknown calibration 'platt'"), ({"kind": "temperature"}, "malformed"), ([], "unknown")],
)
def test_an_unknown_or_malformed_record_is_refused(record: dict[str, object], message: str) -> None:
    with pytest.raises(PolicyError, match=message):
        calibration_from_dict(record)
