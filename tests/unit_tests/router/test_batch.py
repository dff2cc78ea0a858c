"""batch and batch_as_completed: one small call, one large batch of the deferred ones only, order and errors kept."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.output_parsers import StrOutputParser
from langchain_core.runnables import RunnableConfig, RunnableLambda
from pydantic import PrivateAttr
from reviews import EASY, EASY_NEGATIVE, HARD, record, shunt, small_model

from langchain_datashunt.testing import RecordingChatModel


class BatchingChatModel(RecordingChatModel):
    """Keeps the size and the arguments of each `batch`."""

    _batches: list[tuple[int, dict[str, Any]]] = PrivateAttr(default_factory=list)

    def batch(self, inputs: Any, config: Any = None, *, return_exceptions: bool = False, **kwargs: Any) -> Any:
        self._batches.append((len(inputs), kwargs))
        return super().batch(inputs, config, return_exceptions=return_exceptions, **kwargs)


def texts(n_hard: int) -> list[str]:
    return [EASY, *[f"{HARD} {i}" for i in range(n_hard)], EASY_NEGATIVE]


def test_a_batch_makes_one_small_call_and_one_large_batch_of_the_deferred_inputs() -> None:
    small, llm = small_model(), BatchingChatModel(answers=lambda messages: messages[-1].text[-1])
    outputs = (shunt(small) | (RunnableLambda(str.strip) | llm)).batch(texts(6))
    assert small.batch_sizes == [8]
    assert llm._batches == [(6, {})]
    assert [output.content for output in outputs] == ["positive", "0", "1", "2", "3", "4", "5", "negative"]


def test_a_batch_without_deferred_inputs_makes_no_large_batch() -> None:
    llm = BatchingChatModel()
    (shunt() | llm).batch([EASY] * 8)
    assert llm._batches == []


def test_a_batch_of_nothing_is_nothing_and_calls_no_model() -> None:
    small, llm = small_model(), BatchingChatModel()
    chain = shunt(small) | llm
    assert chain.batch([]) == []
    assert chain.batch_with_decisions([]) == []
    assert (small.calls, llm._batches) == (0, [])


def test_a_batch_of_one_equals_an_invoke() -> None:
    chain = shunt() | RecordingChatModel() | StrOutputParser()
    for text in (EASY, HARD):
        assert chain.batch([text]) == [chain.invoke(text)]


def test_equal_inputs_are_each_answered() -> None:
    llm = RecordingChatModel()
    assert len((shunt() | llm).batch([HARD, HARD, HARD])) == 3
    assert len(llm.calls) == 3


def test_other_arguments_go_to_the_large_branch_only() -> None:
    llm = BatchingChatModel()
    (shunt() | llm).batch([EASY, HARD], stop=["."], temperature=0.5)
    assert llm._batches == [(1, {"stop": ["."], "temperature": 0.5})]
    (shunt() | llm).invoke(HARD, stop=["!"])
    assert llm.calls[-1].kwargs == {"stop": ["!"]}


def test_each_input_keeps_its_own_config() -> None:
    llm = RecordingChatModel()
    configs: list[RunnableConfig] = [{"metadata": {"n": i}, "tags": [f"t{i}"]} for i in range(4)]
    (shunt() | llm).batch([f"{HARD} {i}" for i in range(4)], configs)
    found = {call.text.rsplit(HARD)[-1].split()[0]: call.config for call in llm.calls}
    for i in range(4):
        assert found[str(i)]["metadata"]["n"] == i
        assert f"t{i}" in found[str(i)]["tags"]


def test_too_few_configs_raise() -> None:
    with pytest.raises(ValueError, match="config"):
        (shunt() | RecordingChatModel()).batch([EASY, HARD], [{}])


def test_max_concurrency_bounds_the_large_calls() -> None:
    llm = RecordingChatModel(delay=0.01)
    (shunt() | llm).batch([f"{HARD} {i}" for i in range(12)], {"max_concurrency": 3})
    assert 1 < llm.peak_concurrency <= 3


def test_max_concurrency_of_one_is_sequential() -> None:
    llm = RecordingChatModel(delay=0.002)
    (shunt() | llm).batch([f"{HARD} {i}" for i in range(5)], {"max_concurrency": 1})
    assert llm.peak_concurrency == 1


def test_an_error_of_one_input_is_returned_at_its_index() -> None:
    llm = RecordingChatModel(raise_on=["broken"], answers="fine")
    outputs = (shunt() | llm).batch([EASY, f"{HARD} broken", f"{HARD} 2", EASY], return_exceptions=True)
    assert isinstance(outputs[1], ValueError)
    assert "broken" in str(outputs[1])
    assert [outputs[i].content for i in (0, 2, 3)] == ["positive", "fine", "positive"]


def test_without_return_exceptions_the_first_error_is_raised() -> None:
    llm = RecordingChatModel(raise_on=["broken"])
    with pytest.raises(ValueError, match="broken 1"):
        (shunt() | RecordingChatModel(raise_on=["broken 1", "broken 2"])).batch([EASY, f"{HARD} broken 1", "broken 2"])
    with pytest.raises(ValueError, match="broken"):
        (shunt() | llm).batch([EASY, f"{HARD} broken"])


def test_an_unsupported_input_is_returned_at_its_index_and_the_others_are_answered() -> None:
    small = small_model()
    outputs = (shunt(small) | RecordingChatModel(answers="fine")).batch(
        [EASY, None, HARD, b"bytes", EASY], return_exceptions=True
    )
    assert [type(outputs[i]).__name__ for i in (1, 3)] == ["InvalidInputError", "InvalidInputError"]
    assert [outputs[i].content for i in (0, 2, 4)] == ["positive", "fine", "positive"]
    assert small.batch_sizes == [3]


def test_an_unsupported_input_raises_before_any_model_runs() -> None:
    small, llm = small_model(), RecordingChatModel()
    with pytest.raises(TypeError, match="None"):
        (shunt(small) | llm).batch([EASY, HARD, None])
    assert (small.calls, llm.calls) == (0, [])


def test_batch_with_decisions_returns_errors_at_their_index_with_the_decision_if_there_was_one() -> None:
    llm = RecordingChatModel(raise_on=["broken"])
    pairs = (shunt() | llm).batch_with_decisions([EASY, "broken", None], return_exceptions=True)
    assert [type(output).__name__ for output, _ in pairs] == ["AIMessage", "ValueError", "InvalidInputError"]
    assert [decision and decision.route for _, decision in pairs] == ["small", "large", None]


def test_batch_as_completed_gives_the_easy_ones_first() -> None:
    small, llm = small_model(), RecordingChatModel(delay=0.01, answers="fine")
    chain = shunt(small) | llm
    inputs = [f"{HARD} 0", EASY, f"{HARD} 2", EASY_NEGATIVE, EASY]
    found = [(i, output.content) for i, output in chain.batch_as_completed(inputs)]
    assert found[:3] == [(1, "positive"), (3, "negative"), (4, "positive")]
    assert sorted(found[3:]) == [(0, "fine"), (2, "fine")]
    assert small.batch_sizes == [5]


def test_batch_as_completed_yields_easy_answers_before_the_llm_was_asked() -> None:
    llm = RecordingChatModel()
    results = (shunt() | llm).batch_as_completed([HARD, EASY])
    assert next(results)[0] == 1
    assert llm.calls == []
    assert next(results)[0] == 0


def test_batch_as_completed_returns_errors_at_their_index() -> None:
    llm = RecordingChatModel(raise_on=["broken"])
    found = dict((shunt() | llm).batch_as_completed([EASY, "broken", None], return_exceptions=True))
    assert found[0].content == "positive"
    assert (type(found[1]), type(found[2]).__name__) == (ValueError, "InvalidInputError")


def test_batch_as_completed_raises_without_return_exceptions() -> None:
    with pytest.raises(ValueError, match="broken"):
        list((shunt() | RecordingChatModel(raise_on=["broken"])).batch_as_completed(["broken", EASY]))


def test_batch_as_completed_of_nothing_is_nothing() -> None:
    assert list((shunt() | RecordingChatModel()).batch_as_completed([])) == []


def test_batch_as_completed_bounds_the_large_calls() -> None:
    llm = RecordingChatModel(delay=0.01)
    list((shunt() | llm).batch_as_completed([f"{HARD} {i}" for i in range(8)], {"max_concurrency": 2}))
    assert llm.peak_concurrency <= 2


def test_three_tiers_make_one_call_a_tier() -> None:
    first, second = small_model(), small_model(version="second")
    llm = BatchingChatModel()
    (shunt(first) | (shunt(second) | llm)).batch(texts(4))
    assert (first.batch_sizes, second.batch_sizes) == ([6], [4])
    assert [n for n, _ in llm._batches] == [4]


def test_a_batch_inside_a_sequence_is_still_one_small_call() -> None:
    small = small_model()
    chain = RunnableLambda(str.strip) | (shunt(small) | RecordingChatModel()) | StrOutputParser()
    chain.batch(texts(4))
    assert small.batch_sizes == [6]


def test_the_records_of_a_batch_belong_to_their_inputs() -> None:
    messages = (shunt() | RecordingChatModel()).batch([EASY, HARD, EASY_NEGATIVE])
    assert [record(message)["label"] for message in messages] == ["positive", "positive", "negative"]
    assert [record(message)["route"] for message in messages] == ["small", "large", "small"]
