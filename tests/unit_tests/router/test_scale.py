"""Ten thousand inputs: order kept, one small call, bounded LLM concurrency, flat memory."""

from __future__ import annotations

import gc
import tracemalloc
from typing import Any

from langchain_core.messages import AIMessage
from reviews import record, shunt

from langchain_datashunt.testing import RecordingChatModel, ScriptedSmallModel

N = 10_000
TEXTS = [f"text {i}" for i in range(N)]
EVERY = 40
HARD_TEXTS = TEXTS[::EVERY]


def small_model() -> ScriptedSmallModel:
    """Return a model that is unsure of every fortieth text, and else says whether its number is even."""

    def row(text: str) -> list[float]:
        number = int(text.split()[1])
        return [0.5, 0.5] if number % EVERY == 0 else [0.99, 0.01] if number % 2 == 0 else [0.01, 0.99]

    return ScriptedSmallModel(["even", "odd"], row)


def large_model() -> RecordingChatModel:
    return RecordingChatModel(answers=lambda messages: f"asked about {messages[-1].text.rsplit(maxsplit=2)[-1]}")


def check(messages: list[AIMessage]) -> None:
    assert len(messages) == N
    for i, message in enumerate(messages):
        expected = f"asked about {i}" if i % EVERY == 0 else "odd" if i % 2 else "even"
        assert message.content == expected
        assert record(message)["route"] == ("large" if i % EVERY == 0 else "small")


def test_ten_thousand_inputs_through_batch() -> None:
    small, llm = small_model(), large_model()
    check((shunt(small) | llm).batch(TEXTS, {"max_concurrency": 8}))
    assert small.batch_sizes == [N]
    assert len(llm.calls) == len(HARD_TEXTS)
    assert llm.peak_concurrency <= 8


async def test_ten_thousand_inputs_through_abatch() -> None:
    small, llm = small_model(), large_model()
    llm.delay = 0.001
    check(await (shunt(small) | llm).abatch(TEXTS, {"max_concurrency": 8}))
    assert small.batch_sizes == [N]
    assert len(llm.calls) == len(HARD_TEXTS)
    assert 1 < llm.peak_concurrency <= 8


def test_ten_thousand_inputs_through_batch_as_completed() -> None:
    small, llm = small_model(), large_model()
    found = list((shunt(small) | llm).batch_as_completed(TEXTS, {"max_concurrency": 8}))
    easy = N - len(HARD_TEXTS)
    assert all(i % EVERY for i, _ in found[:easy])
    check([message for _, message in sorted(found, key=lambda pair: pair[0])])
    assert small.batch_sizes == [N]


def test_ten_thousand_inputs_through_decide_batch_hold_two_arrays_and_no_object_per_item() -> None:
    chain = shunt(small_model()) | large_model()
    chain.decide_batch(TEXTS[:100])
    gc.collect()
    tracemalloc.start()
    decisions = chain.decide_batch(TEXTS)
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert decisions.accepted.sum() == N - len(HARD_TEXTS)
    assert held < 100 * N


def test_batches_leave_nothing_behind() -> None:
    chain = shunt(small_model()) | RecordingChatModel(answers=constant)

    def grown(times: int) -> int:
        gc.collect()
        before, _ = tracemalloc.get_traced_memory()
        for _ in range(times):
            chain.batch(TEXTS[1:300])
            chain.large.calls.clear()
        gc.collect()
        after, _ = tracemalloc.get_traced_memory()
        return after - before

    tracemalloc.start()
    grown(2)
    held = grown(4)
    tracemalloc.stop()
    assert held < 50_000, f"{held} bytes are held after four batches of 299"


def constant(messages: Any) -> str:
    return "answer"


def test_the_peak_of_a_batch_grows_with_the_batch_and_no_faster() -> None:
    def peak(n: int) -> int:
        chain = shunt(small_model()) | RecordingChatModel(answers=constant)
        chain.batch(TEXTS[1:10])
        gc.collect()
        tracemalloc.start()
        chain.batch(TEXTS[:n], {"max_concurrency": 4})
        _, highest = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return highest

    assert peak(2400) < 8 * 1.5 * peak(300)
