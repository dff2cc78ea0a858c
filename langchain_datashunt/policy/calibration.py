"""Calibration: turn a small model's probabilities into ones that mean what they say.

A calibration is a frozen value; applying one needs NumPy only. Every calibration here is one increasing function
applied to all entries of a row, then normalised: the order of the classes in a row stays, and so does the label that
the small model would give. `langchain_datashunt.policy.calibration_fitting` fits them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, ClassVar, Protocol

import numpy as np

from langchain_datashunt.errors import PolicyError
from langchain_datashunt.types import FloatArray

PROBABILITY_FLOOR = 1e-38
"""Smallest probability told apart from zero: the least normal float32, in which most models answer."""


class Calibration(Protocol):
    """An increasing map of ``(n, k)`` probabilities, rows summing to 1, to better ones of the same shape."""

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

    Example:
        >>> TemperatureScaling(2.0).apply(np.array([[0.9, 0.1]])).round(2).tolist()
        [[0.75, 0.25]]
    """

    kind: ClassVar[str] = "temperature"
    temperature: float

    def __post_init__(self) -> None:
        """Refuse a temperature that is not a positive finite number."""
        if not (_is_number(self.temperature) and 0 < self.temperature < np.inf):
            raise PolicyError(f"the calibration temperature must be positive and finite, got {self.temperature!r}")

    def apply(self, probabilities: FloatArray) -> FloatArray:
        """Return ``softmax(log(probabilities) / temperature)`` by row."""
        logits = log_probabilities(probabilities)
        logits /= self.temperature
        logits -= logits.max(axis=1, keepdims=True)
        np.exp(logits, out=logits)
        logits /= logits.sum(axis=1, keepdims=True)
        return logits

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON."""
        return {"kind": self.kind, "temperature": self.temperature}


@dataclass(frozen=True, slots=True)
class IsotonicCalibration:
    """One increasing, piecewise linear function of every entry, then each row divided by its sum.

    Fitted on the entries of all classes together, it keeps the label and needs no rows of every class (the
    accuracy-preserving multi-class form of Zhang, Kailkhura and Han 2020, section 3.3).

    Attributes:
        inputs: Probabilities at the knots, strictly increasing in [0, 1].
        outputs: Calibrated values at the knots, never falling, in [0, 1].
        slope: Weight of the identity mixed in, in (0, 1], which makes the function strictly increasing and positive.
    """

    kind: ClassVar[str] = "isotonic"
    inputs: tuple[float, ...]
    outputs: tuple[float, ...]
    slope: float
    _knots: tuple[FloatArray, FloatArray] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Refuse knots that make no increasing function."""
        object.__setattr__(self, "inputs", tuple(self.inputs))
        object.__setattr__(self, "outputs", tuple(self.outputs))
        if len(self.inputs) != len(self.outputs) or not _within_unit((*self.inputs, *self.outputs)):
            raise PolicyError("an isotonic calibration needs as many inputs as outputs, all numbers in [0, 1]")
        rising = all(a < b for a, b in pairwise(self.inputs)) and all(a <= b for a, b in pairwise(self.outputs))
        if not (self.inputs and rising and _is_number(self.slope) and 0 < self.slope <= 1):
            raise PolicyError("an isotonic calibration needs rising knots and a slope in (0, 1]")
        inputs, outputs = np.array(self.inputs), np.array(self.outputs)
        object.__setattr__(self, "_knots", (inputs, (1 - self.slope) * outputs))

    def apply(self, probabilities: FloatArray) -> FloatArray:
        """Return the function of every entry, normalised by row."""
        values = np.interp(probabilities, *self._knots)
        values += self.slope * probabilities
        values /= values.sum(axis=1, keepdims=True)
        return np.asarray(values)

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON."""
        return {"kind": self.kind, "inputs": list(self.inputs), "outputs": list(self.outputs), "slope": self.slope}


_KINDS: dict[str, type[NoCalibration | TemperatureScaling | IsotonicCalibration]] = {
    kind.kind: kind for kind in (NoCalibration, TemperatureScaling, IsotonicCalibration)
}


def calibration_from_dict(record: Mapping[str, Any]) -> Calibration:
    """Rebuild a calibration from `Calibration.to_dict`.

    Raises:
        PolicyError: The record names no calibration of this version, or its parameters are malformed.
    """
    if not isinstance(record, Mapping) or record.get("kind") not in _KINDS:
        found = record.get("kind") if isinstance(record, Mapping) else record
        raise PolicyError(f"unknown calibration {found!r}, expected one of {sorted(_KINDS)}")
    try:
        return _KINDS[record["kind"]](**{name: value for name, value in record.items() if name != "kind"})
    except TypeError as error:
        raise PolicyError(f"the calibration {record['kind']!r} is malformed: {error}") from error


def log_probabilities(probabilities: FloatArray) -> FloatArray:
    """Return a new array of logs, those of exact zeros being that of `PROBABILITY_FLOOR`."""
    logs = np.maximum(probabilities, PROBABILITY_FLOOR)
    return np.log(logs, out=logs)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _within_unit(values: Sequence[float]) -> bool:
    return all(_is_number(value) and 0 <= value <= 1 for value in values)
