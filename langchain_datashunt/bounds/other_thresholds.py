"""What would have happened at another threshold: calls, bill, disagreement and error, from a log with audits.

Past requests are of two kinds. Deferred ones were all answered by the large model, so each record knows both answers
and the price. Of the accepted ones only the audits do; they stand for the others, weighted by one over their sampling
probability. What nobody audited and nobody labelled cannot be known, and then an interval says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from langchain_datashunt.bounds.audit_estimates import AuditCounts, Quantity, estimate_rate
from langchain_datashunt.bounds.mean_estimates import estimate_mean
from langchain_datashunt.types import BoolArray, FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class AnsweredRows:
    """Records of requests that both models answered.

    Attributes:
        confidence: ``(n,)`` of the small model.
        counts: ``(n,)`` equal requests that a row stands for.
        sampling_probability: ``(n,)`` with which such a request was sent to the large model.
        disagrees: ``(n,)`` 1 where the two models' labels differ, 0 where not, NaN where the large one's is unknown.
        small_wrong: ``(n,)`` 1 where the small model's label is wrong, 0 where it is right, NaN where that is unknown.
        large_wrong: ``(n,)`` the same for the large model; without a valid answer it is wrong.
        cost: ``(n,)`` of the row's large calls together.
    """

    confidence: FloatArray
    counts: NDArray[np.int64]
    sampling_probability: FloatArray
    disagrees: FloatArray
    small_wrong: FloatArray
    large_wrong: FloatArray
    cost: FloatArray

    def __len__(self) -> int:
        return len(self.confidence)

    def where(self, chosen: BoolArray) -> AnsweredRows:
        """Return the chosen rows."""
        return replace(self, **{name: getattr(self, name)[chosen] for name in self.__slots__})

    def counted(self, events: FloatArray) -> AuditCounts:
        """Count an event by sampling probability, requests and not rows, where it is known.

        Args:
            events: ``(n,)`` 1 or 0, NaN where it is not known.
        """
        known = ~np.isnan(events)
        probabilities, index = np.unique(self.sampling_probability[known], return_inverse=True)
        sizes, size = self.counts[known], len(probabilities)
        requests, hits = np.bincount(index, sizes, size), np.bincount(index, events[known] * sizes, size)
        return AuditCounts(probabilities, requests.astype(np.int64), hits.astype(np.int64))


@dataclass(frozen=True, slots=True, eq=False)
class PastTraffic:
    """What a rule decided, and what is known of it.

    Attributes:
        threshold: The rule's.
        accepted_requests: How many it accepted.
        deferred_requests: How many it deferred.
        audits: Of the accepted ones.
        deferred: Of the deferred ones; they are taken for all of them.
    """

    threshold: float
    accepted_requests: int
    deferred_requests: int
    audits: AnsweredRows
    deferred: AnsweredRows

    @property
    def requests(self) -> int:
        """All requests."""
        return self.accepted_requests + self.deferred_requests


@dataclass(frozen=True, slots=True)
class Known:
    """A number as far as it is known.

    Attributes:
        value: The estimate; None where there is none.
        low: Lower end of the interval, equal to `high` where the value was counted.
        high: Upper end.
        rows: Requests with an answer or label that it rests on.
    """

    value: float | None
    low: float
    high: float
    rows: int


_NONE = Known(0.0, 0.0, 0.0, 0)
"""A share that is zero by what it means."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """The past traffic at one threshold.

    Attributes:
        threshold: Requests at or above it would have been accepted.
        coverage: Share accepted.
        bill: Of the large calls, all requests together; its interval is an approximation (`estimate_mean`).
        disagreement: Share of all answers that would not have been the large model's. It is not error.
        error: Share of all answers that would have been wrong.
        selective_risk: Share of wrong ones among those that the small model would have answered.
    """

    threshold: float
    coverage: Known
    bill: Known
    disagreement: Known
    error: Known
    selective_risk: Known


def outcome_at(traffic: PastTraffic, threshold: float, confidence_level: float = 0.95) -> Outcome:
    """Return what is known of the past traffic at another threshold.

    Rates of either kind of request have exact binomial intervals (`estimate_rate`); where both kinds are estimated,
    each gets half of the error level and the ends are added up, so that the sum holds at `confidence_level` at least.

    Args:
        traffic: The traffic.
        threshold: In [0, 1], or above 1 for "ask the large model always".
        confidence_level: Of each interval, in (0, 1). Those of several thresholds are not corrected for their number.
    """
    disagreement = _rate(traffic, "disagreement", confidence_level, *_disagreements(traffic, threshold))
    return Outcome(
        threshold=threshold,
        coverage=_coverage(traffic, threshold, confidence_level),
        bill=_bill(traffic, threshold, confidence_level),
        disagreement=_NONE if threshold > 1 else disagreement,
        error=_rate(traffic, "error", confidence_level, *_errors(traffic, threshold)),
        selective_risk=_selective_risk(traffic, threshold, confidence_level),
    )


def thresholds_by_coverage(traffic: PastTraffic, coverages: Sequence[float]) -> list[float]:
    """Return the thresholds with about these coverages, highest first, the rule's own among them.

    Without audits there are none above the rule's own: what lies there is not known.
    """
    confidence, weights = traffic.deferred.confidence, _weights_of(traffic.deferred, traffic.deferred_requests)
    reached_already = float(traffic.accepted_requests)
    if len(traffic.audits):
        confidence = np.concatenate([traffic.audits.confidence, confidence])
        weights = np.concatenate([_weights_of(traffic.audits, traffic.accepted_requests), weights])
        reached_already = 0.0
    order = np.argsort(-confidence)
    reached = reached_already + np.cumsum(weights[order])
    places = np.searchsorted(reached, np.asarray(coverages) * traffic.requests)
    found = {float(confidence[order][place]) for place in places if place < len(order)}
    return sorted(found | {traffic.threshold}, reverse=True)


def _coverage(traffic: PastTraffic, threshold: float, level: float) -> Known:
    if threshold > 1:
        return _NONE
    deferred = _counted(traffic.deferred, traffic.deferred.confidence >= threshold)
    if threshold <= traffic.threshold:
        return _together(traffic, Known(1.0, 1.0, 1.0, 0), deferred)
    stay = (traffic.audits.confidence >= threshold).astype(float)
    return _together(traffic, _estimated("error", traffic.audits, stay, level), deferred)


def _bill(traffic: PastTraffic, threshold: float, level: float) -> Known:
    deferred, audits = traffic.deferred, traffic.audits
    size = int(deferred.counts.sum())
    if traffic.deferred_requests and not size:
        return Known(None, 0.0, float("inf"), 0)
    asked = float((deferred.cost * (deferred.confidence < threshold)).sum()) / max(size, 1)
    known = asked * traffic.deferred_requests
    if threshold <= traffic.threshold or not traffic.accepted_requests:
        return Known(known, known, known, size)
    costs = audits.cost * (audits.confidence < threshold)
    mean = estimate_mean(costs, audits.counts, audits.sampling_probability, level)
    if mean.mean is None or mean.low is None or mean.high is None:
        return Known(None, known, float("inf"), size)
    low, value, high = (known + traffic.accepted_requests * each for each in (mean.low, mean.mean, mean.high))
    return Known(value, low, high, size + int(audits.counts.sum()))


def _disagreements(traffic: PastTraffic, threshold: float) -> tuple[FloatArray, FloatArray]:
    """Return, of audits and of deferred rows, whether the answer would not have been the large model's."""
    audits, deferred = (
        np.where(rows.confidence >= threshold, rows.disagrees, np.where(np.isnan(rows.disagrees), np.nan, 0.0))
        for rows in (traffic.audits, traffic.deferred)
    )
    return audits, deferred


