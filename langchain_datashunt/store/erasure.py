"""Gold labels, retention, and the erasure of a person's records."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import Connection, Engine, bindparam, text

from langchain_datashunt.errors import HardSampleStoreError
from langchain_datashunt.store.databases import changing, forget_changes
from langchain_datashunt.store.rows import Entry, optional_key, seconds, tag_key

_CHUNK = 500


@dataclass(frozen=True, slots=True)
class Erasure:
    """Which records a person's request concerns: those with a tag, or of an input; within a tenant if named.

    Attributes:
        tag: A tag of the runs.
        input_hash: The hash of an input.
        tenant: None for all tenants.
    """

    tag: str | None = None
    input_hash: str | None = None
    tenant: str | None = None

    def __post_init__(self) -> None:
        """Refuse to erase everything by mistake."""
        if (self.tag is None) == (self.input_hash is None):
            raise HardSampleStoreError("an erasure names one of a tag and an input; it got both or neither")

    def matches(self, entry: Entry) -> bool:
        """Tell whether an entry that has not arrived yet is concerned."""
        if entry["kind"] != "sample" or self.tenant not in (None, entry["columns"]["tenant"]):
            return False
        if self.tag is not None:
            return tag_key(self.tag) in entry["tags"]
        return bool(entry["columns"]["input_hash"] == self.input_hash)


def set_gold(engine: Engine, id_: str, gold: str | None) -> None:
    """Set or take back the true label of a sample.

    Raises:
        HardSampleStoreError: There is no such sample, or the label cannot be kept.
    """
    query = text("UPDATE samples SET gold = :gold, gold_at = :now WHERE id = :id")
    values = {"gold": optional_key("gold", gold), "now": None if gold is None else time.time(), "id": id_}
    with changing(engine) as connection:
        if connection.execute(query, values).rowcount == 0:
            raise HardSampleStoreError(f"the hard-sample log has no sample with the id {id_!r}")


def prune(engine: Engine, before: float, *, keep_gold: bool) -> int:
    """Delete samples last seen before a time (seconds since 1970); return how many."""
    times = {"before": seconds("before", before)}
    condition = "last_seen < :before" + (" AND gold IS NULL" if keep_gold else "")
    query = f"SELECT id FROM samples WHERE {condition} LIMIT {_CHUNK}"  # noqa: S608  constants; values are bound
    return _delete_all(engine, lambda connection: list(connection.execute(text(query), times).scalars()))


def erase(engine: Engine, erasure: Erasure) -> int:
    """Delete the samples that `erasure` concerns; return how many."""
    conditions = []
    if erasure.tag is not None:
        conditions.append("id IN (SELECT sample_id FROM tags WHERE tag = :tag)")
    if erasure.input_hash is not None:
        conditions.append("input_hash = :input_hash")
    if erasure.tenant is not None:
        conditions.append("tenant = :tenant")
    query = f"SELECT id FROM samples WHERE {' AND '.join(conditions)} LIMIT {_CHUNK}"  # noqa: S608  likewise
    given = {
        "tag": None if erasure.tag is None else tag_key(erasure.tag),
        "input_hash": erasure.input_hash,
        "tenant": erasure.tenant,
    }
    parameters = {name: value for name, value in given.items() if value is not None}
    return _delete_all(engine, lambda connection: list(connection.execute(text(query), parameters).scalars()))


def _delete_all(engine: Engine, find: Callable[[Connection], list[str]]) -> int:
    """Delete in short transactions, so that nobody who writes waits for long."""
    deleted = 0
    while True:
        with changing(engine) as connection:
            if engine.dialect.name == "postgresql":  # what is being shipped arrives first, and is found
                connection.execute(text("SELECT id FROM spools FOR UPDATE"))
            ids = find(connection)
            if ids:
                _delete(connection, ids)
        if not ids:
            break
        deleted += len(ids)
    if deleted:
        forget_changes(engine)
    return deleted


def _delete(connection: Connection, ids: list[str]) -> None:
    for table, column in (("answers", "sample_id"), ("tags", "sample_id"), ("samples", "id")):
        query = text(f"DELETE FROM {table} WHERE {column} IN :ids").bindparams(bindparam("ids", expanding=True))  # noqa: S608  constants
        connection.execute(query, {"ids": ids})
