"""What would have happened at another threshold, as far as it is known."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from operator import attrgetter
from typing import Literal

from langchain_datashunt.bounds.other_thresholds import Known, Outcome, PastTraffic
from langchain_datashunt.report.accepted_section import certified_target
from langchain_datashunt.report.charts import Axis, Canvas, Point, nice_high
from langchain_datashunt.report.facts import ALWAYS_ASK, Facts
from langchain_datashunt.report.parts import Chart, Section, Table
from langchain_datashunt.report.wording import decimal, number, percent, span

_UNKNOWN = "not known"
_TITLE = "Had the threshold been another"


_LEAD = "At a higher threshold more requests go to the LLM. The past at other thresholds, as far as it is known:"
_ONE_ROW = (
    "Intervals are of 95\u00a0%, each for one row; they are not corrected for choosing the best of them. A threshold "
    "is chosen and certified with fit-policy, on rows of its own."
)
_BY_PEOPLE = (
    "Which answers are wrong is known from people's labels only; these are taken for a random share of the audits and "
    "of the deferred requests."
)
_NO_AUDITS = (
    "No accepted request was audited. So nothing can be said of thresholds above the present one, nor of the answers "
    "that the small model gave itself."
)


@dataclass(frozen=True, slots=True)
class _Curve:
    """A chart of outcomes.

    Attributes:
        name: Identity on the page.
        title: Of the figure.
        y_title: What is drawn.
        of: Takes it from an outcome.
        x: What it stands over.
    """

    name: str
    title: str
    y_title: str
    of: Callable[[Outcome], Known]
    x: Literal["bill", "coverage"]


_CURVES = (
    _Curve("risk", "Risk and coverage", "wrong among the small model's", attrgetter("selective_risk"), "coverage"),
    _Curve("system-error", "Error and the bill", "wrong answers, all", attrgetter("error"), "bill"),
    _Curve("unlike", "Disagreement and the bill", "unlike the LLM's answer", attrgetter("disagreement"), "bill"),
)


def other_thresholds(facts: Facts) -> Section:
    """Return what would have happened at other thresholds."""
    past = facts.past
    if past is None or not facts.outcomes:
        return Section("other-thresholds", _TITLE, ["No record tells what the large model would have answered."])
    columns = [
        "threshold",
        "coverage#",
        "bill of the LLM#",
        "unlike the LLM's answer#",
        "wrong answers, all#",
        "wrong among the small model's#",
    ]
    caption = f"{number(past.requests)} past requests at other thresholds; the marked row is the present one"
    present = next(i for i, outcome in enumerate(facts.outcomes) if outcome.threshold == past.threshold)
    table = Table(caption, columns, [_row(outcome, facts) for outcome in facts.outcomes], present)
    charts = [chart for curve in _CURVES if (chart := _chart(curve, past, facts, table)) is not None]
    return Section("other-thresholds", _TITLE, [_LEAD], charts, [table], _notes(past))


def _row(outcome: Outcome, facts: Facts) -> tuple[str, ...]:
    bill = outcome.bill
    cell = _UNKNOWN
    if bill.value is not None:
        spread = "" if bill.low == bill.high else f"\n{facts.unit.interval(bill.low, bill.high)}"
        cell = facts.unit.amount(bill.value) + spread
    nothing_accepted = outcome.threshold >= ALWAYS_ASK
    return (
        _name(outcome.threshold),
        _cell(outcome.coverage),
        cell,
        _cell(outcome.disagreement),
        _cell(outcome.error),
        "" if nothing_accepted else _cell(outcome.selective_risk),
    )


def _name(threshold: float) -> str:
    if threshold >= ALWAYS_ASK:
        return "always ask the LLM"
    return "never ask the LLM" if threshold == 0 else decimal(threshold)


def _cell(known: Known) -> str:
    if known.value is None:
        return _UNKNOWN
    return percent(known.value) + ("" if known.low == known.high else f"\n{span(known.low, known.high)}")


def _chart(curve: _Curve, past: PastTraffic, facts: Facts, numbers: Table) -> Chart | None:
    points = _points(curve, past, facts)
    if len(points) < 2:  # noqa: PLR2004  a line has two ends
        return None
    highest = min(nice_high(max(point.high for point in points)), 1.0)
    if curve.x == "bill":
        x = Axis(0, nice_high(max(point.x for point in points)), f"bill of the LLM, {facts.unit}")
    else:
        x = Axis(0, 1, "coverage", percent=True)
    description = "One point a threshold, with its 95 percent interval; the table holds the numbers."
    canvas = Canvas(curve.name, curve.title, description, x, Axis(0, highest, curve.y_title, percent=True))
    canvas.axes()
    target = None if curve.x == "bill" else certified_target(facts)
    if target is not None:
        canvas.horizontal(target, "certified target")
    canvas.estimates(points)
    meaning = f"{len(points)} thresholds with their 95\u00a0% intervals; the square is the present one."
    return Chart(curve.title, canvas.svg(), meaning, numbers)


def _points(curve: _Curve, past: PastTraffic, facts: Facts) -> list[Point]:
    points = []
    for outcome in facts.outcomes:
        x = outcome.bill.value if curve.x == "bill" else outcome.coverage.value
        y = curve.of(outcome)
        if x is None or y.value is None or (outcome.threshold >= ALWAYS_ASK and curve.x == "coverage"):
            continue
        points.append(Point(x, y.value, y.low, y.high, outcome.threshold == past.threshold))
    return points


def _notes(past: PastTraffic) -> list[str]:
    audited, recorded = int(past.audits.counts.sum()), int(past.deferred.counts.sum())
    seen = (
        f"Of {number(past.accepted_requests)} accepted requests {number(audited)} were audited and stand for the "
        f"others; of {number(past.deferred_requests)} deferred ones {number(recorded)} have a record."
    )
    return [seen, _ONE_ROW, _BY_PEOPLE] if audited else [seen, _NO_AUDITS, _ONE_ROW, _BY_PEOPLE]
