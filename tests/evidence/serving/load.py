"""Many clients, a faulty large side, a shutdown in mid-load: is every answer there, once, and the right one?"""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from banking_chain import DATA, DEFERRED, LARGE, asked_rows, small_model, threshold_between

from langchain_datashunt import HardSampleStore, RunnableDataShunt
from langchain_datashunt.testing import RecordingChatModel

FAULTS = {"latency_ms": 50, "rate_429": 0.05, "rate_500": 0.01}
HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]
WARM_UP = 1 / 3
"""Share of the time after which the server's memory must have stopped growing."""
MOST_GROWTH = 0.1
"""Of the memory from then on to the end: that of allocators, whose arenas fill up slowly where many threads work."""

Expected = Mapping[str, tuple[str, str]]
"""The right route and answer of each text."""


@dataclass
class Sending:
    """When a request had left its client.

    Attributes:
        at: By `time.perf_counter`; infinite until then.
    """

    at: float = float("inf")

    async def trace(self, event: str, _: Any) -> None:
        """Take what httpx tells of a request."""
        if event == "http11.send_request_body.complete":
            self.at = time.perf_counter()


Ask = Callable[[str, Sending], Awaitable[tuple[str, str]]]
"""Asks for the route and the answer of a text."""


@dataclass
class Tally:
    """What the clients saw.

    Attributes:
        routes: How many answers came from where.
        wrong: Texts whose answer or route was not their own.
        lost: Why requests that were sent before the signal to stop got no answer.
        refused: The same of requests that had not left their client by then.
        latencies: Milliseconds of each answer.
        memory: The server's resident MB, by second.
    """

    routes: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    lost: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    latencies: list[float] = field(default_factory=list)
    memory: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class Outcome:
    """What all sides counted.

    Attributes:
        clients: What the clients saw.
        large: The counters of the large side.
        traffic: Requests by route, as the log has them.
        sightings: Records of the log by route, each as often as it ended well.
        incomplete: How often one did not.
        requests: Requests by route, as the metrics have them.
        records: Records by route, as the metrics have them.
        status: How the server's process ended.
        seconds: How long the clients asked before the signal.
    """

    clients: Tally
    large: Mapping[str, Any]
    traffic: Mapping[str, int]
    sightings: Mapping[str, int]
    incomplete: int
    requests: Mapping[str, int]
    records: Mapping[str, int]
    status: int
    seconds: float

    def problems(self) -> list[str]:
        """Return what is not as it must be."""
        clients, deferred = self.clients, {"large": self.clients.routes["large"]}
        checks = {
            "mixed up": (clients.wrong, []),
            "lost": (dict(clients.lost), {}),
            "paid for, and answers from the large model": (self.large["answered"], deferred["large"]),
            "called, and answered or refused": (
                self.large["calls"],
                self.large["answered"] + self.large["errors_sent"],
            ),
            "traffic in the log": (dict(self.traffic), dict(clients.routes)),
            "records in the log": (dict(self.sightings), deferred),
            "incomplete records": (self.incomplete, 0),
            "requests in the metrics": (dict(self.requests), dict(clients.routes)),
            "records in the metrics": (dict(self.records), deferred),
            "the process's end": (self.status, 0),
            "memory grows": (self.growth() > MOST_GROWTH, False),
        }
        return [f"{what}: {got!r} instead of {wanted!r}" for what, (got, wanted) in checks.items() if got != wanted]

    def growth(self) -> float:
        """Return by which share the memory grew after the warm-up, by a straight line through it."""
        settled = np.array(self.clients.memory[int(WARM_UP * len(self.clients.memory)) :])
        slope = np.polyfit(np.arange(len(settled)), settled, 1)[0]
        return float(slope * len(settled) / settled[0])

    def rate(self) -> float:
        """Return answers a second."""
        return self.clients.routes.total() / self.seconds


@contextmanager
def started(command: list[str], marker: str, **environment: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Run a server until the block ends; give its process and the URL that it prints."""
    with subprocess.Popen(  # noqa: S603  our own servers
        command,
        cwd=HERE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(HERE)]), **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        assert process.stdout is not None
        try:
            line = next(line for line in process.stdout if marker in line)
            threading.Thread(target=process.stdout.read, daemon=True).start()  # else a full pipe would stop it
            yield process, next(word for word in re.split(r"[\s,]+", line) if word.startswith("http"))
        finally:
            process.kill()


def expectations() -> tuple[Any, float, Expected]:
    """Return the small model, a threshold, and the right route and answer of each text."""
    small = small_model()
    answers = {row["text"]: str(row["answers"][LARGE]) for row in asked_rows()}
    texts = list(answers)
    confidences = np.asarray(small.predict_proba(texts)).max(axis=1)
    threshold = threshold_between(confidences, DEFERRED)
    decided = (RunnableDataShunt(small, threshold=threshold) | RecordingChatModel()).decide_batch(texts)
    right = {
        text: ("small", str(label)) if easy else ("large", answers[text])
        for text, easy, label in zip(texts, decided.accepted, decided.labels, strict=True)
    }
    return small, threshold, right


def resident_mb(pid: int) -> float:
    """Return a process's resident memory."""
    found = re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text(encoding="ascii"))
    return int(found[1]) / 1024 if found else float("nan")


class RefusedError(Exception):
    """A status other than 200."""


def asking(http: httpx.AsyncClient) -> Ask:
    """Return how a text is asked about over HTTP."""

    async def ask(text: str, sending: Sending) -> tuple[str, str]:
        answer = await http.post("/invoke", json={"input": text}, extensions={"trace": sending.trace})
        if answer.status_code != 200:
            raise RefusedError(str(answer.status_code))
        body = answer.json()
        (decision,) = body["decisions"]
        return decision["route"], body["output"]

    return ask


