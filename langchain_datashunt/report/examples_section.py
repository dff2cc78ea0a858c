"""Which inputs went to the large model and why, and which accepted answers audits found wrong."""

from __future__ import annotations

from collections import Counter

from langchain_datashunt.report.facts import Facts
from langchain_datashunt.report.log_reading import SHOWN, Examples, sightings
from langchain_datashunt.report.parts import Section, Table
from langchain_datashunt.report.wording import decimal, number, percent, visible
from langchain_datashunt.types import HardSample

_WHY = {
    ("large", "below_threshold"): "The small model was less sure than the threshold asks.",
    ("audit", "accepted"): "Accepted, and drawn at random to be checked (audit).",
    ("large", "route_large"): "The caller asked for the LLM.",
    ("large_on_error", "small_error"): "The small model failed on the input.",
    ("small_on_error", "large_error"): "The LLM was asked and failed; the small model answered.",
}
_LONGEST_LABEL = 60
_LONGEST_PROBLEM = 120


def escalations(facts: Facts) -> Section:
    """Return what went to the large model, why, and which inputs."""
    records = facts.records
    all_requests, deferred = records.reasons.total(), records.deferred_as.total()
    why = [
        (_WHY.get(key, f"{key[0]}, {key[1]}"), number(n), percent(n / all_requests))
        for key, n in records.reasons.most_common()
    ]
    labels = [(visible(label), number(n), percent(n / deferred)) for label, n in records.deferred_as.most_common(SHOWN)]
    tables = [
        Table("Why requests reached the LLM", ["reason", "requests#", "share#"], why),
        Table("Deferred requests by what the small model would have said", ["label", "requests#", "share#"], labels),
        _examples("Nearest to the threshold, without a person's label: label these first", records.nearest, facts),
    ]
    if any(sightings(sample) > 1 for sample in records.frequent):
        tables.append(_examples("Asked most often", records.frequent, facts))
    tables.append(_problems(records.problems))
    name = visible(facts.policy_id) or "(none)"
    lead = f"{number(all_requests)} requests of policy {name} have a record."
    return Section("escalated", "What went to the LLM, and why", [lead], (), [each for each in tables if each.rows])


def found_by_audit(facts: Facts) -> Section:
    """Return accepted answers that audits found wrong, or that the large model disputes."""
    records = facts.records
    wrong = f"Wrong, says a person: {number(records.n_wrong)} audited requests"
    disputed = f"Disputed by the LLM, not looked at by a person: {number(records.n_disputed)} audited requests"
    tables = [_examples(wrong, records.wrong, facts), _examples(disputed, records.disputed, facts)]
    lead = (
        "Answers of the small model that were checked because their request was drawn for an audit; the caller got the "
        "LLM's answer. The most confident mistakes stand first."
    )
    nothing = [] if records.n_wrong else ["No audit has found a wrong answer."]
    note = "The LLM's word is no truth: where it disagrees, either may be wrong. Only a person's label makes an error."
    shown = [table for table in tables if table.rows]
    return Section("wrong-answers", "Wrong answers that audits found", [lead, *nothing], (), shown, [note])


def _examples(caption: str, samples: Examples, facts: Facts) -> Table:
    columns = ["input", "small model", "confidence#", "LLM", "person's label", "seen#"]
    return Table(caption, columns, [_example(sample, facts) for sample in samples], texts=True)


def _example(sample: HardSample, facts: Facts) -> tuple[str, ...]:
    if not facts.show_inputs:
        shown = f"(not shown) {sample.id}"
    elif sample.input is None:
        shown = f"(not kept) {sample.id}"
    else:
        shown = visible(sample.input)
    return (
        shown,
        visible(sample.small_label or "failed", _LONGEST_LABEL),
        "" if sample.confidence is None else decimal(sample.confidence),
        ", ".join(_answer(label, n) for label, n in sample.answers.items()) or "no answer",
        visible(sample.gold or "", _LONGEST_LABEL),
        number(sightings(sample)),
    )


def _answer(label: str, n: int) -> str:
    return visible(label, _LONGEST_LABEL) + (f" \u00d7{n}" if n > 1 else "")


def _problems(problems: Counter[str]) -> Table:
    """Return why requests gave no label, by the kind of problem: the rest of a message may hold private text."""
    kinds: Counter[str] = Counter()
    for problem, n in problems.items():
        kinds[problem.split(":", 1)[0]] += n
    rows = [(visible(kind, _LONGEST_PROBLEM), number(n)) for kind, n in kinds.most_common(SHOWN) if n]
    return Table("Requests whose answer gave no label, by why", ["why", "requests#"], rows)
