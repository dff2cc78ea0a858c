"""Fit calibrations, and choose among them by held-out likelihood. Needs the extra ``fit`` (SciPy, scikit-learn)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from langchain_datashunt.errors import CalibrationDataError, MissingExtraError
from langchain_datashunt.policy.calibration import (
    Calibration,
    IsotonicCalibration,
    NoCalibration,
    TemperatureScaling,
    log_probabilities,
)
from langchain_datashunt.policy.reliability import row_losses
from langchain_datashunt.types import FloatArray

Targets = NDArray[np.intp]
CalibrationChoice = Literal["auto", "none", "temperature", "isotonic"]

TEMPERATURE_BOUNDS = (0.05, 100.0)
FOLDS = 5
_MIN_ROWS_TO_CHOOSE = 2 * FOLDS


@dataclass(frozen=True, slots=True)
class ChosenCalibration:
    """A fitted calibration, and what it was chosen for.

    Attributes:
        calibration: Fitted on all the rows.
        held_out_nll: Negative log-likelihood of each kind on folds that did not fit it; empty where the kind was given.
        n: Rows.
    """

    calibration: Calibration
    held_out_nll: dict[str, float]
    n: int


def choose_calibration(
    probabilities: FloatArray, targets: Targets, choice: CalibrationChoice = "auto"
) -> ChosenCalibration:
    """Fit the calibration that was asked for, or the one of least held-out negative log-likelihood.

    With ``auto`` each kind is fitted on four fifths of the rows and scored on the other, five times. The simplest wins
    unless a more complex one (none, temperature, isotonic, in this order) is better by more than one standard error of
    the difference by rows. With fewer than 10 rows nothing can be chosen, and the temperature is fitted.

    Args:
        probabilities: ``(n, k)`` uncalibrated, in random order.
        targets: ``(n,)`` columns of the true classes.
        choice: ``auto``, or one of the kinds.

    Raises:
        CalibrationDataError: There are no rows to fit on, or the choice is unknown.
    """
    if choice == "auto" and len(probabilities) >= _MIN_ROWS_TO_CHOOSE:
        losses = {kind: _held_out_losses(fit, probabilities, targets) for kind, fit in _FITS.items()}
        kind = _simplest_of_the_best(losses)
        held_out = {name: float(loss.mean()) for name, loss in losses.items()}
        return ChosenCalibration(_FITS[kind](probabilities, targets), held_out, len(probabilities))
    kind = "temperature" if choice == "auto" else choice
    if kind not in _FITS:
        raise CalibrationDataError(f"unknown calibration {choice!r}, expected one of {['auto', *_FITS]}")
    return ChosenCalibration(_FITS[kind](probabilities, targets), {}, len(probabilities))


def fit_temperature(probabilities: FloatArray, targets: Targets) -> TemperatureScaling:
    """Fit the temperature of least negative log-likelihood.

    The search is a bounded scalar one on the log of the temperature, where the loss has one minimum. Classes without
    rows and saturated probabilities (exact 0 and 1) are fine.

    Args:
        probabilities: ``(n, k)`` uncalibrated.
        targets: ``(n,)`` columns of the true classes.

    Raises:
        CalibrationDataError: There are no rows.
    """
    _require_rows(probabilities)
    try:
        from scipy.optimize import minimize_scalar  # noqa: PLC0415  an extra, needed only while fitting
    except ImportError as error:
        raise MissingExtraError("fitting a calibration", "fit") from error
    logs = log_probabilities(probabilities)
    # Shifting a row by its largest entry changes no softmax, and no exp below can overflow at any temperature.
    logs -= logs.max(axis=1, keepdims=True)
    true_logs = np.take_along_axis(logs, targets[:, None], axis=1)[:, 0]
    scaled = np.empty_like(logs)

    def loss(log_temperature: float) -> float:
        inverse = np.exp(-log_temperature)
        np.multiply(logs, inverse, out=scaled)
        np.exp(scaled, out=scaled)
        return float(np.mean(np.log(scaled.sum(axis=1)) - true_logs * inverse))

    found = minimize_scalar(loss, bounds=np.log(TEMPERATURE_BOUNDS), method="bounded", options={"xatol": 1e-4})
    return TemperatureScaling(float(np.exp(found.x)))


def fit_isotonic(probabilities: FloatArray, targets: Targets) -> IsotonicCalibration:
    """Fit one increasing function to the entries of all classes, whose events are "this is the true class".

    The identity is mixed in with the weight of one row, so that no class is ever impossible.

    Args:
        probabilities: ``(n, k)`` uncalibrated.
        targets: ``(n,)`` columns of the true classes.

    Raises:
        CalibrationDataError: There are no rows.
    """
    _require_rows(probabilities)
    try:
        from sklearn.isotonic import isotonic_regression  # noqa: PLC0415  an extra, needed only while fitting
    except ImportError as error:
        raise MissingExtraError("fitting an isotonic calibration", "fit") from error
    events = np.zeros(probabilities.shape, dtype=np.float64)
    np.put_along_axis(events, targets[:, None], 1.0, axis=1)
    order = np.argsort(probabilities, axis=None)
    entries = probabilities.ravel()[order]
    starts = np.flatnonzero(np.append(True, np.diff(entries) > 0))
    counts = np.diff(np.append(starts, len(entries))).astype(np.float64)
    means = np.add.reduceat(events.ravel()[order], starts) / counts
    outputs = isotonic_regression(means, sample_weight=counts, y_min=0.0, y_max=1.0)
    inputs, outputs = _block_ends(entries[starts], outputs)
    return IsotonicCalibration(tuple(inputs.tolist()), tuple(outputs.tolist()), slope=1 / (len(probabilities) + 1))


def _block_ends(inputs: FloatArray, outputs: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Keep the first and the last knot of each run of equal outputs: between them the function is constant."""
    differs = np.diff(outputs) != 0
    kept = np.append(True, differs) | np.append(differs, True)
    return inputs[kept], outputs[kept]


def _no_calibration(probabilities: FloatArray, targets: Targets) -> NoCalibration:  # noqa: ARG001  as the others
    return NoCalibration()


_FITS: dict[str, Callable[[FloatArray, Targets], Any]] = {
    NoCalibration.kind: _no_calibration,
    TemperatureScaling.kind: fit_temperature,
    IsotonicCalibration.kind: fit_isotonic,
}


def _held_out_losses(
    fit: Callable[[FloatArray, Targets], Calibration], probabilities: FloatArray, targets: Targets
) -> FloatArray:
    """Return the ``(n,)`` losses of rows under calibrations fitted without their fold."""
    folds = np.arange(len(probabilities)) % FOLDS
    losses = np.empty(len(probabilities))
    for fold in range(FOLDS):
        held_out = folds == fold
        calibration = fit(probabilities[~held_out], targets[~held_out])
        losses[held_out] = row_losses(calibration.apply(probabilities[held_out]), targets[held_out])
    return losses


def _simplest_of_the_best(losses: dict[str, FloatArray]) -> str:
    """Return the first kind that no later one beats by more than a standard error of the difference."""
    kinds = list(losses)
    chosen = kinds[0]
    for kind in kinds[1:]:
        difference = losses[chosen] - losses[kind]
        if difference.mean() > difference.std() / np.sqrt(len(difference)):
            chosen = kind
    return chosen


def _require_rows(probabilities: FloatArray) -> None:
    if not len(probabilities):
        raise CalibrationDataError("no rows to calibrate on: give more labelled rows or a larger calibration share")
