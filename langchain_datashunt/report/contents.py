"""The sections of the report, in their order."""

from __future__ import annotations

from langchain_datashunt.registry.model_registry import ModelRegistry
from langchain_datashunt.report.accepted_section import accepted_answers
from langchain_datashunt.report.confidence_section import confidence_section
from langchain_datashunt.report.cost_section import cost
from langchain_datashunt.report.examples_section import escalations, found_by_audit
from langchain_datashunt.report.facts import Facts
from langchain_datashunt.report.labelled_section import LabelledRows, on_labelled_rows
from langchain_datashunt.report.parts import Page
from langchain_datashunt.report.summary import about, headlines, sentences
from langchain_datashunt.report.threshold_section import other_thresholds
from langchain_datashunt.report.time_section import over_time
from langchain_datashunt.report.versions_section import versions_section
from langchain_datashunt.report.wording import visible


def page_of(
    facts: Facts,
    *,
    labelled: LabelledRows | None,
    registry: ModelRegistry | None,
    tenant: str | None,
    title: str,
    written: str,
    version: str,
) -> Page:
    """Put the page together.

    Args:
        facts: The numbers.
        labelled: Rows to score the policy on.
        registry: Of the small model's versions.
        tenant: Whose traffic it is.
        title: Of the page.
        written: When, as it is printed.
        version: Of this package.
    """
    scored = None if labelled is None or facts.policy is None else on_labelled_rows(facts.policy, labelled)
    sections = (
        over_time(facts),
        cost(facts),
        accepted_answers(facts),
        other_thresholds(facts),
        confidence_section(facts),
        scored,
        escalations(facts),
        found_by_audit(facts),
        None if registry is None else versions_section(registry, facts),
    )
    return Page(
        title=visible(title),
        about=about(facts, tenant),
        summary=sentences(facts),
        headlines=headlines(facts),
        sections=[section for section in sections if section is not None],
        written=written,
        version=version,
    )
