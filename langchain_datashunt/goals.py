"""Goals: what a threshold is asked to do. Each is one class; `langchain_datashunt.fitting.fit_policy` takes them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class TargetRisk:
    """The largest coverage whose selective risk is certified to be at most `risk`.

    Selective risk is the error rate of the small model among the inputs that it answers itself.

    Attributes:
        risk: In (0, 1), for example 0.02.
        confidence_level: Chance, over the draw of the calibration rows, that the certificate holds; in (0, 1).
    """

    risk: float
    confidence_level: float = 0.95

    def __post_init__(self) -> None:
        """Refuse numbers that are no probabilities."""
        _require_open_unit("TargetRisk.risk", self.risk)
        _require_open_unit("TargetRisk.confidence_level", self.confidence_level)

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON."""
        return {"kind": "TargetRisk", "risk": self.risk, "confidence_level": self.confidence_level}


def _require_open_unit(name: str, value: float) -> None:
    if not 0 < value < 1:
        raise ValueError(f"{name} must lie strictly between 0 and 1, got {value!r}")
