"""The hard-sample log on a real PostgreSQL server, which these tests start."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hard_samples import HARD, model, parser, sample, shunt, small_model
from log_writers import pipe, run_at_once, start_one, write_samples, write_until_killed
from postgres_server import PostgresServer
from sqlalchemy import text

from langchain_datashunt import HardSampleCallbackHandler, HardSampleStore, HardSampleStoreError
from langchain_datashunt.store.databases import location_of, postgresql_engine
from langchain_datashunt.store.exporting import as_json
from langchain_datashunt.store.migrations import MIGRATIONS, migrate


@pytest.fixture(scope="module")
def shared_server() -> Iterator[PostgresServer]:
    server = PostgresServer()
    yield server
    server.remove()


@pytest.fixture
def server(shared_server: PostgresServer) -> PostgresServer:
    """The server, with an empty database."""
    engine = postgresql_engine(location_of(shared_server.url))  # type: ignore[arg-type]  a URL
    with engine.begin() as connection:
        connection.execute(text("DROP SCHEMA public CASCADE"))
        connection.execute(text("CREATE SCHEMA public"))
    engine.dispose()
    return shared_server


@pytest.fixture
def spool(tmp_path: Path) -> Path:
    return tmp_path / "spool.db"


@pytest.fixture
def store(server: PostgresServer, spool: Path) -> Iterator[HardSampleStore]:
    with HardSampleStore(server.url, spool=spool) as store:
        yield store


def counts(store: HardSampleStore) -> dict[str, int]:
    return {kept.input: kept.complete_count for kept in store.iter_samples()}


def test_a_chain_writes_through_the_spool_to_the_server(store: HardSampleStore) -> None:
    chain = shunt(small_model(), model()) | parser()
    config: Any = {"callbacks": [HardSampleCallbackHandler(store)], "tags": ["x"]}
    chain.batch([f"{HARD} {i}" for i in range(50)], config)
    assert store.flush(20)
    assert counts(store) == {f"{HARD} {i}": 1 for i in range(50)}
    assert store.health.pending == 0
    assert {count.route: count.requests for count in store.stats().traffic} == {"large": 50}


def test_a_record_is_the_same_as_in_a_file(store: HardSampleStore, tmp_path: Path) -> None:
    given = [
        sample("a", tags=("x",), metadata={"k": 1}, created_at=5.0),
        sample("a", label="positive", raw="positive", created_at=9.0),
        sample("nul \0 and \ud800", complete=False, label=None, created_at=7.0),
        sample("audit", route="audit", sampling_probability=0.02, created_at=8.0),
    ]
    store.append(given)
    assert store.flush(20)
    with HardSampleStore(tmp_path / "samples.db") as local:
        local.append(given)
        (id_,) = (kept.id for kept in local.iter_samples() if kept.input == "audit")
        for each in (store, local):
            each.label(id_, "negative")
        kept, expected = ({s.id: as_json(s) for s in each.iter_samples()} for each in (store, local))
        assert kept == expected
        assert store.stats() == local.stats()
        assert [s.id for s in store.nearest(0.6, limit=1)] != []
        assert store.erase(tag="x") == local.erase(tag="x") == 1
        assert store.prune(before=7.5) == local.prune(before=7.5) == 1


def test_migrations_are_safe_when_many_start_at_once(server: PostgresServer) -> None:
    def start() -> None:
        try:
            migrate(postgresql_engine(location_of(server.url)))  # type: ignore[arg-type]  a URL
        except HardSampleStoreError as error:
            failures.append(error)

    failures: list[Exception] = []
    threads = [threading.Thread(target=start) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    with postgresql_engine(location_of(server.url)).begin() as connection:  # type: ignore[arg-type]  a URL
        assert connection.execute(text("SELECT version FROM schema_version")).scalars().all() == [len(MIGRATIONS)]


@pytest.mark.parametrize("spools", ["one", "each its own"])
def test_eight_processes_write_into_one_server(server: PostgresServer, tmp_path: Path, spools: str) -> None:
    folder = str(tmp_path / "spool.db") if spools == "one" else f"{tmp_path}/{{worker}}.db"
    run_at_once(8, write_samples, server.url, folder, 100)
    with HardSampleStore(server.url, spool=tmp_path / "reader.db") as store:
        found = counts(store)
    assert len(found) == 8 * 100 + 1
    assert found.pop("shared") == 8 * 100
    assert set(found.values()) == {1}


def test_while_the_server_is_down_the_chain_answers_and_then_all_arrives(
    store: HardSampleStore, server: PostgresServer
) -> None:
    chain = shunt(small_model(), model()) | parser()
    config: Any = {"callbacks": [HardSampleCallbackHandler(store)]}
    server.stop()
    slowest, number, end = 0.0, 0, time.monotonic() + 10
    while time.monotonic() < end:
        started = time.monotonic()
        assert chain.invoke(f"text {number}", config) == "negative"
        slowest = max(slowest, time.monotonic() - started)
        number += 1
        time.sleep(0.02)
    server.start()
    assert slowest < 1.0
    assert (store.health.kept, store.health.dropped) == (number, 0)
    assert store.flush(30)
    assert counts(store) == {f"text {i}": 1 for i in range(number)}


def test_a_store_opens_while_the_server_is_down(server: PostgresServer, spool: Path) -> None:
    server.stop()
    store = HardSampleStore(server.url, spool=spool)
    store.append([sample("a")])
    with pytest.raises(HardSampleStoreError, match="cannot be"):
        store.stats()
    store.close(timeout=0.1)
    server.start()
    with HardSampleStore(server.url, spool=spool) as again:  # the next start ships what was left
        assert again.flush(20)
        assert counts(again) == {"a": 1}


def test_what_a_kill_left_is_shipped_once_by_the_next_start(server: PostgresServer, spool: Path) -> None:
    returned: dict[str, int] = {}
    for attempt in range(6):
        reader, writer = pipe()
        process = start_one(write_until_killed, server.url, str(spool), f"run {attempt}", writer)
        last = reader.recv()
        time.sleep(0.05 * attempt)
        process.kill()
        process.join()
        writer.close()
        while reader.poll():
            try:
                last = reader.recv()
            except (EOFError, OSError):
                break
        returned[f"run {attempt}"] = last
    with HardSampleStore(server.url, spool=spool) as store:
        assert store.flush(30)
        found = counts(store)
    assert set(found.values()) == {1}
    for name, last in returned.items():
        assert {f"{name} {number}" for number in range(last + 1)} <= set(found)


def test_a_record_that_the_server_refuses_does_not_hold_up_the_others(store: HardSampleStore) -> None:
    store.append([sample("a")])
    assert store.flush(20)
    with store._engine.begin() as connection:
        connection.execute(text("ALTER TABLE samples ADD CONSTRAINT small CHECK (input_tokens < 10)"))
    store.append([sample("fine"), sample("refused", input_tokens=11), sample("also fine")])
    assert store.flush(20)
    assert set(counts(store)) == {"a", "fine", "also fine"}
    (loss,) = store.stats().losses
    assert (loss.records, "small" in loss.reason) == (1, True)


def test_an_erasure_reaches_the_spool(server: PostgresServer, spool: Path) -> None:
    store = HardSampleStore(server.url, spool=spool)
    store.append([sample("a", tags=("customer:17",))])
    assert store.flush(20)
    server.stop()
    store.append([sample("Smith", tags=("customer:17",)), sample("b")])
    assert store._spool is not None
    from langchain_datashunt.store.erasure import Erasure

    assert store._spool.discard_if(Erasure(tag="customer:17").matches) == 1
    assert all(b"Smith" not in file.read_bytes() for file in spool.parent.iterdir())
    server.start()
    assert store.flush(30)
    assert store.erase(tag="customer:17") == 1
    assert set(counts(store)) == {"b"}
    store.close()
