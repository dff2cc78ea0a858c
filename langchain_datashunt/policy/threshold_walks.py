"""Fixed-sequence walks: from calibration rows to an order of thresholds, from certification rows to those that pass."""

from __future__ import annotations

from dataclasses import dataclass

from langchain_datashunt.errors import CalibrationDataError
from langchain_datashunt.policy.certification import (
    accepted_counts,
    count_wrong,
    margin_limits,
    upper_limit,
    walk_sequence,
)
from langchain_datashunt.policy.threshold_order import order_for_accuracy, order_for_risk
from langchain_datashunt.types import BoolArray, FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class ScoredRows:
    """Labelled rows as the searches see them.

    Attributes:
        confidence: ``(n,)`` calibrated, in [0, 1].
        wrong: ``(n,)`` whether the small model is wrong.
        large_wrong: ``(n,)`` whether the large model is wrong; None where its answers are not known.
        large_costs: ``(n,)`` costs of the large calls; None where they are not known.
    """

    confidence: FloatArray
    wrong: BoolArray
    large_wrong: BoolArray | None = None
    large_costs: FloatArray | None = None

    def __len__(self) -> int:
        return len(self.confidence)

    @property
    def known_large_wrong(self) -> BoolArray:
        """`large_wrong`, which must be known.

        Raises:
            CalibrationDataError: It is not.
        """
        if self.large_wrong is None:
            raise CalibrationDataError("this goal needs the large model's answers: give large_answers, one an input")
        return self.large_wrong

    @property
    def losses(self) -> BoolArray:
        """``(n,)`` where the small model is wrong and the large one right."""
        return self.wrong & ~self.known_large_wrong

    @property
    def gains(self) -> BoolArray:
        """``(n,)`` where the small model is right and the large one wrong."""
        return ~self.wrong & self.known_large_wrong


class RiskWalk:
    """The fixed sequence of thresholds for `TargetRisk`, with what the certification rows count at each.

    Neither depends on a target, so a higher one never passes less.
    """

    def __init__(self, calibration: ScoredRows, certification: ScoredRows, level: float) -> None:
        self.level = level
        self.n = len(certification)
        self.thresholds = order_for_risk(calibration.confidence, calibration.wrong, self.n)
        self.accepted = accepted_counts(certification.confidence, self.thresholds)
        self.errors = count_wrong(certification.confidence, certification.wrong, self.thresholds)
        self.limits = upper_limit(self.errors, self.accepted, level)

    def passed(self, target: float) -> int:
        """Return how many thresholds, from the first on, are certified to keep the risk at or below `target`."""
        return walk_sequence(self.limits, target)


class AccuracyWalk:
    """The fixed sequence of thresholds for `EndToEnd`, with what the certification rows count at each.

    Neither depends on a margin, so a wider one never passes less.
    """

    def __init__(self, calibration: ScoredRows, certification: ScoredRows, level: float) -> None:
        self.level = level
        self.n = len(certification)
        self.thresholds = order_for_accuracy(calibration.confidence, calibration.losses, calibration.gains, self.n)
        self.accepted = accepted_counts(certification.confidence, self.thresholds)
        self.losses = count_wrong(certification.confidence, certification.losses, self.thresholds)
        self.gains = count_wrong(certification.confidence, certification.gains, self.thresholds)
        self.limits = margin_limits(self.losses, self.gains, self.n, level)

    def passed(self, margin: float) -> int:
        """Return how many thresholds, from the first on, are certified together to lose at most `margin`."""
        return walk_sequence(self.limits, margin)
