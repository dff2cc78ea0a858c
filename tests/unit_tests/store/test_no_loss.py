from __future__ import annotations

import asyncio
import os
import pwd
import resource
import sqlite3
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hard_samples import EASY, HARD, model, only, parser, sample, shunt, small_model
from log_writers import pipe, run_at_once, start_one, write_samples, write_until_killed
from sqlalchemy import text

from langchain_datashunt import HardSampleCallbackHandler, HardSampleStore, HardSampleStoreError


def texts(store: HardSampleStore) -> list[str]:
    return [kept.input for kept in store.iter_samples()]


def test_threads_lose_and_invent_nothing(store: HardSampleStore) -> None:
    chain = shunt(small_model(), model()) | parser()
    config: Any = {"callbacks": [HardSampleCallbackHandler(store)]}
    wanted = [f"text {i}" for i in range(640)]
    with ThreadPoolExecutor(32) as pool:
        list(pool.map(lambda value: chain.invoke(value, config), wanted))
    assert sorted(texts(store)) == sorted(wanted)
    assert {kept.complete_count for kept in store.iter_samples()} == {1}


async def test_concurrent_tasks_lose_and_invent_nothing(store: HardSampleStore) -> None:
    chain = shunt(small_model(), model(delay=0.01)) | parser()
    config: Any = {"callbacks": [HardSampleCallbackHandler(store)]}
    wanted = [f"text {i}" for i in range(200)]
    await asyncio.gather(*(chain.ainvoke(value, config) for value in wanted))
    assert sorted(texts(store)) == sorted(wanted)


def test_eight_processes_write_one_file(path: Path) -> None:
    run_at_once(8, write_samples, str(path), None, 50)
    with HardSampleStore(path) as store:
        counts = {kept.input: kept.complete_count for kept in store.iter_samples()}
    assert len(counts) == 8 * 50 + 1
    assert counts.pop("shared") == 8 * 50
    assert set(counts.values()) == {1}


def test_what_was_returned_before_a_kill_is_there(path: Path) -> None:
    for attempt in range(5):
        reader, writer = pipe()
        process = start_one(write_until_killed, str(path), None, f"run {attempt}", writer)
        returned = reader.recv()
        time.sleep(0.02 * attempt)
        process.kill()
        process.join()
        while reader.poll():
            try:
                returned = reader.recv()
            except (EOFError, OSError):
                break
        with HardSampleStore(path) as store:
            kept = set(texts(store))
        assert {f"run {attempt} {number}" for number in range(returned + 1)} <= kept
        with sqlite3.connect(path) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_a_forked_process_writes_through_connections_of_its_own(store: HardSampleStore) -> None:
    store.append([sample("parent")])
    child = os.fork()
    if child == 0:
        store.append([sample("child")])
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    store.append([sample("parent again")])
    assert texts(store) == ["parent", "child", "parent again"]


def test_full_durability_writes_through_to_the_disk(path: Path) -> None:
    with HardSampleStore(path, durability="full") as store, store._engine.connect() as connection:
        assert connection.execute(text("PRAGMA synchronous")).scalar() == 2
        assert connection.execute(text("PRAGMA journal_mode")).scalar() == "wal"


class TestAFileThatCannotBeWritten:
    def test_while_another_process_holds_the_file_one_caller_waits_and_the_others_do_not(self, path: Path) -> None:
        with HardSampleStore(path, busy_timeout=0.5) as store:
            holder = sqlite3.connect(path, isolation_level=None)
            holder.execute("BEGIN IMMEDIATE")
            started = time.monotonic()
            for i in range(20):
                with pytest.raises(HardSampleStoreError, match="locked"):
                    store.append([sample(f"text {i}")])
            assert time.monotonic() - started < 2
            holder.execute("ROLLBACK")
            holder.close()
            time.sleep(0.6)
            store.append([sample("later")])
            assert only(store).input == "later"
            (loss,) = store.stats().losses
            assert (loss.records, store.health.dropped) == (20, 20)

    def test_a_full_disk_breaks_no_chain_and_what_was_dropped_is_reported(self, path: Path) -> None:
        report = run_elsewhere(path, "full")
        assert report["answers"] == "30"
        assert int(report["dropped"]) > 0
        with HardSampleStore(path) as store:
            kept = [kept for kept in store.iter_samples() if kept.input.startswith("text")]
            assert len(kept) == 30 - int(report["dropped"])
            assert sum(loss.records for loss in store.stats().losses) == int(report["dropped"])

    def test_a_read_only_file_breaks_no_chain(self, path: Path) -> None:
        report = run_elsewhere(path, "read-only")
        assert (report["answers"], report["dropped"]) == ("30", "30")


def run_elsewhere(path: Path, trouble: str) -> dict[str, str]:
    """Run 30 hard calls in a process whose log is in trouble; return what it reports."""
    folders = [str(Path(__file__).parents[2]), str(Path(__file__).parents[3])]
    done = subprocess.run(  # noqa: S603  this Python
        [sys.executable, __file__, str(path), trouble],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(folders)},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return dict(line.split("=", 1) for line in done.stdout.splitlines())


def in_trouble(path: str, trouble: str) -> None:
    store = HardSampleStore(path)
    handler = HardSampleCallbackHandler(store)
    chain = shunt(small_model(), model()) | parser()
    chain.invoke(EASY)  # loads what is loaded late
    if trouble == "full":
        grow_no_more(path)
    else:
        become_read_only(path, store)
    started = time.monotonic()
    answers = [chain.invoke(f"text {i} {HARD} {'x ' * 5000}", {"callbacks": [handler]}) for i in range(30)]
    assert time.monotonic() - started < 10
    dropped = store.health.dropped
    if trouble == "full":
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        store.append([sample("room again")])
        store.close()
    sys.stdout.write(f"answers={len(answers)}\ndropped={dropped}\n")
    sys.stdout.flush()
    os._exit(0)


def grow_no_more(path: str) -> None:
    """Let the kernel refuse to make files longer, as on a full disk."""
    size = Path(path).stat().st_size + Path(f"{path}-wal").stat().st_size
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 100_000, resource.RLIM_INFINITY))


def become_read_only(path: str, store: HardSampleStore) -> None:
    store._engine.dispose()
    for file in Path(path).parent.iterdir():
        file.chmod(0o444)
    Path(path).parent.chmod(0o555)
    if os.geteuid() == 0:  # root may write anything
        nobody = pwd.getpwnam("nobody")
        for folder in Path(path).parents[:3]:
            folder.chmod(folder.stat().st_mode | 0o555)
        os.setgid(nobody.pw_gid)
        os.setuid(nobody.pw_uid)


if __name__ == "__main__":
    in_trouble(*sys.argv[1:])
