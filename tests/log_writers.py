"""Processes that write into one hard-sample log at once."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from multiprocessing.synchronize import Barrier
from typing import Any

from hard_samples import sample

from langchain_datashunt.store import HardSampleStore

_CONTEXT = multiprocessing.get_context("fork")  # a fresh interpreter takes seconds to import LangChain


def run_at_once(processes: int, target: Callable[..., None], *arguments: Any, timeout: float = 120) -> None:
    """Run ``target(worker, start, *arguments)`` in processes that wait for each other at `start`."""
    start = _CONTEXT.Barrier(processes)
    workers = [_CONTEXT.Process(target=target, args=(worker, start, *arguments)) for worker in range(processes)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(timeout)
    assert [worker.exitcode for worker in workers] == [0] * processes


def start_one(target: Callable[..., None], *arguments: Any) -> Any:
    """Start ``target(*arguments)`` in a process of its own."""
    process = _CONTEXT.Process(target=target, args=arguments)
    process.start()
    return process


def pipe() -> tuple[Any, Any]:
    """Return the reading and the writing end of a pipe between processes."""
    return _CONTEXT.Pipe(duplex=False)


def write_samples(worker: int, start: Barrier, url: str, spool: str | None, n: int) -> None:
    """Write `n` samples of this worker's own, and one that all workers share as often."""
    start.wait(60)
    with HardSampleStore(url, spool=spool and spool.format(worker=worker)) as store:
        for i in range(n):
            store.append([sample(f"worker {worker}, text {i}"), sample("shared")])
        assert store.flush(60)
        assert store.health.dropped == 0


def write_until_killed(url: str, spool: str | None, name: str, returned: Any) -> None:
    """Write samples without end; send the number of each whose call has returned."""
    store = HardSampleStore(url, spool=spool)
    number = 0
    while True:
        store.append([sample(f"{name} {number}")])
        returned.send(number)
        number += 1
