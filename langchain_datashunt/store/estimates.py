"""Disagreement and error among the inputs that a policy accepts, estimated from the audits in the log."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from sqlalchemy import Engine, text

from langchain_datashunt.bounds.audit_estimates import AuditCounts, RateEstimate, error_through_teacher, estimate_rate
from langchain_datashunt.store.databases import reading

# The second kind are audits whose large branch failed: deferred inputs have the sampling probability 1, forced ones 0.
_WHERE = """policy_id = :policy_id AND small_label IS NOT NULL AND (route = 'audit'
    OR (route = 'small_on_error' AND sampling_probability > 0 AND sampling_probability < 1))"""
# Requests are counted, not records: each request was drawn on its own. `labelled` are answers that could be read.
_QUERY = """SELECT sampling_probability,
        SUM(labelled) AS audits, SUM(disagreeing) AS disagreements, SUM(seen - labelled) AS unlabelled,
        SUM(CASE WHEN gold IS NULL THEN 0 ELSE seen END) AS gold,
        SUM(CASE WHEN gold <> small_label THEN seen ELSE 0 END) AS errors,
        SUM(CASE WHEN gold IS NULL THEN 0 ELSE labelled END) AS gold_labelled,
        SUM(CASE WHEN gold IS NULL THEN 0 ELSE disagreeing END) AS gold_disagreements,
        SUM(teacher_errors) AS teacher_errors
    FROM (
        SELECT samples.id, sampling_probability, gold, small_label, complete_count + incomplete_count AS seen,
            COALESCE(SUM(n), 0) AS labelled,
            COALESCE(SUM(CASE WHEN answers.label <> small_label THEN n ELSE 0 END), 0) AS disagreeing,
            COALESCE(SUM(CASE WHEN answers.label <> gold THEN n ELSE 0 END), 0) AS teacher_errors
        FROM samples LEFT JOIN answers ON answers.sample_id = samples.id
        WHERE {where}
        GROUP BY samples.id, sampling_probability, gold, small_label, complete_count, incomplete_count
    ) AS audited GROUP BY sampling_probability ORDER BY sampling_probability"""

_GOLD = """SELECT id, sampling_probability, complete_count + incomplete_count AS seen, small_label, gold
    FROM samples WHERE gold IS NOT NULL AND {where} ORDER BY seq"""

_SUSPICIOUS = 0.001
"""Error level at which labelled audits are said not to be a random share."""


@dataclass(frozen=True, slots=True)
class AuditEstimates:
    """What the audits of a policy say of the inputs that it accepts. Requests are counted, repeated ones repeatedly.

    Attributes:
        disagreement: With the LLM, from its answers to audits. It is not error.
        error: From people's labels of audits. They must have been a random share of the audits, see `doubts`.
        error_through_teacher: Bounds on the error from `disagreement` and the LLM's error rate on the audits with
            people's labels; None where there are none. It uses all audits, and is the better one where the LLM is
            nearly always right.
        unlabelled: Audits whose answer failed or could not be read; the estimates are silent about them.
        doubts: Sentences; empty where nothing speaks against the estimates.
    """

    disagreement: RateEstimate
    error: RateEstimate
    error_through_teacher: RateEstimate | None
    unlabelled: int
    doubts: tuple[str, ...]

    def __str__(self) -> str:
        """Return them as they are printed, one a line."""
        teacher = () if self.error_through_teacher is None else (self.error_through_teacher,)
        return "\n".join(map(str, (self.disagreement, self.error, *teacher, *self.doubts)))

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class GoldAudit:
    """An audited input whose true label a person has given.

    Attributes:
        id: Its record.
        sampling_probability: With which probability each of its requests was drawn.
        seen: How many were.
        small_label: What the small model says.
        gold: What is true.
    """

    id: str
    sampling_probability: float
    seen: int
    small_label: str
    gold: str


def gold_audits(engine: Engine, *, policy_id: str, tenant: str | None) -> list[GoldAudit]:
    """Return a policy's audits with a person's label, in the order of their arrival."""
    where, parameters = _of_policy(policy_id, tenant)
    with reading(engine) as connection:
        return [GoldAudit(*row) for row in connection.execute(text(_GOLD.format(where=where)), parameters)]


def estimate(engine: Engine, *, policy_id: str, tenant: str | None, confidence_level: float) -> AuditEstimates:
    """Read the counts of a policy's audits, and estimate."""
    where, parameters = _of_policy(policy_id, tenant)
    with reading(engine) as connection:
        rows = connection.execute(text(_QUERY.format(where=where)), parameters).mappings().all()
    disagreements = _counts(rows, "audits", "disagreements")
    teacher_errors = _counts(rows, "gold_labelled", "teacher_errors")
    unlabelled = _total(rows, "unlabelled")
    through_teacher = None
    if teacher_errors.audits.sum():
        through_teacher = error_through_teacher(disagreements, teacher_errors, confidence_level)
    return AuditEstimates(
        estimate_rate("disagreement", disagreements, confidence_level),
        estimate_rate("error", _counts(rows, "gold", "errors"), confidence_level),
        through_teacher,
        unlabelled,
        tuple(_doubts(rows, unlabelled)),
    )


def _of_policy(policy_id: str, tenant: str | None) -> tuple[str, dict[str, str]]:
    if tenant is None:
        return _WHERE, {"policy_id": policy_id}
    return f"{_WHERE} AND tenant = :tenant", {"policy_id": policy_id, "tenant": tenant}


def _doubts(rows: Sequence[Any], unlabelled: int) -> list[str]:
    doubts = []
    audits, misses = _total(rows, "audits"), _total(rows, "disagreements")
    gold, gold_misses = _total(rows, "gold_labelled"), _total(rows, "gold_disagreements")
    if unlabelled:
        doubts.append(f"{unlabelled} further audits have no answer that could be read; the estimates leave them out")
    if 0 < gold < audits:
        from scipy.stats import fisher_exact  # noqa: PLC0415  an extra; the intervals have needed it already

        others, other_misses = audits - gold, misses - gold_misses
        table = [[gold_misses, gold - gold_misses], [other_misses, others - other_misses]]
        if fisher_exact(table).pvalue < _SUSPICIOUS:
            doubts.append(
                f"people's labels are no random share of the audits: the LLM disagrees in {gold_misses} of {gold} with "
                f"such a label and in {other_misses} of {others} without; error holds for the chosen ones only"
            )
    return doubts


def _counts(rows: Sequence[Any], audits: str, misses: str) -> AuditCounts:
    return AuditCounts(
        np.array([row["sampling_probability"] for row in rows], dtype=np.float64),
        np.array([int(row[audits]) for row in rows], dtype=np.int64),
        np.array([int(row[misses]) for row in rows], dtype=np.int64),
    )


def _total(rows: Sequence[Any], column: str) -> int:
    return sum(int(row[column]) for row in rows)
