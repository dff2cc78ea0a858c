"""Does the shunt pay? SHUNT, DO NOT SHUNT or NO LARGE MODEL NEEDED, with the reason and the point where it turns."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from langchain_datashunt.policy.costs import CallCosts
from langchain_datashunt.types import BoolArray, FloatArray

_NORMAL_975 = 1.959964
TOLERATED_LOSS = 0.01

Use = Literal["cascade", "large_model", "small_model"]
_HEADLINES: dict[Use, str] = {
    "cascade": "SHUNT",
    "large_model": "DO NOT SHUNT",
    "small_model": "NO LARGE MODEL NEEDED",
}


@dataclass(frozen=True, slots=True)
class Verdict:
    """What to use, and why.

    Attributes:
        use: ``cascade`` (SHUNT); ``large_model`` alone (DO NOT SHUNT); or ``small_model`` alone (NO LARGE MODEL
            NEEDED): the cascade is worth it and accepted every input, so the small model does all by itself.
        reason: One sentence.
        large_cost: Of the large model alone, an input.
        cascade_cost: Of the cascade, an input: one small call on every input, one large call on the deferred.
        saving: Share of the large model's bill that is saved; negative where the cascade costs more.
        saving_interval: 95 % interval of it over rows (normal approximation).
        break_even_price: Price of a large call above which the cascade saves; None where nothing is accepted.
        break_even_inputs: Inputs after which the setup is paid for; None where nothing is saved.
    """

    use: Use
    reason: str
    large_cost: float
    cascade_cost: float
    saving: float
    saving_interval: tuple[float, float]
    break_even_price: float | None
    break_even_inputs: int | None

    @property
    def shunt(self) -> bool:
        """Whether to put both models to work."""
        return self.use == "cascade"

    def __str__(self) -> str:
        """Return the verdict as it is printed."""
        return f"{_HEADLINES[self.use]}: {self.reason}"

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON."""
        return {**asdict(self), "saving_interval": list(self.saving_interval)}


def judge_worth(
    accepted: BoolArray,
    costs: CallCosts,
    accuracy_change: tuple[float, float] | None = None,
    tolerated_loss: float = TOLERATED_LOSS,
) -> Verdict:
    """Judge a cascade on rows that chose neither its threshold nor its models.

    It is SHUNT where the cascade is shown to be cheaper and, if the large model's answers are known, shown to lose no
    more accuracy than tolerated; where it then accepts every input, it is NO LARGE MODEL NEEDED. Whatever stays open is
    DO NOT SHUNT, and the reason says what is open.

    Args:
        accepted: ``(n,)`` whether the small model answers, n at least 1.
        costs: Of the calls.
        accuracy_change: 95 % interval of the cascade's accuracy minus the large model's; None where it is not known.
        tolerated_loss: Accuracy that may be lost, in [0, 1].
    """
    large = costs.large_of(len(accepted))
    cascade = costs.of_cascade(accepted)
    saving, interval = _saving(large, cascade)
    saved_per_input = float((large - cascade).mean())
    coverage = float(accepted.mean())
    pays, reason = _reason(coverage, saving, interval, accuracy_change, tolerated_loss)
    return Verdict(
        use="large_model" if not pays else "small_model" if accepted.all() else "cascade",
        reason=reason,
        large_cost=float(large.mean()),
        cascade_cost=float(cascade.mean()),
        saving=saving,
        saving_interval=interval,
        break_even_price=costs.small / coverage if coverage else None,
        break_even_inputs=int(np.ceil(costs.setup / saved_per_input)) if saved_per_input > 0 else None,
    )


def _reason(
    coverage: float,
    saving: float,
    interval: tuple[float, float],
    accuracy_change: tuple[float, float] | None,
    tolerated_loss: float,
) -> tuple[bool, str]:
    cheaper, cost_reason = _cost_reason(coverage, saving, interval)
    if not cheaper or accuracy_change is None:
        unknown = "; what it does to accuracy is not known without the large model's answers" if cheaper else ""
        return cheaper, cost_reason + unknown
    worst, best = accuracy_change
    change = f"accuracy against the large model alone {worst:+.2%} to {best:+.2%} (95 % interval)"
    if worst >= -tolerated_loss:
        return True, f"{cost_reason}; {change}"
    certainty = "it loses" if best < -tolerated_loss else "it is open whether it loses"
    return False, f"{cost_reason}, but {certainty} more than the tolerated {tolerated_loss:.1%}: {change}"


def _cost_reason(coverage: float, saving: float, interval: tuple[float, float]) -> tuple[bool, str]:
    low, high = interval
    if coverage == 0:
        return False, "no input reaches the threshold, so every input pays for a small call that is wasted"
    if high <= 0:
        return False, f"at coverage {coverage:.3f} it costs as much as the large model alone or more ({-saving:+.1%})"
    if low <= 0:
        return False, f"whether it saves is open: {saving:+.1%} of the bill, 95 % interval {low:+.1%} to {high:+.1%}"
    saved = f"it saves {saving:.1%} of the bill (95 % interval {low:.1%} to {high:.1%})"
    return True, f"the small model answers every input; {saved}" if coverage == 1 else saved


def _saving(large: FloatArray, cascade: FloatArray) -> tuple[float, tuple[float, float]]:
    """Return the saved share of the bill and its interval, by the delta method for a ratio of two means."""
    bill = float(large.mean())
    if bill == 0:
        share = -np.inf if cascade.mean() > 0 else 0.0
        return share, (share, share)
    saving = 1 - float(cascade.mean()) / bill
    deviations = (large - cascade) - saving * large
    error = _NORMAL_975 * float(deviations.std()) / (bill * np.sqrt(len(large)))
    return saving, (saving - error, saving + error)
