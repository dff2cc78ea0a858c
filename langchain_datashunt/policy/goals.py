"""Goals: what a threshold is asked to do. Each is one class; `langchain_datashunt.fitting.fit_policy` takes them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from langchain_datashunt.policy.costs import CallCosts


@dataclass(frozen=True, slots=True)
class TargetRisk:
    """The largest coverage whose selective risk is certified to be at most `risk`.

    Selective risk is the error rate of the small model among the inputs that it answers itself.

    Attributes:
        risk: In (0, 1), for example 0.02.
        confidence_level: Chance, over the draw of the calibration rows, that the certificate holds; in (0, 1).

    Example:
        .. code-block:: python

            policy = fit_policy(small, texts, labels, TargetRisk(0.02))
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


@dataclass(frozen=True, slots=True, eq=False)
class MaxDeferral:
    """The best threshold within a budget of large calls, or of cost.

    Without `large_answers` the best is to defer as much as the budget allows, the least confident first. With them it
    is the threshold of best system accuracy on the selection rows, within the budget; that accuracy is an estimate.

    Attributes:
        share: The budget, in (0, 1): the share of inputs that may be deferred; with `costs`, the share of the bill of
            the large model alone that small and large calls together may cost.
        confidence_level: Chance, over the draw of the calibration rows, that the deferral rate on new inputs keeps the
            budget, in (0, 1). None keeps it on the selection rows only: new inputs then exceed it about half the time.
        large_answers: The large model's recorded answers, one an input, each a class or None (no valid reply).
        costs: Makes the budget one of cost.

    Example:
        .. code-block:: python

            policy = fit_policy(small, texts, labels, MaxDeferral(0.3, confidence_level=0.95))
    """

    share: float
    confidence_level: float | None = None
    large_answers: Sequence[Any] | None = None
    costs: CallCosts | None = None

    def __post_init__(self) -> None:
        """Refuse numbers that are no probabilities, and a certificate that does not exist."""
        _require_open_unit("MaxDeferral.share", self.share)
        _require_costs("MaxDeferral.costs", self.costs)
        if self.confidence_level is not None:
            _require_open_unit("MaxDeferral.confidence_level", self.confidence_level)
            if self.costs is not None:
                raise ValueError("MaxDeferral certifies a share of calls, not of cost: give confidence_level or costs")

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON, without the answers and the costs."""
        return {
            "kind": "MaxDeferral",
            "share": self.share,
            "confidence_level": self.confidence_level,
            "of": "calls" if self.costs is None else "cost",
            "best": "deferral" if self.large_answers is None else "system_accuracy",
        }


@dataclass(frozen=True, slots=True, eq=False)
class EndToEnd:
    """A threshold whose *system* is certified to be hardly less accurate than the large model alone.

    The system's accuracy counts what the large model really answered on exactly those inputs that are deferred to it.

    Attributes:
        large_answers: The large model's recorded answers, one an input, each a class or None (no valid reply, which
            counts as wrong: if your chain falls back on something, give what it falls back on).
        margin: The accuracy that may be lost, in [0, 1); 0 certifies that the system is no worse at all.
        confidence_level: Chance, over the draw of the calibration rows, that the certificate holds; in (0, 1).
        prefer: Of the certified thresholds, the ``cheapest`` (largest coverage) or the ``most_accurate`` (as observed).
        costs: Of the calls, so that the policy's metrics say what the thresholds cost.

    Example:
        .. code-block:: python

            policy = fit_policy(small, texts, labels, EndToEnd(store.large_answers(texts), margin=0.01))
    """

    large_answers: Sequence[Any]
    margin: float
    confidence_level: float = 0.95
    prefer: Literal["cheapest", "most_accurate"] = "cheapest"
    costs: CallCosts | None = None

    def __post_init__(self) -> None:
        """Refuse what is no goal."""
        if isinstance(self.margin, bool) or not isinstance(self.margin, int | float) or not 0 <= self.margin < 1:
            raise ValueError(f"EndToEnd.margin must be a number in [0, 1), got {self.margin!r}")
        _require_open_unit("EndToEnd.confidence_level", self.confidence_level)
        _require_costs("EndToEnd.costs", self.costs)
        if self.prefer not in ("cheapest", "most_accurate"):
            raise ValueError(f"EndToEnd.prefer must be 'cheapest' or 'most_accurate', got {self.prefer!r}")

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON, without the answers and the costs."""
        return {
            "kind": "EndToEnd",
            "margin": self.margin,
            "confidence_level": self.confidence_level,
            "prefer": self.prefer,
        }


Goal = TargetRisk | MaxDeferral | EndToEnd


def _require_open_unit(name: str, value: float) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1:
        raise ValueError(f"{name} must be a number strictly between 0 and 1, got {value!r}")


def _require_costs(name: str, costs: CallCosts | None) -> None:
    if costs is not None and not isinstance(costs, CallCosts):
        raise ValueError(f"{name} must be CallCosts(small=..., large=...), got {costs!r}")
