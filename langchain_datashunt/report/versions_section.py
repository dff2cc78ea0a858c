"""The versions of the small model in a registry, and which was promoted when and why."""

from __future__ import annotations

from langchain_datashunt.registry.model_registry import ModelRegistry
from langchain_datashunt.registry.model_versions import ModelVersion
from langchain_datashunt.registry.promotions import Promotion
from langchain_datashunt.report.facts import Facts
from langchain_datashunt.report.parts import Section, Table
from langchain_datashunt.report.time_section import coverage_of
from langchain_datashunt.report.wording import decimal, number, percent, visible

_LONGEST_REASON = 200


def versions_section(registry: ModelRegistry, facts: Facts) -> Section:
    """Return versions and promotions; the requests of a version are those of its policy.

    Raises:
        RegistryError: The registry cannot be read.
    """
    versions, history = registry.versions(), registry.history()
    serving = registry.promoted()
    numbers = [version.number for version in versions]
    present = numbers.index(serving.version) if serving is not None else None
    columns = ["version", "made", "from", "threshold#", "certificate", "trained on", "requests#", "coverage#"]
    tables = [
        Table("Versions, the marked one serves", columns, [_version(version, facts) for version in versions], present),
        Table("Promotions", ["when", "what", "why"], [_promotion(entry) for entry in reversed(history)]),
    ]
    nothing = [] if history else ["No version was ever promoted."]
    return Section("versions", "Versions and promotions", nothing, (), [each for each in tables if each.rows])


def _version(version: ModelVersion, facts: Facts) -> tuple[str, ...]:
    card, certificate = version.card, version.policy.certificate
    routes = facts.reading.requests(card.policy_id)
    return (
        str(version.number),
        visible(card.created[:10]),
        ", ".join(map(str, card.parents)),
        decimal(version.policy.threshold),
        "none"
        if certificate is None
        else f"{certificate.quantity.replace('_', ' ')} at most {percent(certificate.target)}",
        visible(", ".join(f"{number(n)} {name}" for name, n in card.data.items())),
        number(routes.total()),
        percent(coverage_of(routes)) if routes else "",
    )


def _promotion(entry: Promotion) -> tuple[str, str, str]:
    before = "" if entry.before is None else f", in the place of {entry.before}"
    what = "promoted" if entry.action == "promote" else "rolled back to"
    return (
        entry.at.replace("T", " ")[:16],
        f"{what} version {entry.version}{before}",
        visible(entry.reason, _LONGEST_REASON),
    )
