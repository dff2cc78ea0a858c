"""The async paths: same answers, one small call, the event loop stays free, cancellation passes."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from langchain_core.output_parsers import StrOutputParser
from langchain_core.runnables import RunnableLambda
from langchain_core.tracers.run_collector import RunCollectorCallbackHandler
from reviews import EASY, EASY_NEGATIVE, HARD, record, shunt, small_model

from langchain_datashunt.testing import KeywordSmallModel, RecordingChatModel


class RemoteSmallModel(KeywordSmallModel):
    """Offers `apredict_proba` and refuses the synchronous way."""

    def __init__(self, **options: Any) -> None:
        super().__init__({"positive": ["great"], "negative": ["awful"]}, version="remote", **options)

    def predict_proba(self, inputs: Sequence[Any], /) -> Any:
        raise AssertionError("async code must use apredict_proba")

    async def apredict_proba(self, inputs: Sequence[Any], /) -> Any:
        await asyncio.sleep(0)
        return super().predict_proba(inputs)


class SlowSmallModel(KeywordSmallModel):
    """Holds its thread for a while, and remembers which thread that was."""

    def __init__(self) -> None:
        super().__init__({"positive": ["great"], "negative": ["awful"]})
        self.threads: list[int] = []

    def predict_proba(self, inputs: Sequence[Any], /) -> Any:
        self.threads.append(threading.get_ident())
        time.sleep(0.1)
        return super().predict_proba(inputs)


class ArrayOfLists(RemoteSmallModel):
    async def apredict_proba(self, inputs: Sequence[Any], /) -> Any:
        return np.asarray(await super().apredict_proba(inputs)).tolist()


async def arrived(llm: RecordingChatModel, calls: int) -> None:
    while len(llm.calls) < calls:  # noqa: ASYNC110  the model under test has no event to wait for
        await asyncio.sleep(0.005)


async def test_ainvoke_answers_like_invoke() -> None:
    chain = shunt() | RecordingChatModel(answers="from the llm") | StrOutputParser()
    assert [await chain.ainvoke(text) for text in (EASY, HARD)] == ["positive", "from the llm"]


async def test_abatch_makes_one_small_call_and_keeps_order() -> None:
    small, llm = small_model(), RecordingChatModel(answers=lambda messages: messages[-1].text[-1])
    texts = [EASY, *[f"{HARD} {i}" for i in range(6)], EASY_NEGATIVE]
    outputs = await (shunt(small) | (RunnableLambda(str.strip) | llm)).abatch(texts)
    assert [output.content for output in outputs] == ["positive", "0", "1", "2", "3", "4", "5", "negative"]
    assert small.batch_sizes == [8]
    assert len(llm.calls) == 6


async def test_abatch_of_nothing_is_nothing() -> None:
    small = small_model()
    chain = shunt(small) | RecordingChatModel()
    assert await chain.abatch([]) == []
    assert await chain.abatch_with_decisions([]) == []
    assert small.calls == 0


async def test_abatch_runs_the_large_calls_at_the_same_time_but_no_more_than_allowed() -> None:
    llm = RecordingChatModel(delay=0.02)
    chain = shunt() | llm
    await chain.abatch([f"{HARD} {i}" for i in range(9)], {"max_concurrency": 4})
    assert 1 < llm.peak_concurrency <= 4
    free = RecordingChatModel(delay=0.02)
    await (shunt() | free).abatch([f"{HARD} {i}" for i in range(9)])
    assert free.peak_concurrency == 9


async def test_abatch_returns_errors_at_their_index() -> None:
    llm = RecordingChatModel(raise_on=["broken"], answers="fine")
    outputs = await (shunt() | llm).abatch([EASY, "broken", None, HARD], return_exceptions=True)
    assert [type(output).__name__ for output in outputs] == [
        "AIMessage",
        "ValueError",
        "InvalidInputError",
        "AIMessage",
    ]


async def test_abatch_raises_without_return_exceptions() -> None:
    with pytest.raises(ValueError, match="broken"):
        await (shunt() | RecordingChatModel(raise_on=["broken"])).abatch([EASY, "broken"])


@pytest.mark.parametrize("kind", [RemoteSmallModel, ArrayOfLists])
async def test_a_remote_small_model_is_asked_by_its_own_async_method(kind: Any) -> None:
    small = kind()
    chain = shunt(small) | RecordingChatModel(answers="from the llm") | StrOutputParser()
    assert await chain.ainvoke(EASY) == "positive"
    assert await chain.abatch([EASY, HARD]) == ["positive", "from the llm"]
    assert [chunk async for chunk in chain.astream(EASY)] == ["positive"]
    assert small.batch_sizes == [1, 2, 1]


async def test_a_remote_small_model_that_raises_on_one_row_is_asked_in_halves() -> None:
    small = RemoteSmallModel(raise_on=["bad"])
    messages = await (shunt(small) | RecordingChatModel()).abatch([EASY, "bad", EASY])
    assert [record(message)["route"] for message in messages] == ["small", "large_on_error", "small"]
    assert small.batch_sizes == [3, 1, 2, 1, 1]


async def test_a_synchronous_small_model_leaves_the_event_loop_free() -> None:
    small = SlowSmallModel()
    beats = 0

    async def heart() -> None:
        nonlocal beats
        while True:
            await asyncio.sleep(0.005)
            beats += 1

    beating = asyncio.create_task(heart())
    await (shunt(small) | RecordingChatModel()).abatch([EASY, HARD])
    beating.cancel()
    assert threading.get_ident() not in small.threads
    assert beats >= 5


async def test_many_concurrent_ainvokes_do_not_mix_their_decisions() -> None:
    chain = shunt() | RecordingChatModel(answers=lambda messages: messages[-1].text, delay=0.001)
    texts = [EASY if i % 3 else f"{HARD} {i}" for i in range(60)]
    pairs = await asyncio.gather(*(chain.ainvoke_with_decision(text) for text in texts))
    for text, (message, decision) in zip(texts, pairs, strict=True):
        assert decision.route == ("small" if text == EASY else "large")
        assert record(message) == decision.metadata()
        assert message.content == "positive" if text == EASY else text in message.content


async def test_abatch_as_completed_gives_the_easy_ones_first_from_one_small_call() -> None:
    small, llm = small_model(), RecordingChatModel(delay=0.01, answers="fine")
    found = [
        (i, output.content) async for i, output in (shunt(small) | llm).abatch_as_completed([HARD, EASY, HARD, EASY])
    ]
    assert found[:2] == [(1, "positive"), (3, "positive")]
    assert sorted(found[2:]) == [(0, "fine"), (2, "fine")]
    assert small.batch_sizes == [4]


async def test_abatch_as_completed_returns_errors_at_their_index() -> None:
    llm = RecordingChatModel(raise_on=["broken"])
    chain = shunt() | llm
    found = {i: output async for i, output in chain.abatch_as_completed(["broken", None, EASY], return_exceptions=True)}
    assert [type(found[i]).__name__ for i in range(3)] == ["ValueError", "InvalidInputError", "AIMessage"]


async def test_abatch_as_completed_of_nothing_is_nothing() -> None:
    assert [item async for item in (shunt() | RecordingChatModel()).abatch_as_completed([])] == []


async def test_cancelling_a_deferred_call_cancels_the_llm_and_ends_the_run() -> None:
    llm, collector = RecordingChatModel(delay=30), RunCollectorCallbackHandler()
    task = asyncio.create_task((shunt() | llm).ainvoke(HARD, {"callbacks": [collector]}))
    await arrived(llm, 1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert llm._running == 0
    (run,) = collector.traced_runs
    assert run.end_time is not None
    assert "Cancelled" in run.error


@pytest.mark.parametrize("fallback", ["raise", "small"])
async def test_cancelling_a_batch_is_no_failure_of_the_large_model(fallback: str) -> None:
    llm = RecordingChatModel(delay=30)
    chain = shunt(on_large_error=fallback) | llm
    task = asyncio.create_task(chain.abatch([EASY, HARD, HARD], return_exceptions=True))
    await arrived(llm, 2)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert llm._running == 0


async def test_cancelling_a_stream_stops_the_llm() -> None:
    llm = RecordingChatModel(answers="one two three", delay=0.01)
    stream = (shunt() | llm).astream(HARD)
    assert (await anext(stream)).content == "one"
    await stream.aclose()
    await asyncio.sleep(0.02)
    assert llm._running == 0


async def test_a_timeout_around_a_chain_works() -> None:
    with pytest.raises(TimeoutError):
        await asyncio.wait_for((shunt() | RecordingChatModel(delay=30)).ainvoke(HARD), timeout=0.05)
