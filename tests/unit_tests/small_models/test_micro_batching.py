"""Shared passes: same answers, few calls, each caller its own errors, nobody starves."""

from __future__ import annotations

import asyncio
import copy
import os
import pickle
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_core.load import dumps, loads
from langchain_core.runnables import RunnableLambda
from reviews import EASY, HARD, record, shunt, small_model

from langchain_datashunt import (
    FunctionClassifier,
    MicroBatched,
    OverloadedError,
    RunnableClassifier,
    SmallModelError,
    TransformersClassifier,
)
from langchain_datashunt.testing import RecordingChatModel, ScriptedSmallModel

CLASSES = ["low", "high"]
PATIENT = 10_000
"""Milliseconds: a pass then starts when it is full, however slow the machine is."""


def row(number: Any) -> list[float]:
    share = (number % 97) / 97
    return [1 - share, share]


class Gated(ScriptedSmallModel):
    """Waits in each pass until it is let go, so that a test decides who comes meanwhile."""

    def __init__(self, **options: Any) -> None:
        super().__init__(CLASSES, row, **options)
        self.began, self.go = threading.Event(), threading.Event()

    def predict_proba(self, inputs: Sequence[Any], /) -> Any:
        self.began.set()
        assert self.go.wait(10)
        return super().predict_proba(inputs)

    async def until_began(self) -> None:
        await asyncio.to_thread(self.began.wait, 10)


def numbers(**options: Any) -> ScriptedSmallModel:
    return ScriptedSmallModel(CLASSES, row, **options)


async def test_concurrent_calls_share_passes_and_each_gets_its_own_rows() -> None:
    small = numbers()
    batched = MicroBatched(small, max_batch_size=32, max_wait_ms=PATIENT)
    answers = await asyncio.gather(*[batched.apredict_proba([i]) for i in range(64)])
    assert [answer.tolist() for answer in answers] == [[row(i)] for i in range(64)]
    assert small.batch_sizes == [32, 32]


async def test_concurrent_ainvokes_of_a_chain_share_passes() -> None:
    small = small_model()
    chain = shunt(MicroBatched(small, max_batch_size=16, max_wait_ms=PATIENT)) | RecordingChatModel(
        answers="from the llm"
    )
    answers = await asyncio.gather(*[chain.ainvoke(text) for text in [EASY, HARD] * 8])
    assert [answer.content for answer in answers] == ["positive", "from the llm"] * 8
    assert small.batch_sizes == [16]


def test_threads_share_passes() -> None:
    small = numbers()
    batched = MicroBatched(small, max_batch_size=16, max_wait_ms=PATIENT)
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda i: batched.predict_proba([i]).tolist(), range(16)))
    assert answers == [[row(i)] for i in range(16)]
    assert small.batch_sizes == [16]


def test_several_event_loops_and_threads_share_one_instance() -> None:
    batched = MicroBatched(numbers())

    def in_a_loop(start: int) -> bool:
        async def ask() -> list[Any]:
            return await asyncio.gather(*[batched.apredict_proba([i]) for i in range(start, start + 50)])

        return [answer.tolist() for answer in asyncio.run(ask())] == [[row(i)] for i in range(start, start + 50)]

    def in_a_thread(start: int) -> bool:
        return all(batched.predict_proba([i]).tolist() == [row(i)] for i in range(start, start + 50))

    with ThreadPoolExecutor(8) as pool:
        futures = [pool.submit(way, 50 * i) for i, way in enumerate([in_a_loop, in_a_thread] * 4)]
        assert all(future.result(30) for future in futures)


@settings(deadline=None, max_examples=25)
@given(st.lists(st.lists(st.integers(0, 10_000), max_size=9), max_size=30), st.integers(2, 8))
def test_no_pass_is_longer_than_allowed_and_no_row_is_lost_or_mixed_up(requests: list[list[int]], most: int) -> None:
    small = numbers()
    batched = MicroBatched(small, max_batch_size=most, max_wait_ms=1)

    async def ask() -> list[Any]:
        return await asyncio.gather(*[batched.apredict_proba(request) for request in requests])

    assert [answer.tolist() for answer in asyncio.run(ask())] == [[row(i) for i in request] for request in requests]
    shared = [size for size in small.batch_sizes if size not in {0, *(len(r) for r in requests if len(r) >= most)}]
    assert max(shared, default=0) <= most


