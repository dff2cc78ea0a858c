"""What must not go in, each with a message worth reading; and what must."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
import pytest
from langchain_core.runnables import RunnableLambda
from reviews import EASY, HARD, record, shunt, small_model

from langchain_datashunt import (
    CompositionError,
    InvalidInputError,
    PolicyMismatchError,
    RunnableDataShunt,
    ShuntPolicy,
    SmallModelError,
    TopK,
)
from langchain_datashunt.testing import RecordingChatModel, ScriptedSmallModel


def text_of(value: object) -> str:
    return f"asked about {value}"


WAYS_IN: dict[str, Any] = {
    "invoke": lambda chain, value: chain.invoke(value),
    "batch": lambda chain, value: chain.batch([EASY, value]),
    "stream": lambda chain, value: list(chain.stream(value)),
    "batch_as_completed": lambda chain, value: list(chain.batch_as_completed([EASY, value])),
    "decide": lambda chain, value: chain.decide(value),
    "ainvoke": lambda chain, value: asyncio.run(chain.ainvoke(value)),
    "abatch": lambda chain, value: asyncio.run(chain.abatch([EASY, value])),
}


@pytest.mark.parametrize("value", [None, b"bytes", bytearray(b"bytes"), memoryview(b"bytes")])
@pytest.mark.parametrize("way", WAYS_IN.values(), ids=WAYS_IN)
def test_none_and_bytes_raise_before_any_model_runs(way: Any, value: Any) -> None:
    small, llm = small_model(), RecordingChatModel()
    with pytest.raises(InvalidInputError, match=type(value).__name__) as raised:
        way(shunt(small) | llm, value)
    assert "text" in str(raised.value)
    assert (small.calls, llm.calls) == (0, [])


@pytest.mark.parametrize(
    "way",
    [
        lambda chain: chain.batch("hello"),
        lambda chain: chain.decide_batch("hello"),
        lambda chain: asyncio.run(chain.abatch("hello")),
        lambda chain: list(chain.batch_as_completed("hello")),
    ],
)
def test_one_text_in_the_place_of_several_is_not_asked_letter_by_letter(way: Any) -> None:
    small, llm = small_model(), RecordingChatModel()
    with pytest.raises(InvalidInputError, match="a batch takes a list of inputs; got one input, str 'hello'"):
        way(shunt(small) | llm)
    assert (small.calls, llm.calls) == (0, [])


def test_a_misspelt_wish_of_a_request_is_refused() -> None:
    small, llm = small_model(), RecordingChatModel()
    with pytest.raises(InvalidInputError, match=r"\['datashunt_treshold'\].*'datashunt_threshold'"):
        (shunt(small) | llm).invoke(EASY, {"configurable": {"datashunt_treshold": 0.5, "thread_id": "1"}})
    assert (small.calls, llm.calls) == (0, [])


@pytest.mark.parametrize("value", [None, b"bytes"])
def test_a_selector_that_finds_none_or_bytes_raises_too(value: Any) -> None:
    small = small_model()
    with pytest.raises(InvalidInputError, match=type(value).__name__):
        (shunt(small, input="text") | RunnableLambda(text_of)).invoke({"text": value})
    assert small.calls == 0


@pytest.mark.parametrize("bound", [True, False])
@pytest.mark.parametrize(("option", "given"), [("prompt", "Classify {text}"), ("answer", {"positive": "good"})])
def test_options_of_a_wrong_type_are_refused_while_building(option: str, given: Any, bound: bool) -> None:
    large = {"large": RecordingChatModel()} if bound else {}
    with pytest.raises(CompositionError, match=rf"{option}= is a .*got {type(given).__name__}"):
        RunnableDataShunt(small_model(), threshold=0.9, **{option: given}, **large)


def test_empty_text_is_ordinary() -> None:
    llm = RecordingChatModel(answers="nothing to see")
    assert (shunt() | llm).invoke("").content == "nothing to see"
    assert len(llm.calls) == 1


def test_a_text_of_a_megabyte_is_ordinary() -> None:
    text = "a great film " * 80_000
    assert len(text) > 1_000_000
    assert (shunt() | RecordingChatModel()).invoke(text).content == "positive"


def test_an_error_about_a_megabyte_shows_only_its_beginning() -> None:
    with pytest.raises(InvalidInputError) as raised:
        (shunt() | RunnableLambda(text_of)).invoke(["x" * 1_000_000, 3])
    assert len(str(raised.value)) < 1000


@pytest.mark.parametrize("text", ["🙂 great", "\x00", "\ud800 great", "großartig", "a\u2028great"])
def test_any_unicode_text_is_ordinary(text: str) -> None:
    chain = shunt() | RunnableLambda(lambda _: "from the llm").with_types(output_type=str)
    assert chain.invoke(text) in {"positive", "from the llm"}


@pytest.mark.parametrize("threshold", [-0.1, 1.0001, float("nan"), float("inf"), "0.9", True, [0.9]])
def test_a_threshold_that_is_no_number_in_the_unit_interval_raises_and_names_what_came(threshold: Any) -> None:
    with pytest.raises((TypeError, ValueError), match=r"\[0, 1\]") as raised:
        shunt(threshold=threshold)
    assert str(threshold).strip("[]") in str(raised.value)


@pytest.mark.parametrize("threshold", [0, 1, np.float32(0.5), np.float64(0.5)])
def test_a_threshold_may_be_any_number_in_the_unit_interval(threshold: Any) -> None:
    assert (shunt(threshold=threshold) | RecordingChatModel()).decide(EASY).threshold == float(threshold)


@pytest.mark.parametrize("small", [None, "model.bin", object(), 3, {"classes_": ["a", "b"]}])
def test_something_that_is_no_small_model_raises_and_says_what_one_is(small: Any) -> None:
    with pytest.raises(TypeError, match="predict_proba") as raised:
        RunnableDataShunt(small, threshold=0.9)
    assert type(small).__name__ in str(raised.value)


def test_a_small_model_that_is_not_fitted_raises_and_says_so() -> None:
    class Unfitted:
        def predict_proba(self, inputs: Any) -> Any:
            return inputs

    with pytest.raises(SmallModelError, match="fit"):
        RunnableDataShunt(Unfitted(), threshold=0.9)


@pytest.mark.parametrize("classes", [[], ["only"], ["a", "a"], [1, "1"]])
def test_labels_that_cannot_be_told_apart_raise(classes: list[Any]) -> None:
    small = ScriptedSmallModel(["placeholder"], {})
    small.classes_ = classes
    with pytest.raises(SmallModelError, match="class"):
        shunt(small)


@pytest.mark.parametrize(
    "classes",
    [("positive", "negative", "neutral"), ("negative", "positive"), ("good", "bad"), ("positive", "Negative")],
)
def test_labels_that_differ_between_policy_and_model_raise_and_name_both(classes: tuple[str, ...]) -> None:
    policy = ShuntPolicy(classes=classes, threshold=0.9)
    with pytest.raises(PolicyMismatchError) as raised:
        RunnableDataShunt(small_model(), policy=policy)
    for label in {"positive", "negative"} ^ set(classes):
        assert repr(label) in str(raised.value)


def test_the_same_labels_in_another_order_raise() -> None:
    with pytest.raises(PolicyMismatchError, match="order"):
        RunnableDataShunt(small_model(), policy=ShuntPolicy(classes=("negative", "positive"), threshold=0.9))


@pytest.mark.parametrize("version", ["another", None])
def test_a_policy_of_another_small_model_raises_and_names_both(version: str | None) -> None:
    policy = ShuntPolicy(classes=("positive", "negative"), threshold=0.9, small_model_version="fitted for this one")
    with pytest.raises(PolicyMismatchError, match="fitted for this one"):
        RunnableDataShunt(small_model(version=version), policy=policy)


def test_a_path_is_no_policy() -> None:
    with pytest.raises(TypeError, match="policy"):
        RunnableDataShunt(small_model(), policy="policy.json")


@pytest.mark.parametrize("candidates", [3, "top", TopK])
def test_something_that_is_no_candidate_rule_raises(candidates: Any) -> None:
    with pytest.raises(CompositionError, match="TopK"):
        shunt(candidates=candidates) | RecordingChatModel()


def test_an_unknown_argument_raises_and_names_itself() -> None:
    with pytest.raises(TypeError, match="treshold"):
        RunnableDataShunt(small_model(), treshold=0.9)


def test_a_small_model_as_a_keyword_is_taken_and_no_small_model_raises() -> None:
    assert (RunnableDataShunt(small=small_model(), threshold=0.9) | RecordingChatModel()).invoke(EASY)
    with pytest.raises(TypeError, match="small"):
        RunnableDataShunt(threshold=0.9)


def test_errors_of_construction_come_before_the_large_model_is_bound() -> None:
    with pytest.raises(CompositionError, match="exactly one"):
        RunnableDataShunt(small_model())


@pytest.mark.parametrize("labels", [[0, 1], [np.int64(0), np.int64(1)], np.array([0, 1]), [False, True]])
def test_labels_that_are_no_strings_become_strings(labels: Any) -> None:
    small = ScriptedSmallModel(["placeholder", "other"], {}, default=[0.02, 0.98])
    small.classes_ = labels
    message = (shunt(small) | RecordingChatModel()).invoke("x")
    assert message.content == str(list(labels)[1])
    assert record(message)["label"] == message.content


def test_a_list_of_lists_of_messages_raises() -> None:
    with pytest.raises(InvalidInputError):
        (shunt() | RecordingChatModel()).invoke([[("human", HARD)]])
