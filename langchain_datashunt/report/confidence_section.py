"""Confidence against truth, and how confidence is spread."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np

from langchain_datashunt.bounds.audit_estimates import estimate_rate
from langchain_datashunt.bounds.other_thresholds import AnsweredRows, PastTraffic
from langchain_datashunt.report.charts import Axis, Canvas, nice_high, reliability_canvas
from langchain_datashunt.report.facts import LEVEL, Facts
from langchain_datashunt.report.parts import Chart, Section, Table
from langchain_datashunt.report.wording import decimal, number, percent, span

BINS = 10

_FEWEST_IN_A_BIN = 5


@dataclass(frozen=True, slots=True, eq=False)
class _Bin:
    """Requests between two confidences, all accepted or all deferred.

    Attributes:
        low: Lower edge.
        high: Upper edge.
        accepted: Whether they were accepted; the rows are then audits.
        rows: What is known of them.
    """

    low: float
    high: float
    accepted: bool
    rows: AnsweredRows

    @property
    def name(self) -> str:
        return span(self.low, self.high)


@dataclass(frozen=True, slots=True)
class _Reliability:
    name: str
    confidence: float
    right: float
    worst: float
    best: float
    requests: int


def confidence_section(facts: Facts) -> Section | None:
    """Return the section; None where no record tells anything."""
    past = facts.past
    if past is None or not facts.outcomes:
        return None
    by_people = bool(np.isfinite(past.audits.small_wrong).any() and np.isfinite(past.deferred.small_wrong).any())
    judge = "people's labels" if by_people else "the LLM's answers"
    bins = list(_bins(past))
    charts = [chart for chart in (_reliability(bins, by_people, judge), _spread(bins, past)) if chart is not None]
    seen = "Accepted requests are seen through their audits. One edge of the bins is the threshold."
    notes = [seen] if by_people else [seen, "The LLM's answers stand for the truth here, which they are not."]
    lead = f"Of requests with a confidence of 90\u00a0%, nine in ten should be right. Here they are judged by {judge}."
    return Section("confidence", "Does the confidence mean what it says?", [lead], charts, (), notes)


def _bins(past: PastTraffic) -> Iterator[_Bin]:
    confidences = np.concatenate([past.audits.confidence, past.deferred.confidence])
    lowest = float(np.floor(10 * confidences.min()) / 10)
    edges = np.unique([*np.linspace(lowest, 1, BINS + 1), min(max(past.threshold, lowest), 1.0)])
    for low, high in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
        accepted = low >= past.threshold
        rows = past.audits if accepted else past.deferred
        inside = (rows.confidence >= low) & ((rows.confidence < high) | (high == 1))
        yield _Bin(low, high, accepted, rows.where(inside))


def _reliability(bins: list[_Bin], by_people: bool, judge: str) -> Chart | None:
    found = [each for each in (_reliability_of(one, by_people) for one in bins) if each is not None]
    if not found:
        return None
    floor = float(np.floor(10 * min(0.5, *(each.confidence for each in found), *(each.right for each in found))) / 10)
    canvas = reliability_canvas(
        "reliability",
        "Reliability",
        "Right answers against confidence, by bins; on the dashed line both are equal. The table holds the numbers.",
        floor,
    )
    for each in found:
        x, ends = canvas.left(each.confidence), (canvas.top(each.best), canvas.top(each.worst))
        canvas.add('<line class="whisker" x1="{}" x2="{}" y1="{}" y2="{}"/>', x, x, *ends)
        canvas.dot(each.confidence, each.right)
    rows = [
        (
            each.name,
            percent(each.confidence),
            f"{percent(each.right)}\n{span(each.worst, each.best)}",
            number(each.requests),
        )
        for each in found
    ]
    numbers = Table(f"Reliability by {judge}", ["confidence", "mean#", "right#", "requests#"], rows)
    n = number(sum(each.requests for each in found))
    meaning = f"Above the dashed line the small model is better than it believes. {n} requests, 95\u00a0% intervals."
    return Chart("Reliability", canvas.svg(), meaning, numbers)


def _reliability_of(one: _Bin, by_people: bool) -> _Reliability | None:
    events = one.rows.small_wrong if by_people else one.rows.disagrees
    known = one.rows.where(np.isfinite(events))
    if known.counts.sum() < _FEWEST_IN_A_BIN:
        return None
    wrong = estimate_rate("error", one.rows.counted(events), LEVEL)
    confidence = float(np.average(known.confidence, weights=known.counts / known.sampling_probability))
    return _Reliability(one.name, confidence, 1 - (wrong.rate or 0.0), 1 - wrong.high, 1 - wrong.low, wrong.audits)


def _spread(bins: list[_Bin], past: PastTraffic) -> Chart:
    shares = [_share(one, past) for one in bins]
    canvas = Canvas(
        "confidences",
        "Spread of confidence",
        "Share of requests by confidence; those right of the threshold were accepted. The table holds the numbers.",
        Axis(bins[0].low, 1, "confidence", percent=True),
        Axis(0, nice_high(max(shares)), "requests", percent=True),
    )
    canvas.axes()
    for one, share in zip(bins, shares, strict=True):
        if share:
            draw = partial(canvas.rectangle, "fill-small") if one.accepted else canvas.hatched
            draw(one.low, one.high, 0, share)
    canvas.vertical(past.threshold, f"threshold {decimal(past.threshold)}")
    rows = [
        (
            one.name,
            percent(share),
            number(int(one.rows.counts.sum())),
            "accepted, from audits" if one.accepted else "deferred",
        )
        for one, share in zip(bins, shares, strict=True)
    ]
    numbers = Table("Spread of confidence", ["confidence", "share of requests#", "seen#", "which"], rows)
    seen = number(sum(int(one.rows.counts.sum()) for one in bins))
    meaning = f"Hatched is deferred, full is accepted. From {seen} requests."
    return Chart("Spread of confidence", canvas.svg(), meaning, numbers)


def _share(one: _Bin, past: PastTraffic) -> float:
    """Return the share of all requests that lie in a bin."""
    kind, requests = (past.audits, past.accepted_requests) if one.accepted else (past.deferred, past.deferred_requests)
    total = float((kind.counts / kind.sampling_probability).sum())
    inside = float((one.rows.counts / one.rows.sampling_probability).sum())
    return requests / past.requests * inside / total if total else 0.0