async def test_a_full_batch_calls_the_model_once_and_directly() -> None:
    small = numbers()
    batched = MicroBatched(small, max_batch_size=8, max_wait_ms=10_000)
    assert len(await batched.apredict_proba(list(range(1000)))) == 1000
    assert len(batched.predict_proba(list(range(8)))) == 8
    assert small.batch_sizes == [1000, 8]


async def test_an_input_waits_no_longer_than_allowed_for_company() -> None:
    batched = MicroBatched(numbers(), max_wait_ms=100)
    start = time.perf_counter()
    await batched.apredict_proba([1])
    assert 0.09 <= time.perf_counter() - start < 2


async def test_nobody_is_overtaken_by_more_than_a_pass() -> None:
    small = Gated()
    batched = MicroBatched(small, max_batch_size=4, max_wait_ms=0)
    order: list[int] = []

    async def ask(request: list[int]) -> None:
        await batched.apredict_proba(request)
        order.append(request[0])

    first = asyncio.create_task(ask([0]))
    await small.until_began()
    requests = [[10, 11, 12], [20, 21, 22], [30], [40, 41], [50]]
    rest = [asyncio.create_task(ask(request)) for request in requests]
    await asyncio.sleep(0.05)
    small.go.set()
    await asyncio.gather(first, *rest)
    assert order == [0, 10, 20, 30, 40, 50]
    assert small.batch_sizes == [1, 3, 4, 3]


async def test_only_the_request_that_the_model_fails_on_gets_the_error() -> None:
    small = numbers(raise_on=[13])
    batched = MicroBatched(small, max_batch_size=32, max_wait_ms=PATIENT)
    answers = await asyncio.gather(*[batched.apredict_proba([i]) for i in range(32)], return_exceptions=True)
    failed = [i for i, answer in enumerate(answers) if isinstance(answer, BaseException)]
    assert failed == [13]
    assert isinstance(answers[13], ValueError)
    assert small.calls == 11  # once together, then two calls at each of five halvings


async def test_a_chain_defers_only_the_input_that_the_model_fails_on() -> None:
    small = small_model(raise_on=["great, but broken"])
    chain = shunt(MicroBatched(small, max_batch_size=3, max_wait_ms=PATIENT)) | RecordingChatModel()
    answers = await asyncio.gather(*[chain.ainvoke(text) for text in [EASY, "great, but broken", EASY]])
    assert [record(answer)["route"] for answer in answers] == ["small", "large_on_error", "small"]


@pytest.mark.parametrize("n", [1, 4])
async def test_a_model_that_raises_stop_iteration_lets_nobody_wait_for_ever(n: int) -> None:
    def exhausted(_: Any) -> Any:
        return next(iter(()))

    small = MicroBatched(FunctionClassifier(exhausted, classes=CLASSES, version="1"), max_batch_size=4)
    with pytest.raises(RuntimeError, match="StopIteration"):
        await asyncio.wait_for(small.apredict_proba(list(range(n))), timeout=5)


async def test_a_row_of_nan_stays_with_its_input() -> None:
    small = small_model(nan_on=["great nan"])
    chain = shunt(MicroBatched(small, max_batch_size=3, max_wait_ms=PATIENT)) | RecordingChatModel()
    answers = await asyncio.gather(*[chain.ainvoke(text) for text in [EASY, "great nan", EASY]])
    assert [record(answer)["route"] for answer in answers] == ["small", "large_on_error", "small"]


async def test_a_model_that_loses_rows_is_an_error_and_no_mix_up() -> None:
    small = numbers()
    small.predict_proba = lambda inputs: [[0.5, 0.5]] * (len(inputs) + 1)  # type: ignore[method-assign]
    with pytest.raises(SmallModelError, match=r"1 inputs need 1 probability rows.*\(2, 2\)"):
        await MicroBatched(small).apredict_proba([1])


async def test_a_cancelled_request_is_not_computed_and_disturbs_nobody() -> None:
    small = Gated()
    batched = MicroBatched(small, max_wait_ms=0)
    first = asyncio.create_task(batched.apredict_proba([0]))
    await small.until_began()
    waiting = [asyncio.create_task(batched.apredict_proba([i])) for i in range(1, 6)]
    await asyncio.sleep(0.02)
    waiting[2].cancel()
    first.cancel()  # its pass runs already: it ends unheard
    await asyncio.sleep(0.02)
    small.go.set()
    rest = await asyncio.gather(first, *waiting, return_exceptions=True)
    cancelled = [i for i, answer in enumerate(rest) if isinstance(answer, asyncio.CancelledError)]
    assert cancelled == [0, 3]
    assert [answer.tolist() for i, answer in enumerate(rest) if i not in cancelled] == [[row(i)] for i in (1, 2, 4, 5)]
    assert small.batch_sizes == [1, 4]


