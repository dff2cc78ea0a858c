"""Calibration: turn a small model's probabilities into ones that mean what they say.

A calibration is a frozen value with `apply`, which needs NumPy only; fitting one needs SciPy (extra ``fit``). Every
calibration here is one monotone function applied to all entries of a row, then normalised: the order of the classes
in a row stays, and so does the label that the small model would give.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from langchain_datashunt.errors import CalibrationDataError, MissingExtraError, PolicyError
from langchain_datashunt.types import FloatArray

IntArray = NDArray[np.intp]
CalibrationChoice = Literal["auto", "temperature", "isotonic", "none"]

PROBABILITY_FLOOR = 1e-38
"""Smallest probability told apart from zero: the least normal float32, in which most models answer."""

TEMPERATURE_BOUNDS = (0.05, 100.0)


class Calibration(Protocol):
    """A monotone map of ``(n, k)`` probabilities, rows summing to 1, to better ones of the same shape."""

    kind: ClassVar[str]

    def apply(self, probabilities: FloatArray) -> FloatArray:
        """Return calibrated ``(n, k)`` probabilities, rows summing to 1."""

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON, ``{"kind": ..., parameters}``."""


@dataclass(frozen=True, slots=True)
class NoCalibration:
    """Probabilities as the small model gives them."""

    kind: ClassVar[str] = "none"

    def apply(self, probabilities: FloatArray) -> FloatArray:
        """Return `probabilities` themselves."""
        return probabilities

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON."""
        return {"kind": self.kind}


@dataclass(frozen=True, slots=True)
class TemperatureScaling:
    """Softmax of the log-probabilities divided by one temperature (Guo et al. 2017, equation 9).

    Attributes:
        temperature: Positive; above 1 softens an overconfident model, below 1 sharpens an underconfident one. It has
            nothing to do with the sampling temperature of a language model.
    """

    kind: ClassVar[str] = "temperature"
    temperature: float

    def __post_init__(self) -> None:
        """Refuse a temperature that is not a positive finite number."""
        if not (np.isfinite(self.temperature) and self.temperature > 0):
            raise PolicyError(f"the calibration temperature must be positive and finite, got {self.temperature!r}")

    def apply(self, probabilities: FloatArray) -> FloatArray:
        """Return ``softmax(log(probabilities) / temperature)`` by row."""
        scaled = _log(probabilities)
        scaled /= self.temperature
        return _softmax_in_place(scaled)

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON."""
        return {"kind": self.kind, "temperature": self.temperature}


def fit_temperature(probabilities: FloatArray, targets: IntArray) -> TemperatureScaling:
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
    minimize_scalar = _scipy_minimize_scalar()
    logs = _log(probabilities)
    true_logs = np.take_along_axis(logs, targets[:, None], axis=1)[:, 0]
    # Shifting a row by its largest entry changes no softmax, and no exp below can overflow at any temperature.
    largest = logs.max(axis=1)
    logs -= largest[:, None]
    true_logs = true_logs - largest
    buffer = np.empty_like(logs)

    def loss(log_temperature: float) -> float:
        inverse = np.exp(-log_temperature)
        np.multiply(logs, inverse, out=buffer)
        np.exp(buffer, out=buffer)
        return float(np.mean(np.log(buffer.sum(axis=1)) - true_logs * inverse))

    found = minimize_scalar(loss, bounds=np.log(TEMPERATURE_BOUNDS), method="bounded", options={"xatol": 1e-4})
    return TemperatureScaling(float(np.exp(found.x)))


def calibration_from_dict(record: Mapping[str, Any]) -> Calibration:
    """Rebuild a calibration from `Calibration.to_dict`.

    Raises:
        PolicyError: The record names no calibration of this version, or its parameters are malformed.
    """
    kind = record.get("kind")
    parameters = {name: value for name, value in record.items() if name != "kind"}
    try:
        if kind == NoCalibration.kind:
            return NoCalibration(**parameters)
        if kind == TemperatureScaling.kind:
            return TemperatureScaling(**parameters)
    except TypeError as error:
        raise PolicyError(f"the calibration {dict(record)!r} is malformed: {error}") from error
    raise PolicyError(f"unknown calibration {kind!r}, expected one of ['none', 'temperature']")


def _log(probabilities: FloatArray) -> FloatArray:
    logs = np.maximum(probabilities, PROBABILITY_FLOOR)
    return np.log(logs, out=logs)


def _softmax_in_place(logits: FloatArray) -> FloatArray:
    logits -= logits.max(axis=1, keepdims=True)
    np.exp(logits, out=logits)
    logits /= logits.sum(axis=1, keepdims=True)
    return logits


def _require_rows(probabilities: FloatArray) -> None:
    if not len(probabilities):
        raise CalibrationDataError("no rows to calibrate on: give more labelled rows or a larger calibration share")


def _scipy_minimize_scalar() -> Callable[..., Any]:
    try:
        from scipy.optimize import minimize_scalar  # noqa: PLC0415  an extra, needed only while fitting
    except ImportError as error:
        raise MissingExtraError("fitting a calibration", "fit") from error
    return minimize_scalar  # type: ignore[no-any-return]