async def let_clients_ask(
    ask: Ask,
    right: Expected,
    *,
    clients: int,
    seconds: float,
    each_second: Callable[[], float],
    stop: Callable[[], Any],
) -> Tally:
    """Let clients ask one thing after another, stop the server while they do, and compare what they got."""
    tally, texts, stopped_at = Tally(), list(right), float("inf")

    async def client(number: int) -> None:
        position = number * len(texts) // clients
        while True:
            text = texts[position % len(texts)]
            position += 1
            start, sending = time.perf_counter(), Sending()
            try:
                found = await ask(text, sending)
            except (httpx.HTTPError, RefusedError) as error:
                why = str(error) if isinstance(error, RefusedError) else type(error).__name__
                stopped = stopped_at < float("inf")
                late = stopped and sending.at > stopped_at
                (tally.refused if late else tally.lost)[why if stopped else f"{why} in mid-load"] += 1
                if stopped:
                    return
                continue
            tally.latencies.append((time.perf_counter() - start) * 1000)
            tally.routes[found[0]] += 1
            if found != right[text]:
                tally.wrong.append(text)

    running = [asyncio.create_task(client(number)) for number in range(clients)]
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        await asyncio.sleep(min(1.0, seconds / 6))
        tally.memory.append(each_second())
    stopped_at = time.perf_counter()
    stop()
    await asyncio.gather(*running)
    return tally


async def load(url: str, pid: int, right: Expected, clients: int, seconds: float) -> Tally:
    """Let clients ask a server over HTTP, one connection each, and stop it with SIGTERM."""
    limits = httpx.Limits(max_connections=clients, max_keepalive_connections=clients)
    async with httpx.AsyncClient(base_url=url, timeout=120, limits=limits) as http:
        return await let_clients_ask(
            asking(http),
            right,
            clients=clients,
            seconds=seconds,
            each_second=lambda: resident_mb(pid),
            stop=lambda: os.kill(pid, signal.SIGTERM),
        )


def measure(folder: Path, *, clients: int, seconds: float, micro_batched: bool = True) -> Outcome:
    """Serve the chain by `datashunt serve` before a faulty large side, and ask."""
    small, threshold, right = expectations()
    small.save(folder / "small.json")
    replay = [sys.executable, str(DATA.parents[1] / "replay_server.py"), "--port", "0", "--data"]
    with started([*replay, str(DATA / "dev.jsonl.gz")], "READY") as (_, large_url):
        root = large_url.removesuffix("/v1")
        httpx.post(f"{root}/faults", json=FAULTS).raise_for_status()
        environment = {
            "FOLDER": str(folder),
            "THRESHOLD": str(threshold),
            "LARGE_URL": large_url,
            "MICRO_BATCHED": "yes" if micro_batched else "no",
            "OMP_NUM_THREADS": "1",  # threads of a pass that wait for each other cost most where all cores are busy
        }
        serve = [sys.executable, "-m", "langchain_datashunt.cli.main", "serve", "banking_chain:chain", "--port", "0"]
        with started(serve, "running on", **environment) as (server, url):
            while httpx.get(f"{url}/ready", timeout=60).status_code != 200:
                time.sleep(0.1)
            tally = asyncio.run(load(url, server.pid, right, clients, seconds))
            status = server.wait(120)
        return outcome(folder, tally, httpx.get(f"{root}/stats").json(), status, seconds)


def outcome(folder: Path, tally: Tally, large: Mapping[str, Any], status: int, seconds: float) -> Outcome:
    """Read what the log and the metrics counted."""
    counters = json.loads((folder / "counters.json").read_text(encoding="utf-8"))
    traffic: Counter[str] = Counter()
    sightings: Counter[str] = Counter()
    incomplete = 0
    with HardSampleStore(folder / "samples.db") as store:
        for count in store.stats().traffic:
            traffic[count.route] += count.requests
        for sample in store.iter_samples():
            sightings[sample.route] += sample.complete_count
            incomplete += sample.incomplete_count
    return Outcome(
        clients=tally,
        large=large,
        traffic=traffic,
        sightings=sightings,
        incomplete=incomplete,
        requests=counters["datashunt.requests"],
        records=counters["datashunt.records"],
        status=status,
        seconds=seconds,
    )


def table(found: Outcome, clients: int) -> str:
    """Return the result in words."""
    tally, memory, large = found.clients, found.clients.memory, found.large
    p50, p99 = np.percentile(tally.latencies, [50, 99])
    settled = memory[int(WARM_UP * len(memory))]
    return f"""\
{clients} clients, {found.seconds:g} s, then SIGTERM: the process ended with status {found.status}
  answers: {_words(tally.routes)}; mixed up: {len(tally.wrong)}; lost: {_words(tally.lost)}
  sent after the signal and refused: {_words(tally.refused)}
  large side: {large["calls"]} calls, {large["answered"]} answered, {large["errors_sent"]} errors sent
  log: {_words(found.traffic)} requests, {_words(found.sightings)} records
  metrics: {_words(found.requests)} requests, {_words(found.records)} records
  {found.rate():.0f} requests/s, p50 {p50:.0f} ms, p99 {p99:.0f} ms
  server's memory: {memory[0]:.0f} MB after a second, {settled:.0f} MB after a third of the time, {memory[-1]:.0f} MB at
  the end; {100 * found.growth():+.1f} % by the line through the last two thirds"""


def _words(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{number} {what}" for what, number in sorted(counts.items())) or "none"
