"""Requests a second with and without micro-batching, and latencies, at 64 concurrent callers; the two take turns."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from banking_chain import asked_rows, small_model

from langchain_datashunt import MicroBatched, RunnableDataShunt
from langchain_datashunt.testing import RecordingChatModel

CALLERS, EACH, ROUNDS = 64, 6, 5


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


def measure() -> list[tuple[Round, Round]]:
    """Return the rounds without and with micro-batching, in pairs."""
    small = small_model()
    texts = [row["text"] for row in asked_rows()][: CALLERS * EACH]
    plain = RunnableDataShunt(small, threshold=0.0) | RecordingChatModel()  # every input is accepted
    batched = RunnableDataShunt(MicroBatched(small), threshold=0.0) | RecordingChatModel()
    pairs: list[tuple[Round, Round]] = []
    for number in range(ROUNDS + 1):
        order = (plain, batched) if number % 2 else (batched, plain)
        rounds = {id(chain): asyncio.run(one_round(chain, texts)) for chain in order}
        if number:  # the first warms up
            pairs.append((rounds[id(plain)], rounds[id(batched)]))
    return pairs


def table(pairs: Sequence[tuple[Round, Round]]) -> str:
    """Return the result in words."""
    lines = [f"{CALLERS} callers, {CALLERS * EACH} requests a round, {len(pairs)} pairs of rounds"]
    for name, rounds in zip(("without", "with"), zip(*pairs, strict=True), strict=True):
        p50, p99 = np.percentile(np.concatenate([each.latencies for each in rounds]), [50, 99])
        rate = np.median([each.rate for each in rounds])
        lines.append(f"{name:>8} micro-batching  {rate:7.1f} requests/s   p50 {p50:7.0f} ms   p99 {p99:7.0f} ms")
    ratios = ratios_of(pairs)
    lines.append(
        f"ratio of rates: median {np.median(ratios):.1f}, of single rounds {min(ratios):.1f} to {max(ratios):.1f}"
    )
    return "\n".join(lines)


def ratios_of(pairs: Sequence[tuple[Round, Round]]) -> list[float]:
    """Return how many times as many requests a second micro-batching answers, by pair."""
    return [batched.rate / plain.rate for plain, batched in pairs]


if __name__ == "__main__":
    print(table(measure()))
