"""The SQL that counts entries into the tables; the same for SQLite and PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from langchain_datashunt.store.rows import Entry

_DESCRIBING = ("route", "label", "small_label", "confidence", "parent_id", "payload")
"""Columns that the better record decides."""

_ADDED = ("complete_count", "incomplete_count", "input_tokens", "output_tokens")

_ALL = (
    "id",
    "tenant",
    "policy_id",
    "teacher",
    "route",
    "quality",
    "label",
    "small_label",
    "confidence",
    "sampling_probability",
    "input_hash",
    "parent_id",
    "complete_count",
    "incomplete_count",
    "input_tokens",
    "output_tokens",
    "first_seen",
    "last_seen",
    "gold",
    "payload",
)

# Column names are constants of this file; every value is a bound parameter.
_UPSERT_SAMPLE = (
    f"INSERT INTO samples ({', '.join(_ALL)}) VALUES ({', '.join(':' + name for name in _ALL)}) "  # noqa: S608  see above
    "ON CONFLICT (id) DO UPDATE SET "
    + ", ".join(
        [
            *(f"{name} = samples.{name} + excluded.{name}" for name in _ADDED),
            *(
                f"{name} = CASE WHEN excluded.quality > samples.quality THEN excluded.{name} ELSE samples.{name} END"
                for name in ("quality", *_DESCRIBING)
            ),
            *(
                f"{name} = CASE WHEN excluded.{name} {sign} samples.{name} THEN excluded.{name} ELSE samples.{name} END"
                for name, sign in (("first_seen", "<"), ("last_seen", ">"))
            ),
            "gold = COALESCE(excluded.gold, samples.gold)",
        ]
    )
)
_UPSERT_ANSWER = (
    "INSERT INTO answers (sample_id, label, n) VALUES (:sample_id, :label, :n) "
    "ON CONFLICT (sample_id, label) DO UPDATE SET n = answers.n + excluded.n"
)
_INSERT_TAG = "INSERT INTO tags (tag, sample_id) VALUES (:tag, :sample_id) ON CONFLICT DO NOTHING"
_UPSERT_TRAFFIC = (
    "INSERT INTO traffic (tenant, policy_id, route, day, n) VALUES (:tenant, :policy_id, :route, :day, :n) "
    "ON CONFLICT (tenant, policy_id, route, day) DO UPDATE SET n = traffic.n + excluded.n"
)
_INSERT_LOSS = "INSERT INTO losses (since, until, n, reason) VALUES (:since, :until, :n, :reason)"


Execute = Callable[[str, Sequence[Mapping[str, Any]]], Any]
"""Runs a statement once for each of at least one set of its parameters, within the caller's transaction."""


def write(execute: Execute, entries: Sequence[Entry], *, sort: bool = False) -> None:
    """Count entries into the tables.

    Args:
        execute: The database.
        entries: In the order of their arrival.
        sort: Touch rows in one order, so that two writers with row locks never wait for each other.
    """
    samples = [entry for entry in entries if entry["kind"] == "sample"]
    if sort:
        samples.sort(key=lambda entry: entry["columns"]["id"])
    answers = [
        {"sample_id": entry["columns"]["id"], "label": label, "n": n}
        for entry in samples
        for label, n in sorted(entry["answers"].items())
    ]
    tags = {(tag, entry["columns"]["id"]) for entry in samples for tag in entry["tags"]}
    traffic = [entry for entry in entries if entry["kind"] == "traffic"]
    traffic.sort(key=lambda entry: (entry["tenant"], entry["policy_id"], entry["route"], entry["day"]))
    for statement, parameters in (
        (_UPSERT_SAMPLE, [entry["columns"] for entry in samples]),
        (_UPSERT_ANSWER, answers),
        (_INSERT_TAG, [{"tag": tag, "sample_id": id_} for tag, id_ in sorted(tags)]),
        (_UPSERT_TRAFFIC, traffic),
        (_INSERT_LOSS, [entry for entry in entries if entry["kind"] == "loss"]),
    ):
        if parameters:
            execute(statement, parameters)
