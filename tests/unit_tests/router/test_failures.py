"""When a model fails: fail expensive on the small side, raise or fall back on the large one, hide no control flow."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_core.runnables import RunnableLambda
from langgraph.errors import GraphBubbleUp, GraphInterrupt
from reviews import EASY, HARD, record, shunt, small_model

from langchain_datashunt import SmallModelError
from langchain_datashunt.testing import RecordingChatModel, ScriptedSmallModel


class Raising(ScriptedSmallModel):
    """Raises a given error on every call."""

    def __init__(self, error: BaseException) -> None:
        super().__init__(["positive", "negative"], {})
        self.error = error

    def predict_proba(self, inputs: Any, /) -> Any:
        super().predict_proba(inputs)
        raise self.error


def answering(rows: Any) -> ScriptedSmallModel:
    """Return a small model that gives `rows` whatever it is asked."""
    small = ScriptedSmallModel(["positive", "negative"], {})
    small.predict_proba = lambda _: rows
    return small


def test_if_the_small_model_raises_on_one_row_the_batch_is_tried_in_halves_and_only_that_one_is_deferred() -> None:
    small, llm = small_model(raise_on=["bad"]), RecordingChatModel(answers="from the llm")
    messages = (shunt(small) | llm).batch([EASY, "bad", EASY, EASY])
    assert small.batch_sizes == [4, 2, 1, 1, 2]
    assert len(llm.calls) == 1
    assert [message.content for message in messages] == ["positive", "from the llm", "positive", "positive"]
    assert [record(message)["route"] for message in messages] == ["small", "large_on_error", "small", "small"]


@given(st.lists(st.booleans(), min_size=1, max_size=40))
@settings(deadline=None)
def test_exactly_the_rows_that_fail_are_deferred_each_with_its_own_error(fails: list[bool]) -> None:
    texts = [f"{'bad' if each else EASY} {i}" for i, each in enumerate(fails)]
    bad = [text for text, each in zip(texts, fails, strict=True) if each]
    small = ScriptedSmallModel(["positive", "negative"], lambda _: [0.99, 0.01], raise_on=bad)
    decisions = (shunt(small) | RecordingChatModel()).decide_batch(texts)
    assert [i for i, each in enumerate(fails) if each] == sorted(decisions.errors)
    assert all(repr(texts[i]) in str(error) for i, error in decisions.errors.items())
    assert decisions.accepted.tolist() == [not each for each in fails]


def test_finding_one_bad_row_of_a_thousand_costs_few_calls() -> None:
    small = small_model(raise_on=["bad"])
    (shunt(small) | RecordingChatModel()).decide_batch([*[EASY] * 600, "bad", *[EASY] * 399])
    assert len(small.batch_sizes) == 21
    assert sum(small.batch_sizes) < 3100


def test_the_record_of_such_a_row_names_the_failure_and_no_prediction() -> None:
    found = record((shunt(small_model(raise_on=["bad"])) | RecordingChatModel()).invoke("bad"))
    assert (found["route"], found["reason"]) == ("large_on_error", "small_error")
    assert (found["label"], found["confidence"]) == (None, None)
    assert found["error"] == "ValueError: this small model was told to raise on 'bad'"


def test_a_single_input_on_which_the_small_model_raises_is_tried_once() -> None:
    small = small_model(raise_on=["bad"])
    (shunt(small) | RecordingChatModel()).invoke("bad")
    assert small.batch_sizes == [1]


def test_only_rows_with_nan_are_deferred_and_nothing_is_asked_twice() -> None:
    small, llm = small_model(nan_on=["bad"]), RecordingChatModel()
    messages = (shunt(small) | llm).batch([EASY, "bad", EASY])
    assert [record(message)["route"] for message in messages] == ["small", "large_on_error", "small"]
    assert small.batch_sizes == [3]
    assert "SmallModelError" in record(messages[1])["error"]


@pytest.mark.parametrize("row", [[0.9, 0.9], [1.5, -0.5], [float("inf"), 0.0], [0.2, 0.2]])
def test_a_row_that_is_no_distribution_is_never_accepted(row: list[float]) -> None:
    small = ScriptedSmallModel(["positive", "negative"], {"odd": row, "fine": [0.99, 0.01]})
    chain = shunt(small, threshold=0.0) | RecordingChatModel()
    messages = chain.batch(["fine", "odd"])
    assert [record(message)["route"] for message in messages] == ["small", "large_on_error"]
    assert chain.decide_batch(["fine", "odd"]).accepted.tolist() == [True, False]


def test_a_failed_row_does_not_change_the_decisions_about_the_others() -> None:
    texts = [EASY, HARD, "an awful day"]
    alone = (shunt() | RecordingChatModel()).decide_batch(texts)
    beside = (shunt(small_model(nan_on=["bad"])) | RecordingChatModel()).decide_batch([*texts, "bad"])
    assert np.array_equal(alone.probabilities, beside.probabilities[:3])
    assert alone.accepted.tolist() == beside.accepted[:3].tolist()
    assert not beside.accepted[3]
    assert np.isnan(beside.confidence[3])


def test_where_the_switch_says_small_and_the_small_model_failed_its_error_is_raised_and_no_llm_asked() -> None:
    llm = RecordingChatModel()
    config = {"configurable": {"datashunt_route": "small"}}
    with pytest.raises(ValueError, match="told to raise"):
        (shunt(small_model(raise_on=["bad"])) | llm).invoke("bad", config)
    assert llm.calls == []


def test_on_small_error_raise_raises_what_the_small_model_raised() -> None:
    small, llm = small_model(raise_on=["bad"]), RecordingChatModel()
    with pytest.raises(ValueError, match="told to raise on 'bad'"):
        (shunt(small, on_small_error="raise") | llm).batch([EASY, "bad"])
    assert llm.calls == []


def test_on_small_error_raise_raises_on_nan() -> None:
    with pytest.raises(SmallModelError, match="finite"):
        (shunt(small_model(nan_on=["bad"]), on_small_error="raise") | RecordingChatModel()).invoke("bad")


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ([[0.5, 0.3, 0.2]], r"\(1, 3\)"),
        ([0.5, 0.5], r"\(2,\)"),
        ([[0.5, 0.5], [0.5, 0.5]], r"\(2, 2\)"),
        ("positive", "positive"),
        (None, r"\(\)"),
    ],
    ids=["three columns", "one axis", "two rows", "a label", "none"],
)
@pytest.mark.parametrize("on_small_error", ["large", "raise"])
def test_an_answer_of_a_wrong_shape_is_a_programming_error_and_always_raises(
    rows: Any, says: str, on_small_error: str
) -> None:
    with pytest.raises(SmallModelError, match=says):
        (shunt(answering(rows), on_small_error=on_small_error) | RecordingChatModel()).invoke(EASY)


def test_the_large_models_error_propagates() -> None:
    with pytest.raises(ValueError, match="told to raise"):
        (shunt() | RecordingChatModel(raise_on=[HARD])).invoke(HARD)


async def test_the_large_models_error_propagates_in_async_code() -> None:
    with pytest.raises(ValueError, match="told to raise"):
        await (shunt() | RecordingChatModel(raise_on=[HARD])).ainvoke(HARD)


def test_on_large_error_small_answers_with_the_small_models_label_and_says_so() -> None:
    chain = shunt(on_large_error="small") | RecordingChatModel(raise_on=["broken"])
    message, decision = chain.invoke_with_decision(f"{HARD} broken")
    assert (message.content, decision.route, decision.reason) == ("positive", "small_on_error", "large_error")
    assert record(message)["error"].startswith("ValueError: this chat model was told to raise")
    assert record(message)["certified"] is False


async def test_on_large_error_small_answers_in_async_code() -> None:
    chain = shunt(on_large_error="small") | RecordingChatModel(raise_on=["broken"])
    message = await chain.ainvoke(f"{HARD} broken")
    assert record(message)["route"] == "small_on_error"


@pytest.mark.parametrize("return_exceptions", [False, True])
def test_on_large_error_small_replaces_only_the_failed_answers_of_a_batch(return_exceptions: bool) -> None:
    llm = RecordingChatModel(raise_on=["broken"], answers="from the llm")
    messages = (shunt(on_large_error="small") | llm).batch(
        [EASY, f"{HARD} broken", HARD], return_exceptions=return_exceptions
    )
    assert [message.content for message in messages] == ["positive", "positive", "from the llm"]
    assert [record(message)["route"] for message in messages] == ["small", "small_on_error", "large"]


async def test_on_large_error_small_replaces_only_the_failed_answers_of_an_async_batch() -> None:
    llm = RecordingChatModel(raise_on=["broken"], answers="from the llm")
    messages = await (shunt(on_large_error="small") | llm).abatch([EASY, f"{HARD} broken", HARD])
    assert [record(message)["route"] for message in messages] == ["small", "small_on_error", "large"]


def test_a_text_branch_falls_back_to_the_label() -> None:
    def fail(text: str) -> str:
        raise RuntimeError(text)

    assert (shunt(on_large_error="small") | RunnableLambda(fail)).invoke(HARD) == "positive"


def test_where_both_models_fail_the_large_ones_error_propagates() -> None:
    small, llm = small_model(nan_on=["broken"]), RecordingChatModel(raise_on=["broken"])
    with pytest.raises(ValueError, match=r"^this chat model was told"):
        (shunt(small, on_large_error="small") | llm).invoke("broken")


@pytest.mark.parametrize("option", ["on_small_error", "on_large_error"])
def test_another_value_of_an_error_option_raises_while_building_and_names_the_choices(option: str) -> None:
    with pytest.raises((TypeError, ValueError), match=r"'ignore'"):
        shunt(**{option: "ignore"}) | RecordingChatModel()


@pytest.mark.parametrize("control_flow", [GraphInterrupt, GraphBubbleUp])
@pytest.mark.parametrize("how", ["invoke", "ainvoke", "batch", "abatch", "stream", "astream"])
async def test_langgraphs_control_flow_passes_whatever_the_fallback_says(control_flow: Any, how: str) -> None:
    def interrupt(text: str) -> str:
        raise control_flow([])

    chain = shunt(on_large_error="small") | RunnableLambda(interrupt)
    with pytest.raises(control_flow):
        await _run(chain, how)


@pytest.mark.parametrize("how", ["invoke", "ainvoke", "batch", "abatch", "stream", "astream"])
async def test_langgraphs_control_flow_passes_through_the_small_model_too(how: str) -> None:
    chain = shunt(Raising(GraphInterrupt([]))) | RecordingChatModel()
    with pytest.raises(GraphInterrupt):
        await _run(chain, how)


async def _run(chain: Any, how: str) -> Any:
    if how in ("invoke", "stream"):
        return list(chain.stream(HARD)) if how == "stream" else chain.invoke(HARD)
    if how == "batch":
        return chain.batch([HARD, HARD])
    if how == "abatch":
        return await chain.abatch([HARD, HARD])
    return [chunk async for chunk in chain.astream(HARD)] if how == "astream" else await chain.ainvoke(HARD)


@pytest.mark.parametrize("how", ["invoke", "batch"])
async def test_ctrl_c_in_either_model_is_no_failure_to_recover_from(how: str) -> None:
    def interrupt(text: str) -> str:
        raise KeyboardInterrupt

    for chain in (
        shunt(Raising(KeyboardInterrupt())) | RecordingChatModel(),
        shunt(on_large_error="small") | RunnableLambda(interrupt),
    ):
        with pytest.raises(KeyboardInterrupt):
            await _run(chain, how)


def test_a_selector_that_raises_raises_before_any_model_runs() -> None:
    small, llm = small_model(), RecordingChatModel()
    with pytest.raises(KeyError, match="missing"):
        (shunt(small, input=lambda value: {}["missing"]) | llm).invoke(HARD)
    assert (small.calls, llm.calls) == (0, [])


def test_an_answer_function_that_raises_raises() -> None:
    chain = shunt(answer=lambda prediction: 1 / 0) | RunnableLambda(lambda text: {"label": text})
    with pytest.raises(ZeroDivisionError):
        chain.invoke(EASY)


def test_an_answer_function_that_raises_spoils_only_its_own_item() -> None:
    def answer(prediction: Any) -> dict[str, str]:
        if prediction.label == "negative":
            raise RuntimeError("no such answer")
        return {"label": prediction.label}

    chain = shunt(answer=answer) | RunnableLambda(lambda text: {"label": text})
    first, second = chain.batch([EASY, "an awful film"], return_exceptions=True)
    assert first == {"label": "positive"}
    assert isinstance(second, RuntimeError)


def test_a_selector_that_raises_spoils_only_its_own_item() -> None:
    chain = shunt(input=lambda value: value["text"]) | RunnableLambda(lambda _: "asked").with_types(output_type=str)
    outputs = chain.batch([{"text": EASY}, {}, {"text": HARD}], return_exceptions=True)
    assert [type(output) for output in outputs] == [str, KeyError, str]
