"""The top of the report: a few sentences, and the numbers that stand large."""

from __future__ import annotations

from langchain_datashunt.bounds.audit_estimates import RateEstimate
from langchain_datashunt.report.facts import Facts
from langchain_datashunt.report.parts import Headline
from langchain_datashunt.report.wording import day, number, percent, span, visible


def sentences(facts: Facts) -> list[str]:
    """Return what happened, in plain words."""
    saving = facts.saving
    share = percent(saving.alone / max(saving.requests, 1))
    answered = f"{number(saving.alone)} of {number(saving.requests)} requests ({share})"
    return [f"The small model answered {answered} without any LLM call.", *_savings_told(facts), _quality_told(facts)]


def _savings_told(facts: Facts) -> list[str]:
    saved, share, unit = facts.saving.saved, facts.saving.share, facts.unit
    if saved is None or share is None:
        return []
    value, low, high = saved
    if value <= 0:
        return [f"That saved nothing: the small model's calls cost {unit.amount(-value)} more than they spared."]
    certainty = f"95\u00a0% interval {unit.interval(low, high)}"
    of = f"{percent(share[0])} of the bill that asking the LLM every time would have made"
    return [f"That saved about {unit.amount(value)} ({certainty}), {of}."]


def _quality_told(facts: Facts) -> str:
    error, disagreement = facts.estimates.error, facts.estimates.disagreement
    if error.rate is not None:
        return (
            f"Of the small model's own answers about {percent(error.rate)} were wrong (95\u00a0% interval "
            f"{span(error.low, error.high)}, from {number(error.audits)} audits that people labelled)."
        )
    if disagreement.rate is not None:
        return (
            "How many of its answers were wrong is not known: no audit has a person's label. It differs from the LLM "
            f"on {percent(disagreement.rate)} of them ({span(disagreement.low, disagreement.high)}, "
            f"{number(disagreement.audits)} audits)."
        )
    return "How good its answers were is not known: none of them was audited."


def headlines(facts: Facts) -> list[Headline]:
    """Return the numbers at the top."""
    saving, estimates = facts.saving, facts.estimates
    return [
        Headline(
            "Answered without the LLM",
            percent(saving.alone / max(saving.requests, 1)),
            f"{number(saving.alone)} of {number(saving.requests)} requests, counted",
            "The small model was sure enough, and nothing else was asked.",
        ),
        _saved(facts),
        _rate(
            "Error of its own answers",
            estimates.error,
            "labelled audits",
            "Judged by people, on requests drawn at random.",
        ),
        _rate(
            "Differs from the LLM",
            estimates.disagreement,
            "audits",
            "Of its own answers. It is not error: the LLM may be the wrong one.",
        ),
        *_lost(facts),
    ]


def _rate(name: str, estimate: RateEstimate, of: str, meaning: str) -> Headline:
    if estimate.rate is None:
        return Headline(name, "not known", f"there are no {of}", meaning)
    certainty = f"{span(estimate.low, estimate.high)}; n = {number(estimate.audits)} {of}"
    return Headline(name, percent(estimate.rate), certainty, meaning)


def _lost(facts: Facts) -> list[Headline]:
    losses = facts.reading.stats.losses
    if not losses:
        return []
    reason = visible(losses[-1].reason.split(":", 1)[0], 80)
    lost = number(sum(loss.records for loss in losses))
    return [Headline("Records lost", lost, f"last reason: {reason}", "They are missing from every number here.")]


def about(facts: Facts, tenant: str | None) -> list[tuple[str, str]]:
    """Return what the report is made from."""
    traffic = facts.reading.stats.traffic
    period = f"{traffic[0].day} to {traffic[-1].day}" if traffic else _period_of_records(facts)
    told = [("Period", period), ("Policy", visible(facts.policy_id) or "(none)")]
    if tenant is not None:
        told.append(("Tenant", visible(tenant)))
    return [*told, ("Records", number(facts.reading.records))]


def _saved(facts: Facts) -> Headline:
    saving, unit = facts.saving, facts.unit
    if saving.saved is None or saving.share is None:
        return Headline(
            "Saved", "not known", "no LLM call has a price", "Nothing tells what the calls not made would cost."
        )
    value, low, high = saving.saved
    alone = unit.amount(saving.spent + value)
    basis = "audits" if saving.from_audits else "deferred requests (an assumption)"
    return Headline(
        "Saved of the bill" if unit.currency else "Saved of the tokens",
        percent(saving.share[0]),
        f"{unit.amount(value)} ({unit.interval(low, high)}); priced by {number(saving.call.rows)} {basis}",
        f"Spent {unit.amount(saving.spent)}; asking the LLM always would have cost about {alone}.",
    )


def _period_of_records(facts: Facts) -> str:
    seen = [
        sample.last_seen
        for records in facts.reading.policies.values()
        for sample in records.frequent
        if sample.last_seen is not None
    ]
    return f"to {day(max(seen))}" if seen else "not known"
