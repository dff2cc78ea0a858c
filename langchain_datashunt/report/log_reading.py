"""One pass over a hard-sample log: columns to count with, and a few records to show."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from langchain_datashunt.bounds.other_thresholds import AnsweredRows, PastTraffic
from langchain_datashunt.errors import HardSampleStoreError
from langchain_datashunt.policy.costs import Prices
from langchain_datashunt.store import HardSampleStore, StoreStats
from langchain_datashunt.types import HardSample

SHOWN = 10
"""Records in each list of examples."""

_ACCEPTING = ("small", "audit")
_UNKNOWN = float("nan")


@dataclass
class Examples:
    """The records with the largest keys; the first to come of equal ones."""

    most: int = SHOWN
    _kept: list[tuple[float, int, HardSample]] = field(default_factory=list)
    _seen: int = 0

    def add(self, key: float, sample: HardSample) -> None:
        """Keep a record, while there are not enough with larger keys."""
        self._seen += 1
        heapq.heappush(self._kept, (key, -self._seen, sample))
        if len(self._kept) > self.most:
            heapq.heappop(self._kept)

    def __iter__(self) -> Iterator[HardSample]:
        return (sample for _, _, sample in sorted(self._kept, key=lambda each: each[:2], reverse=True))

    def __len__(self) -> int:
        return len(self._kept)


@dataclass
class PolicyRecords:
    """The records of one policy.

    Attributes:
        policy_id: The policy; ``""`` for a shunt without one.
        reasons: Requests by route and reason.
        deferred_as: Deferred requests by the small model's label.
        problems: Sightings without a label to train on, by why.
        thresholds: Sightings by the threshold that decided.
        latencies: Seconds of the large branch, one a record.
        nearest: Deferred ones without a person's label, the confidence nearest to the threshold first.
        frequent: Deferred ones, the most often asked first.
        wrong: Audits on which people say that the small model was wrong, the most confident first.
        disputed: Audits without a person's label on which the LLM says otherwise, likewise.
        n_wrong: How many audited requests are wrong.
        n_disputed: How many are disputed.
    """

    policy_id: str
    reasons: Counter[tuple[str, str]] = field(default_factory=Counter)
    deferred_as: Counter[str] = field(default_factory=Counter)
    problems: Counter[str] = field(default_factory=Counter)
    thresholds: Counter[float] = field(default_factory=Counter)
    latencies: list[float] = field(default_factory=list)
    nearest: Examples = field(default_factory=Examples)
    frequent: Examples = field(default_factory=Examples)
    wrong: Examples = field(default_factory=lambda: Examples(2 * SHOWN))
    disputed: Examples = field(default_factory=Examples)
    n_wrong: int = 0
    n_disputed: int = 0
    failed_audits: int = 0
    _audits: list[tuple[float, ...]] = field(default_factory=list)
    _deferred: list[tuple[float, ...]] = field(default_factory=list)

    def add(self, sample: HardSample, cost: float) -> None:
        """Take a record of this policy.

        Args:
            sample: The record.
            cost: Of its large calls.
        """
        seen = sightings(sample)
        self.reasons[sample.route, sample.reason] += seen
        if sample.threshold is not None:
            self.thresholds[sample.threshold] += seen
        if sample.problem is not None:
            self.problems[sample.problem] += seen - sum(sample.answers.values())
        if sample.latency_ms is not None:
            self.latencies.append(sample.latency_ms / 1000)
        if is_audit(sample):
            self.failed_audits += seen * (sample.route != "audit")
            self._audits.extend(_answered(sample, cost))
            self._add_audit(sample, seen)
        elif is_deferred(sample):
            self._deferred.extend(_answered(sample, cost))
            self._add_deferred(sample, seen)

    def _add_audit(self, sample: HardSample, seen: int) -> None:
        confidence = sample.confidence or 0.0
        if sample.gold is not None and sample.gold != sample.small_label:
            self.n_wrong += seen
            self.wrong.add(confidence, sample)
        elif sample.gold is None and sample.target not in (None, sample.small_label):
            self.n_disputed += seen
            self.disputed.add(confidence, sample)

    def _add_deferred(self, sample: HardSample, seen: int) -> None:
        self.deferred_as[sample.small_label or ""] += seen
        self.frequent.add(seen, sample)
        if sample.gold is None and sample.confidence is not None and sample.threshold is not None:
            self.nearest.add(-abs(sample.confidence - sample.threshold), sample)

    def traffic(self, threshold: float, requests: Counter[str]) -> PastTraffic:
        """Return what is known of the policy's requests.

        Args:
            threshold: The policy's.
            requests: Its requests by route.
        """
        forced = self.reasons["large", "route_large"]
        return PastTraffic(
            threshold=threshold,
            accepted_requests=sum(requests[route] for route in _ACCEPTING) + self.failed_audits,
            deferred_requests=max(requests["large"] - forced + requests["small_on_error"] - self.failed_audits, 0),
            audits=_as_rows(self._audits),
            deferred=_as_rows(self._deferred),
        )


@dataclass
class LogReading:
    """All that the report says of a log.

    Attributes:
        stats: The log's own counts.
        policies: Records by policy.
        records: How many.
        versions: The small model's identity, by policy.
        cost: Of all large calls; a nested tier's stand in its outer record too, and count once.
        calls: Requests that these calls were made for.
        accepted_costs: Cost, requests and sampling probability of each audited record, to estimate from.
        deferred_costs: The same of deferred records.
    """

    stats: StoreStats
    policies: dict[str, PolicyRecords] = field(default_factory=dict)
    records: int = 0
    versions: dict[str, str] = field(default_factory=dict)
    cost: float = 0.0
    calls: int = 0
    accepted_costs: list[tuple[float, int, float]] = field(default_factory=list)
    deferred_costs: list[tuple[float, int, float]] = field(default_factory=list)

    def requests(self, policy_id: str | None = None) -> Counter[str]:
        """Return requests by route, of all policies or of one."""
        counted: Counter[str] = Counter()
        for each in self.stats.traffic:
            if policy_id in (None, each.policy_id):
                counted[each.route] += each.requests
        return counted

    def _add(self, sample: HardSample, prices: Prices) -> None:
        self.records += 1
        cost = float(prices.of_tokens(sample.input_tokens, sample.output_tokens))
        if sample.parent_id is None:
            row = (cost, sightings(sample), sample.sampling_probability)
            self.cost += cost
            self.calls += row[1]
            if is_audit(sample):
                self.accepted_costs.append(row)
            elif is_deferred(sample):
                self.deferred_costs.append(row)
        if sample.small_model_version is not None:
            self.versions[sample.policy_id] = sample.small_model_version
        self.policies.setdefault(sample.policy_id, PolicyRecords(sample.policy_id)).add(sample, cost)


def read_log(store: HardSampleStore, prices: Prices, *, tenant: str | None, policy_id: str | None) -> LogReading:
    """Read a log once, record by record; what is kept of each is a few numbers.

    Args:
        store: The log.
        prices: Of the large model's tokens.
        tenant: Only this tenant's.
        policy_id: Only this policy's.

    Raises:
        HardSampleStoreError: There is nothing to report on.
    """
    stats = store.stats(tenant=tenant)
    kept = tuple(each for each in stats.traffic if policy_id in (None, each.policy_id))
    reading = LogReading(StoreStats(stats.routes, kept, stats.losses))
    for sample in store.iter_samples(tenant=tenant, policy_id=policy_id):
        reading._add(sample, prices)  # noqa: SLF001  this module's own class
    if not (kept or reading.records):
        raise HardSampleStoreError(
            f"the hard-sample log has no requests and no records of tenant {tenant!r} and policy {policy_id!r} "
            "(None: of any); there is nothing to report on"
        )
    return reading


def policy_in_use(reading: LogReading) -> str:
    """Return the policy of the last day, the one with the most requests then; without traffic, of the most records."""
    traffic = reading.stats.traffic
    last = Counter({policy_id: sum(each.reasons.values()) for policy_id, each in reading.policies.items()})
    if traffic:
        last = Counter()
        for each in traffic:
            if each.day == traffic[-1].day:  # the log sorts them by day
                last[each.policy_id] += each.requests
    return last.most_common(1)[0][0]


def sightings(sample: HardSample) -> int:
    """Return how many requests a record stands for."""
    return sample.complete_count + sample.incomplete_count


def is_audit(sample: HardSample) -> bool:
    """Tell whether the input was accepted and sent to the large model at random, also where that failed."""
    if sample.small_label is None or sample.confidence is None or sample.threshold is None:
        return False
    return sample.route == "audit" or (sample.route == "small_on_error" and sample.confidence >= sample.threshold)


def is_deferred(sample: HardSample) -> bool:
    """Tell whether the rule deferred the input: neither an audit, nor a caller's wish, nor a failed small model."""
    return sample.reason in ("below_threshold", "large_error") and sample.small_label is not None


def _answered(sample: HardSample, cost: float) -> Iterator[tuple[float, ...]]:
    """Yield a row for each different answer to a record's requests, and one for those without an answer."""
    seen, small, gold = sightings(sample), sample.small_label, sample.gold
    answers = dict(sample.answers)
    counted = sum(answers.values())
    small_wrong = _UNKNOWN if gold is None else float(gold != small)
    for label, n in [*answers.items(), (None, seen - counted)]:
        if n > 0:
            disagrees = _UNKNOWN if label is None else float(label != small)
            large_wrong = _UNKNOWN if gold is None else float(gold != label)
            share = cost * n / seen
            yield (sample.confidence or 0.0, n, sample.sampling_probability, disagrees, small_wrong, large_wrong, share)


def _as_rows(rows: list[tuple[float, ...]]) -> AnsweredRows:
    columns = np.array(rows, dtype=np.float64).reshape(len(rows), 7).T
    return AnsweredRows(columns[0], columns[1].astype(np.int64), *columns[2:])
