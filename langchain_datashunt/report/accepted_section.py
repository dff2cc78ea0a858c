"""How good the answers are that the small model gave itself: estimates from audits, certificate, live bounds."""

from __future__ import annotations

from dataclasses import dataclass

from markupsafe import Markup

from langchain_datashunt.bounds.audit_estimates import RateEstimate
from langchain_datashunt.report.charts import LEFT, Axis, Canvas, nice_high
from langchain_datashunt.report.facts import Facts
from langchain_datashunt.report.parts import Chart, Section, Table
from langchain_datashunt.report.wording import decimal, number, percent, span, visible

_NOT_ERROR = (
    "Disagreement with the LLM is not error: where both are wrong alike they agree, and where they differ the LLM may "
    "be the wrong one. Error needs people's labels of audits, and these must be a random share of the audits."
)


@dataclass(frozen=True, slots=True)
class _Rate:
    name: str
    value: float | None
    low: float
    high: float
    n: int
    of: str

    @classmethod
    def of_estimate(cls, name: str, estimate: RateEstimate, of: str) -> _Rate:
        return cls(name, estimate.rate, estimate.low, estimate.high, estimate.audits, of)


def accepted_answers(facts: Facts) -> Section:
    """Return what is known of the answers that the small model gave itself."""
    rates = _rates(facts)
    rows = [
        (
            each.name,
            "not known" if each.value is None else percent(each.value),
            span(each.low, each.high),
            f"{number(each.n)} {each.of}",
        )
        for each in rates
    ]
    columns = ["what", "estimate#", "95\u00a0% interval#", "rests on#"]
    numbers = Table("Among the answers that the small model gave itself", columns, rows)
    drawn = [each for each in rates if each.n]
    target = certified_target(facts)
    mark = "" if target is None else f" The dashed line is the certified target, {percent(target)}."
    meaning = f"Each bar is a 95\u00a0% interval, the dot its estimate.{mark}"
    charts = [Chart("Rates with their intervals", _intervals(drawn, target), meaning, numbers)] if drawn else []
    lead = (
        "Estimated from audits: accepted requests, drawn at random, that the LLM answered too. Each counts as many "
        "requests as it stands for."
    )
    tables = [numbers, *_rule(facts), *_alarms(facts)]
    return Section(
        "accepted-answers", "Are the small model's own answers right?", [lead], charts, tables, _notes(facts)
    )


def certified_target(facts: Facts) -> float | None:
    """Return the error among accepted answers that the policy is certified for; None where it is not."""
    certificate = None if facts.policy is None else facts.policy.certificate
    return certificate.target if certificate is not None and certificate.quantity == "selective_risk" else None


def _rates(facts: Facts) -> list[_Rate]:
    estimates = facts.estimates
    rates = [
        _Rate.of_estimate("Differs from the LLM (not error)", estimates.disagreement, "audits"),
        _Rate.of_estimate("Wrong, by people's labels", estimates.error, "labelled audits"),
    ]
    if estimates.error_through_teacher is not None:
        name = "Wrong, by the LLM and its own error rate"
        rates.append(_Rate.of_estimate(name, estimates.error_through_teacher, "audits"))
    for bound in facts.bounds:
        name = f"Live bound on {bound.quantity}"
        rates.append(_Rate(name, bound.estimate, bound.lower, bound.upper, bound.audits, "audits"))
    return rates


def _intervals(rates: list[_Rate], target: float | None) -> Markup:
    """Draw one interval a line, below its name."""
    highest = max([each.high for each in rates] + ([] if target is None else [target]))
    canvas = Canvas(
        "rates",
        "Rates with their intervals",
        "One interval a line; the table holds the numbers.",
        Axis(0, min(nice_high(highest * 1.05), 1.0), "share of the small model's own answers", percent=True),
        Axis(0, len(rates), ""),
    )
    canvas.axes(y_ticks=False)
    if target is not None:
        canvas.vertical(target, "")
    for i, each in enumerate(reversed(rates)):
        y = canvas.top(i + 0.3)
        canvas.text(LEFT, canvas.top(i + 0.62), each.name, "note start")
        ends = canvas.left(each.low), canvas.left(each.high)
        canvas.add('<line class="whisker" x1="{}" x2="{}" y1="{}" y2="{}"/>', *ends, y, y)
        for x in ends:
            canvas.add('<line class="whisker" x1="{}" x2="{}" y1="{}" y2="{}"/>', x, x, y - 5, y + 5)
        if each.value is not None:
            canvas.dot(each.value, i + 0.3)
    return canvas.svg()


def _rule(facts: Facts) -> list[Table]:
    policy = facts.policy
    if policy is None:
        return []
    rows = [
        ("Policy", policy.policy_id),
        ("Threshold", f"{decimal(policy.threshold)} on {policy.confidence_score}"),
        ("Calibration", policy.calibration.kind),
        ("Certificate", "none" if policy.certificate is None else policy.certificate.claim()),
        ("Fitted", policy.created or "not known"),
    ]
    return [Table("The rule", ["", ""], [(name, visible(value)) for name, value in rows])]


def _alarms(facts: Facts) -> list[Table]:
    rows = [
        (f"{bound.quantity}, target {percent(bound.target)}", f"ALARM: {bound.alarm}" if bound.alarm else "no alarm")
        for bound in facts.bounds
    ]
    return [Table("Live bounds", ["bound", "state"], rows)] if rows else []


def _notes(facts: Facts) -> list[str]:
    notes = [*facts.estimates.doubts, _NOT_ERROR]
    if facts.estimates.error.audits == 0:
        notes.append("No audit has a person's label yet, so nothing here says how often the small model is wrong.")
    if facts.bounds:
        notes.append(
            "The ends of a live bound hold at every moment, each at its own confidence level, and may be looked at as "
            "often as you like. The other intervals hold for one look."
        )
    return notes
