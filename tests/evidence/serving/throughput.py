"""Requests a second with and without micro-batching, and latencies, at 64 concurrent callers; the ways take turns.

Beside both stands what could be had at best: the same texts in passes of 64, without callers, chain or queue.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from banking_chain import asked_rows, small_model

from langchain_datashunt import MicroBatched, RunnableDataShunt
from langchain_datashunt.testing import RecordingChatModel

CALLERS, EACH, ROUNDS = 64, 4, 6
WITHOUT, WITH, PASSES = "no micro-batching", "micro-batching", "passes of 64 alone"


@dataclass(frozen=True)
class Round:
    """One way's run.

    Attributes:
        rate: Requests a second.
        latencies: Milliseconds of each request.
    """

    rate: float
    latencies: Any


async def one_round(chain: Any, texts: Sequence[str]) -> Round:
    """Let the callers ask, each one thing after another."""
    latencies: list[float] = []
    waiting = iter(texts)

    async def caller() -> None:
        for text in waiting:
            start = time.perf_counter()
            await chain.ainvoke(text)
            latencies.append((time.perf_counter() - start) * 1000)

    start = time.perf_counter()
    await asyncio.gather(*[caller() for _ in range(CALLERS)])
    return Round(len(latencies) / (time.perf_counter() - start), latencies)


def passes(small: Any, texts: Sequence[str]) -> Round:
    """Classify the texts in passes of as many as there are callers."""
    start = time.perf_counter()
    for first in range(0, len(texts), CALLERS):
        small.predict_proba(texts[first : first + CALLERS])
    return Round(len(texts) / (time.perf_counter() - start), [])


def measure() -> dict[str, list[Round]]:
    """Return the rounds of each way, which took turns."""
    small = small_model()
    texts = [row["text"] for row in asked_rows()][: CALLERS * EACH]
    plain = RunnableDataShunt(small, threshold=0.0) | RecordingChatModel()  # every input is accepted
    batched = RunnableDataShunt(MicroBatched(small), threshold=0.0) | RecordingChatModel()
    ways: dict[str, Callable[[], Round]] = {
        WITHOUT: lambda: asyncio.run(one_round(plain, texts)),
        WITH: lambda: asyncio.run(one_round(batched, texts)),
        PASSES: lambda: passes(small, texts),
    }
    rounds: dict[str, list[Round]] = {name: [] for name in ways}
    for number in range(ROUNDS + 1):
        for name, run in reversed(ways.items()) if number % 2 else ways.items():
            done = run()
            if number:  # the first warms up
                rounds[name].append(done)
    return rounds


def table(rounds: Mapping[str, Sequence[Round]]) -> str:
    """Return the result in words."""
    lines = [f"{CALLERS} callers, {CALLERS * EACH} requests a round, {ROUNDS} rounds of each"]
    for name, found in rounds.items():
        lines.append(f"{name:>24}  {np.median([each.rate for each in found]):7.1f} requests/s")
        if name != PASSES:
            p50, p99 = np.percentile(np.concatenate([each.latencies for each in found]), [50, 99])
            lines[-1] += f"   p50 {p50:6.0f} ms   p99 {p99:6.0f} ms"
    for name in (WITH, PASSES):
        ratios = ratios_of(rounds, name)
        lines.append(
            f"{name} : {WITHOUT}, median {np.median(ratios):.1f}, of rounds {min(ratios):.1f} to {max(ratios):.1f}"
        )
    return "\n".join(lines)


def ratios_of(rounds: Mapping[str, Sequence[Round]], name: str) -> list[float]:
    """Return how many times as many requests a second one way answers as no micro-batching does, by round."""
    return [way.rate / plain.rate for way, plain in zip(rounds[name], rounds[WITHOUT], strict=True)]


if __name__ == "__main__":
    print(table(measure()))
