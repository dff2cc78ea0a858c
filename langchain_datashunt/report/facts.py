"""The numbers behind the report, worked out once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from langchain_datashunt.bounds.live_bound import LiveBound
from langchain_datashunt.bounds.mean_estimates import MeanEstimate, estimate_mean
from langchain_datashunt.bounds.other_thresholds import Outcome, PastTraffic, outcome_at, thresholds_by_coverage
from langchain_datashunt.errors import PolicyMismatchError
from langchain_datashunt.policy.costs import Prices
from langchain_datashunt.policy.shunt_policy import ShuntPolicy
from langchain_datashunt.report.log_reading import LogReading, PolicyRecords, policy_in_use, read_log
from langchain_datashunt.report.wording import Unit
from langchain_datashunt.store import AuditEstimates, HardSampleStore

LEVEL = 0.95
"""Of every interval in the report."""

TOKENS = Prices(input=1e6, output=1e6)
"""Without prices the bill is counted in tokens."""

COVERAGES = tuple(i / 10 for i in range(1, 10))
"""Shares accepted for which other thresholds are shown."""

ALWAYS_ASK = 2.0
"""A threshold that no confidence reaches."""

_ENOUGH_AUDITS = 30
"""Audited records from which the price of the calls not made is estimated; with fewer, deferred ones stand in."""


@dataclass(frozen=True, slots=True)
class Saving:
    """The bill, and what it would have been without the small model.

    Attributes:
        requests: All.
        alone: Requests that cost no large call.
        spent: On large and small calls.
        small_cost: The part of the small calls.
        call: Price of a large call that was not made, estimated.
        from_audits: Whether from audits; else from deferred requests, which is an assumption.
    """

    requests: int
    alone: int
    spent: float
    small_cost: float
    call: MeanEstimate
    from_audits: bool

    @property
    def saved(self) -> tuple[float, float, float] | None:
        """Estimate and ends of the interval; None where no large call was ever paid for."""
        if self.call.mean is None or self.call.low is None or self.call.high is None:
            return None
        estimate, low, high = (
            self.alone * each - self.small_cost for each in (self.call.mean, self.call.low, self.call.high)
        )
        return estimate, low, high

    @property
    def share(self) -> tuple[float, float, float] | None:
        """The saving as a share of what asking the large model always would have cost."""
        if self.saved is None or self.spent + self.saved[0] <= 0:
            return None
        estimate, low, high = (saved / (self.spent + saved) for saved in self.saved)
        return estimate, low, high


@dataclass(frozen=True, slots=True)
class Facts:
    """All that the sections are written from.

    Attributes:
        reading: The log.
        policy_id: The policy that the quality of answers is told of.
        policy: Its file; None where it was not given.
        threshold: Its threshold; None where no record tells.
        estimates: From its audits.
        past: Its traffic; None without a threshold.
        outcomes: At other thresholds, highest first; empty where nothing is known.
        saving: Of all policies together.
        unit: Of the bill.
        bounds: Live bounds.
        show_inputs: Whether texts of users may stand in the report.
    """

    reading: LogReading
    policy_id: str
    policy: ShuntPolicy | None
    threshold: float | None
    estimates: AuditEstimates
    past: PastTraffic | None
    outcomes: tuple[Outcome, ...]
    saving: Saving
    unit: Unit
    bounds: tuple[LiveBound, ...]
    show_inputs: bool

    @property
    def records(self) -> PolicyRecords:
        """The records of the policy."""
        return self.reading.policies.get(self.policy_id) or PolicyRecords(self.policy_id)


def find_facts(
    store: HardSampleStore,
    *,
    policy: ShuntPolicy | None,
    policy_id: str | None,
    tenant: str | None,
    prices: Prices | None,
    bounds: Sequence[LiveBound],
    show_inputs: bool,
) -> Facts:
    """Read the log, and work the numbers out.

    Raises:
        HardSampleStoreError: There is nothing to report on.
        PolicyMismatchError: `policy_id` is not the policy's.
    """
    if policy is not None and policy_id not in (None, policy.policy_id):
        raise PolicyMismatchError(f"the policy given is {policy.policy_id!r}, the report is asked for {policy_id!r}")
    charged = TOKENS if prices is None else prices
    reading = read_log(store, charged, tenant=tenant, policy_id=policy_id)
    told = policy.policy_id if policy is not None else policy_id or policy_in_use(reading)
    records = reading.policies.get(told) or PolicyRecords(told)
    threshold = policy.threshold if policy is not None else _usual(records)
    past = None if threshold is None else records.traffic(threshold, reading.requests(told))
    return Facts(
        reading=reading,
        policy_id=told,
        policy=policy,
        threshold=threshold,
        estimates=store.estimate(policy_id=told, tenant=tenant, confidence_level=LEVEL),
        past=past,
        outcomes=() if past is None else _outcomes(past),
        saving=_saving(reading, charged),
        unit=Unit(None if prices is None else prices.currency),
        bounds=tuple(bounds),
        show_inputs=show_inputs,
    )


def _usual(records: PolicyRecords) -> float | None:
    return records.thresholds.most_common(1)[0][0] if records.thresholds else None


def _outcomes(past: PastTraffic) -> tuple[Outcome, ...]:
    if not past.requests or not (len(past.audits) or len(past.deferred)):
        return ()
    between = thresholds_by_coverage(past, COVERAGES)
    return tuple(outcome_at(past, threshold, LEVEL) for threshold in (ALWAYS_ASK, *between, 0.0))


def _saving(reading: LogReading, prices: Prices) -> Saving:
    from_audits = len(reading.accepted_costs) >= _ENOUGH_AUDITS
    rows = reading.accepted_costs if from_audits else reading.deferred_costs
    costs, counts, probabilities = zip(*rows, strict=True) if rows else ((), (), ())
    requests = reading.requests()
    small_cost = prices.small * requests.total()
    return Saving(
        requests=requests.total(),
        alone=requests["small"],
        spent=reading.cost + small_cost,
        small_cost=small_cost,
        call=estimate_mean(costs, counts, probabilities, LEVEL),
        from_audits=from_audits,
    )
