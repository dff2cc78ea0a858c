"""Nothing lost and nothing invented, at length: what docs/hard-samples.md says about 50,000 records and 50 kills."""

from __future__ import annotations

import asyncio
import random
import sqlite3
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hard_samples import model, parser, shunt, small_model
from log_writers import pipe, start_one, write_until_killed

from langchain_datashunt import HardSampleCallbackHandler, HardSampleStore

pytestmark = pytest.mark.evidence

N = 50_000
KILLS = 50


@pytest.fixture
def store(tmp_path: Path) -> Iterator[HardSampleStore]:
    with HardSampleStore(tmp_path / "samples.db") as store:
        yield store


def check(store: HardSampleStore, started: float, way: str) -> None:
    taken = time.monotonic() - started
    counts = {kept.input: kept.complete_count for kept in store.iter_samples(trainable_only=True)}
    assert counts == {f"text {i}": 1 for i in range(N)}
    print(f"{way}: {N} records, every one once, {N / taken:.0f} calls/s")


def test_fifty_thousand_from_32_threads(store: HardSampleStore) -> None:
    chain = shunt(small_model(), model()) | parser()
    config: Any = {"callbacks": [HardSampleCallbackHandler(store)]}
    started = time.monotonic()
    with ThreadPoolExecutor(32) as pool:
        for _ in pool.map(lambda i: chain.invoke(f"text {i}", config), range(N)):
            pass
    check(store, started, "32 threads")


async def test_fifty_thousand_from_200_tasks(store: HardSampleStore) -> None:
    chain = shunt(small_model(), model()) | parser()
    config: Any = {"callbacks": [HardSampleCallbackHandler(store)]}

    async def work(worker: int) -> None:
        for i in range(worker, N, 200):
            await chain.ainvoke(f"text {i}", config)

    started = time.monotonic()
    await asyncio.gather(*(work(worker) for worker in range(200)))
    check(store, started, "200 tasks")


def test_fifty_kills_lose_nothing_that_had_returned(tmp_path: Path) -> None:
    path, moments = tmp_path / "samples.db", random.Random(0)  # noqa: S311  no secret
    returned: dict[str, int] = {}
    for attempt in range(KILLS):
        reader, writer = pipe()
        process = start_one(write_until_killed, str(path), None, f"run {attempt}", writer)
        last = reader.recv()
        time.sleep(moments.uniform(0, 0.3))
        process.kill()
        process.join()
        writer.close()
        while reader.poll():
            try:
                last = reader.recv()
            except (EOFError, OSError):
                break
        returned[f"run {attempt}"] = last
        with sqlite3.connect(path) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    with HardSampleStore(path) as store:
        counts = {kept.input: kept.complete_count for kept in store.iter_samples()}
    assert set(counts.values()) == {1}
    for name, last in returned.items():
        assert {f"{name} {number}" for number in range(last + 1)} <= set(counts)
    extra = len(counts) - sum(last + 1 for last in returned.values())
    assert 0 <= extra <= KILLS  # a record may be kept whose call had no time to return
    print(f"{KILLS} kills: {len(counts)} records, {extra} kept whose call had not returned, none lost")
