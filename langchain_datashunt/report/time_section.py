"""Requests and coverage over time, and the policies that decided."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from datetime import date, timedelta
from functools import partial

from langchain_datashunt.report.charts import Axis, Canvas, nice_high
from langchain_datashunt.report.facts import Facts
from langchain_datashunt.report.parts import Chart, Section, Table
from langchain_datashunt.report.wording import number, percent, visible
from langchain_datashunt.store.queries import TrafficCount

_MOST_BARS = 62
"""Days shown singly; more are added up by weeks."""

_PARTS = (("small", "small model alone"), ("audit", "accepted, but sent to the LLM as an audit"), ("large", "LLM"))

Periods = dict[str, Counter[str]]


def over_time(facts: Facts) -> Section:
    """Return requests and coverage, by day or by week, and the policies."""
    unit, periods = _by_period(facts.reading.stats.traffic)
    rows = [
        (
            name,
            *(number(_part(routes, part)) for part, _ in _PARTS),
            number(routes.total()),
            percent(coverage_of(routes)),
        )
        for name, routes in periods.items()
    ]
    columns = [unit, "small model alone#", "audits#", "LLM#", "all#", "coverage#"]
    numbers = Table(f"Requests by {unit}", columns, rows)
    charts = [_requests(periods, unit, numbers), _coverage(periods, unit, numbers)] if periods else []
    lead = (
        "Coverage is the share of requests on which the small model was sure enough; the others were deferred to the "
        "LLM. Both are counted, so they have no interval."
    )
    note = (
        "Days are UTC; days without requests are left out. Where shunts are nested, each tier counts its own requests."
    )
    return Section("over-time", "Over time", [lead], charts, [_policies(facts)], [note])


def coverage_of(routes: Counter[str]) -> float:
    """Return the share of requests, counted by route, that the rule accepted."""
    return (routes["small"] + routes["audit"]) / max(routes.total(), 1)


def _requests(periods: Periods, unit: str, numbers: Table) -> Chart:
    title, first = f"Requests by {unit}", next(iter(periods))
    canvas = Canvas(
        "requests",
        title,
        f"Bars of requests by {unit}, from {first} on; the table holds the numbers.",
        Axis(0, len(periods), unit),
        Axis(0, nice_high(max(routes.total() for routes in periods.values())), "requests"),
    )
    canvas.axes(_date_ticks(list(periods)))
    draw: dict[str, Callable[[float, float, float, float], None]] = {
        "small": partial(canvas.rectangle, "fill-small"),
        "audit": canvas.hatched,
        "large": partial(canvas.rectangle, "fill-large"),
    }
    for i, routes in enumerate(periods.values()):
        below = 0
        for part, _ in _PARTS:
            if n := _part(routes, part):
                draw[part](i + 0.08, i + 0.92, below, below + n)
            below += n
    total = sum(routes.total() for routes in periods.values())
    return Chart(title, canvas.svg(), f"Who answered {number(total)} requests.", numbers, _PARTS)


def _coverage(periods: Periods, unit: str, numbers: Table) -> Chart:
    title = f"Coverage by {unit}"
    canvas = Canvas(
        "coverage",
        title,
        "The share of requests that the rule accepted, from 0 to 100 percent; the table holds the numbers.",
        Axis(0, len(periods), unit),
        Axis(0, 1, "coverage", percent=True),
    )
    canvas.axes(_date_ticks(list(periods)))
    points = [(i + 0.5, coverage_of(routes)) for i, routes in enumerate(periods.values())]
    canvas.path("line", points)
    for x, y in points:
        canvas.dot(x, y)
    shares = [y for _, y in points]
    meaning = f"Between {percent(min(shares))} and {percent(max(shares))} were accepted; the rest was deferred."
    return Chart(title, canvas.svg(), meaning, numbers)


def _by_period(traffic: Sequence[TrafficCount]) -> tuple[str, Periods]:
    """Return requests by route of each day, or of each week where there are many days."""
    days: Periods = {}
    for each in traffic:
        days.setdefault(each.day, Counter())[each.route] += each.requests
    if len(days) <= _MOST_BARS:
        return "day", days
    weeks: Periods = {}
    for name, routes in days.items():
        day = date.fromisoformat(name)
        monday = day - timedelta(days=day.weekday())
        weeks.setdefault(monday.isoformat(), Counter()).update(routes)
    return "week", weeks


def _date_ticks(names: Sequence[str]) -> list[tuple[float, str]]:
    places = sorted({0, (len(names) - 1) // 2, len(names) - 1})
    return [(i + 0.5, names[i][5:] if len(names) > 1 else names[i]) for i in places]


def _part(routes: Counter[str], part: str) -> int:
    if part == "large":
        return routes.total() - routes["small"] - routes["audit"]
    return routes[part]


def _policies(facts: Facts) -> Table:
    seen: dict[str, list[TrafficCount]] = {}
    for each in facts.reading.stats.traffic:
        seen.setdefault(each.policy_id, []).append(each)
    rows = []
    for policy_id, counts in seen.items():
        routes = facts.reading.requests(policy_id)
        name, version = visible(policy_id) or "(none)", visible(facts.reading.versions.get(policy_id, ""))
        days = counts[0].day, counts[-1].day
        rows.append((name, version, *days, number(routes.total()), percent(coverage_of(routes))))
    columns = ["policy", "small model", "first day", "last day", "requests#", "coverage#"]
    present = list(seen).index(facts.policy_id) if facts.policy_id in seen else None
    return Table("Policies, in the order in which they came into use", columns, rows, present)