async def test_a_loop_that_closes_while_its_requests_wait_disturbs_nobody() -> None:
    small = Gated()
    batched = MicroBatched(small, max_wait_ms=0)

    async def give_up() -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(batched.apredict_proba([1]), 0.05)

    await asyncio.to_thread(lambda: asyncio.run(give_up()))
    waiting = asyncio.create_task(batched.apredict_proba([2]))
    await asyncio.sleep(0.02)
    small.go.set()
    assert (await waiting).tolist() == [row(2)]


async def test_more_than_may_wait_is_refused_and_never_sent_to_the_large_model() -> None:
    small, llm = Gated(), RecordingChatModel()
    chain = shunt(MicroBatched(small, max_wait_ms=0, max_waiting=3), input=len, threshold=1.0) | llm
    first = asyncio.create_task(chain.ainvoke("x"))
    await small.until_began()
    waiting = [asyncio.create_task(chain.ainvoke("x" * i)) for i in range(2, 5)]
    await asyncio.sleep(0.05)
    with pytest.raises(OverloadedError, match="3 inputs wait for the small model, and max_waiting=3"):
        await chain.ainvoke("x")
    with pytest.raises(OverloadedError):
        await asyncio.to_thread(chain.invoke, "x")
    assert llm.calls == []
    small.go.set()
    await asyncio.gather(first, *waiting)
    assert len(llm.calls) == 4


def test_an_idle_instance_holds_no_thread() -> None:
    batched = MicroBatched(numbers())
    batched.predict_proba([1])
    deadline = time.monotonic() + 5
    while any(thread.name == "datashunt-micro-batching" for thread in threading.enumerate()):
        assert time.monotonic() < deadline
        time.sleep(0.005)
    assert batched.predict_proba([2]).tolist() == [row(2)]


def test_it_has_the_identity_of_the_model_inside() -> None:
    small = numbers(version="numbers-1")
    batched = MicroBatched(small)
    assert (batched.version, list(batched.classes_), batched.probabilities_known) == ("numbers-1", CLASSES, True)
    assert MicroBatched(numbers(version=None)).version is None


@pytest.mark.parametrize("copied", [lambda it: pickle.loads(pickle.dumps(it)), copy.deepcopy], ids=["pickle", "copy"])
def test_it_survives_pickling_and_deepcopy(copied: Any) -> None:
    batched = MicroBatched(small_model(), max_batch_size=7)
    batched.predict_proba([EASY])
    again = copied(batched)
    assert (again.max_batch_size, again.predict_proba([EASY]).tolist()) == (7, [[0.98, pytest.approx(0.02)]])
    assert again.small is not batched.small
    assert again.small.batch_sizes == [1, 1]  # the copy asks its own model


@pytest.mark.filterwarnings("ignore:The function `loads` is in beta")
def test_it_survives_dumps_and_loads_with_a_model_that_does(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"id2label": {"0": "negative", "1": "positive"}}')
    text = dumps(MicroBatched(TransformersClassifier(tmp_path), max_batch_size=9))
    again = loads(
        text, allowed_objects=[MicroBatched, TransformersClassifier], valid_namespaces=["langchain_datashunt"]
    )
    assert (again.max_batch_size, again.classes_) == (9, ("negative", "positive"))


@pytest.mark.filterwarnings("ignore:.*use of fork.*:DeprecationWarning")
def test_it_works_in_a_forked_process() -> None:
    batched = MicroBatched(numbers())
    batched.predict_proba([1])
    child = os.fork()
    if child == 0:
        os._exit(0 if np.allclose(batched.predict_proba([3]), [row(3)]) else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@pytest.mark.parametrize(
    ("settings", "problem"),
    [({"max_batch_size": 1}, "max_batch_size"), ({"max_wait_ms": -1}, "max_wait_ms"), ({"size": 3}, "size")],
)
def test_a_malformed_setting_is_an_error(settings: dict[str, Any], problem: str) -> None:
    with pytest.raises(SmallModelError, match=problem):
        MicroBatched(numbers(), **settings)


def test_what_batches_its_own_calls_is_refused() -> None:
    remote = RunnableClassifier(RunnableLambda(lambda _: {"low": 1.0}), classes=CLASSES, version="1")
    for inside in (remote, MicroBatched(numbers())):
        with pytest.raises(SmallModelError, match="batches its own calls"):
            MicroBatched(inside)
