"""A log of a million records: the plans of its queries, and how long they take."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from hard_samples import sample
from sqlalchemy import event

from langchain_datashunt import HardSampleStore
from langchain_datashunt.store.privacy import Privacy
from langchain_datashunt.store.rows import entry_of, identified
from langchain_datashunt.store.writing import write

pytestmark = [pytest.mark.evidence, pytest.mark.timeout(3600)]

N = 1_000_000


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("million") / "samples.db"
    HardSampleStore(path).close()
    privacy = Privacy()
    started = time.monotonic()
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA cache_size = -400000")
        for first in range(0, N, 10_000):
            entries = []
            for i in range(first, first + 10_000):
                given = sample(f"text {i} " + "word " * 20, tenant=f"tenant {i % 20}", policy_id=f"policy {i % 5}")
                given = replace(
                    given,
                    confidence=(i * 7919 % 100_003) / 100_003,
                    created_at=float(i),
                    tags=(f"customer:{i % 5000}",),
                )
                entries.append(entry_of(identified(privacy.applied(given))))
            write(connection.executemany, entries)
            connection.commit()
    print(f"{N} records in {time.monotonic() - started:.0f} s, {path.stat().st_size / 1e6:.0f} MB")
    return path


@pytest.fixture
def store(path: Path) -> Iterator[HardSampleStore]:
    with HardSampleStore(path) as store:
        yield store


def timed(store: HardSampleStore, what: str, run: Any) -> float:
    """Print the plan and the time of the slowest statement in `run`; return its seconds."""
    statements: list[tuple[str, Any]] = []

    def note(_: Any, __: Any, statement: str, parameters: Any, ___: Any, ____: Any) -> None:
        if "FROM samples" in statement:
            statements.append((statement, parameters))

    event.listen(store._engine, "before_cursor_execute", note)
    run()
    started = time.perf_counter()
    run()
    seconds = time.perf_counter() - started
    event.remove(store._engine, "before_cursor_execute", note)
    with store._engine.connect() as connection:
        statement, parameters = statements[0]
        plan = [str(row.detail) for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)]
    print(f"{what}: {seconds * 1000:.1f} ms; {'; '.join(plan)}")
    assert not any(step == "SCAN samples" for step in plan)
    return seconds


def test_the_queries_of_a_million_records_walk_along_indexes(store: HardSampleStore) -> None:
    assert (
        timed(
            store,
            "a page to train on",
            lambda: list(islice(store.iter_samples(tenant="tenant 3", trainable_only=True), 500)),
        )
        < 1
    )
    assert timed(store, "the ten nearest", lambda: store.nearest(0.5, tenant="tenant 3")) < 0.1
    assert timed(store, "a customer's", lambda: list(store.iter_samples(tag="customer:17"))) < 1
    assert timed(store, "stats of a tenant", lambda: store.stats(tenant="tenant 3")) < 1
    assert timed(store, "stats of all", store.stats) < 10
    given = sample("one more")
    started = time.perf_counter()
    for i in range(200):
        store.append([replace(given, input=f"one more {i}")])
    print(f"append: {(time.perf_counter() - started) / 200 * 1000:.2f} ms")
