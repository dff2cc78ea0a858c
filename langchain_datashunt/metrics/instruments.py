"""The instruments: their names, units and what they say."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from opentelemetry.metrics import Meter

CONFIDENCE_BUCKETS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.925, 0.95, 0.975, 0.99, 0.999)
DURATION_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
"""Upper ends in seconds: a small model takes milliseconds, a large one seconds."""


@dataclass(frozen=True, slots=True)
class Instruments:
    """What is recorded at each run; gauges and what is read off a log are observed by `ShuntMetrics` itself.

    Attributes:
        requests: Counter of runs.
        confidence: Histogram of calibrated confidence.
        duration: Histogram of whole runs.
        step_duration: Histogram of the small and the large side of runs.
        records: Counter of records for the log.
        tokens: Counter of the large model's tokens.
        cost: Counter of money; None without prices.
    """

    requests: Any
    confidence: Any
    duration: Any
    step_duration: Any
    records: Any
    tokens: Any
    cost: Any

    @classmethod
    def of(cls, meter: Meter, currency: str | None) -> Instruments:
        """Make the instruments.

        Args:
            meter: Of the user's provider.
            currency: Of the prices; None without.
        """
        return cls(
            requests=meter.create_counter("datashunt.requests", "{request}", "Runs of shunts, by who answered."),
            confidence=meter.create_histogram(
                "datashunt.confidence",
                "1",
                "Calibrated confidence of the small model.",
                explicit_bucket_boundaries_advisory=CONFIDENCE_BUCKETS,
            ),
            duration=meter.create_histogram(
                "datashunt.duration",
                "s",
                "Duration of a shunt's run.",
                explicit_bucket_boundaries_advisory=DURATION_BUCKETS,
            ),
            step_duration=meter.create_histogram(
                "datashunt.step.duration",
                "s",
                "Duration of the small step, and of the large branch with all its attempts.",
                explicit_bucket_boundaries_advisory=DURATION_BUCKETS,
            ),
            records=meter.create_counter("datashunt.records", "{record}", "Hard samples for the log."),
            tokens=meter.create_counter("datashunt.tokens", "{token}", "Tokens of the large branch, as reported."),
            cost=None
            if currency is None
            else meter.create_counter("datashunt.cost", currency, "Cost of the calls at the user's prices."),
        )