def _errors(traffic: PastTraffic, threshold: float) -> tuple[FloatArray, FloatArray]:
    audits, deferred = (
        np.where(rows.confidence >= threshold, rows.small_wrong, rows.large_wrong)
        for rows in (traffic.audits, traffic.deferred)
    )
    return audits, deferred


def _selective_risk(traffic: PastTraffic, threshold: float, level: float) -> Known:
    """Return the error among what the small model would have answered, of audits and of deferred rows together."""
    audits = traffic.audits.where(traffic.audits.confidence >= threshold)
    deferred = traffic.deferred.where(traffic.deferred.confidence >= threshold)
    accepted = traffic.accepted_requests * (
        1.0 if threshold <= traffic.threshold else _share(traffic.audits, traffic.audits.confidence >= threshold)
    )
    more = traffic.deferred_requests * _share(traffic.deferred, traffic.deferred.confidence >= threshold)
    kept = PastTraffic(threshold, round(accepted), round(more), audits, deferred)
    return _rate(kept, "error", level, audits.small_wrong, deferred.small_wrong)


def _rate(traffic: PastTraffic, quantity: Quantity, level: float, audits: FloatArray, deferred: FloatArray) -> Known:
    """Return the rate of an event among all requests; the event of a row is NaN where it is not known."""
    counted = len(traffic.deferred) > 0 and not np.isnan(deferred).any()
    both_estimated = traffic.accepted_requests > 0 and traffic.deferred_requests > 0 and not counted
    each = (1 + level) / 2 if both_estimated else level
    of_audits = _estimated(quantity, traffic.audits, audits, each)
    if counted:
        return _together(traffic, of_audits, _counted(traffic.deferred, deferred == 1))
    return _together(traffic, of_audits, _estimated(quantity, traffic.deferred, deferred, each))


def _counted(rows: AnsweredRows, chosen: BoolArray) -> Known:
    """Return the share of the chosen ones among deferred rows, which are all there."""
    if not len(rows):
        return Known(None, 0.0, 1.0, 0)
    share = _share(rows, chosen)
    return Known(share, share, share, int(rows.counts.sum()))


def _estimated(quantity: Quantity, rows: AnsweredRows, events: FloatArray, level: float) -> Known:
    """Estimate the rate of an event, requests counted, from the rows where it is known."""
    found = estimate_rate(quantity, rows.counted(events), level)
    return Known(found.rate, found.low, found.high, found.audits)


def _together(traffic: PastTraffic, accepted: Known, deferred: Known) -> Known:
    """Return the share among all requests from those of the two kinds; a kind without requests has no say."""
    parts = [(traffic.accepted_requests, accepted), (traffic.deferred_requests, deferred)]
    parts = [(n, known) for n, known in parts if n]
    if not parts:
        return Known(None, 0.0, 1.0, 0)
    total = sum(n for n, _ in parts)
    values = [n * known.value for n, known in parts if known.value is not None]
    return Known(
        value=sum(values) / total if len(values) == len(parts) else None,
        low=sum(n * known.low for n, known in parts) / total,
        high=sum(n * known.high for n, known in parts) / total,
        rows=sum(known.rows for _, known in parts),
    )


def _share(rows: AnsweredRows, chosen: BoolArray) -> float:
    """Return the weighted share of requests in the chosen rows; 0 without rows."""
    return float(_weights_of(rows, 1)[chosen].sum())


def _weights_of(rows: AnsweredRows, total: float) -> FloatArray:
    """Return how many requests each row stands for, out of `total`."""
    weights = rows.counts / rows.sampling_probability
    return np.asarray(total * weights / weights.sum()) if len(rows) else weights
