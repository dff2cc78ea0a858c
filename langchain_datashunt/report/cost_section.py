"""The bill, and what it would have been without the small model."""

from __future__ import annotations

import numpy as np

from langchain_datashunt.report.facts import Facts, Saving
from langchain_datashunt.report.parts import Section, Table
from langchain_datashunt.report.wording import Unit, number, percent, seconds

_CALLS = 1000


def cost(facts: Facts) -> Section:
    """Return the bill and what it would have been."""
    saving, unit = facts.saving, facts.unit
    rows = [
        ("Requests", number(saving.requests), "counted"),
        (
            "Answered without any LLM call",
            number(saving.alone),
            f"counted: {percent(saving.alone / max(saving.requests, 1))}",
        ),
        (
            "Spent on LLM calls",
            unit.amount(saving.spent - saving.small_cost),
            f"for {number(facts.reading.calls)} requests, tokens as the LLM reported them",
        ),
    ]
    if unit.currency is not None:
        rows.append(("Spent on small calls", unit.amount(saving.small_cost), "one for every request"))
    rows += _estimated(saving, unit)
    tables = [Table("The bill", ["", "amount#", "how it is known"], rows), *_latency(facts)]
    return Section("cost", "What it cost", (), (), tables, _notes(saving, unit))


def _estimated(saving: Saving, unit: Unit) -> list[tuple[str, str, str]]:
    call, saved = saving.call, saving.saved
    if saved is None or call.mean is None or call.low is None or call.high is None:
        return [("Saved", "not known", "no LLM call has a price")]
    value, low, high = saved
    basis = "audited requests" if saving.from_audits else "deferred requests, since there are too few audits"
    priced = unit.interval(_CALLS * call.low, _CALLS * call.high)
    return [
        (
            f"{number(_CALLS)} LLM calls that were not made",
            unit.amount(_CALLS * call.mean),
            f"{priced}, estimated from {number(call.rows)} {basis}",
        ),
        ("Saved", unit.amount(value), unit.interval(low, high)),
        (
            "The bill without the small model",
            unit.amount(saving.spent + value),
            unit.interval(saving.spent + low, saving.spent + high),
        ),
    ]


def _notes(saving: Saving, unit: Unit) -> list[str]:
    notes = [
        "Intervals are of 95\u00a0%, approximate: Student's t, audits weighted by one over their sampling probability."
    ]
    if not saving.from_audits:
        notes.append(
            "There are too few audits to know what the calls that were not made would have cost. It is assumed that "
            "they would have cost what deferred ones do; accepted inputs may well be shorter or longer. An audit_rate "
            "settles it."
        )
    if unit.currency is None:
        notes.append("No prices were given, so the bill is counted in tokens, input and output together.")
    return notes


def _latency(facts: Facts) -> list[Table]:
    latencies = facts.records.latencies
    if not latencies:
        return []
    middle, slow = np.quantile(latencies, [0.5, 0.95])
    rows = [("Half of them took at most", seconds(middle)), ("95\u00a0% took at most", seconds(slow))]
    return [Table(f"Duration of the LLM's side, {number(len(latencies))} records", ["", "duration#"], rows)]
