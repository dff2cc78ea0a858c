from __future__ import annotations

import json
from enum import Enum
from typing import Any

import numpy as np
import pytest
from hard_samples import EASY, HARD, LABELS, Config, model, only, parser, shunt
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.runnables import RunnableLambda
from pydantic import BaseModel

from langchain_datashunt import HardSampleStore
from langchain_datashunt.callbacks.outcomes import class_named_by
from langchain_datashunt.routing.plain_json import plain, refuse
from langchain_datashunt.testing import KeywordSmallModel


class Mood(Enum):
    GOOD = "positive"


class Review(BaseModel):
    """A reviewed text."""

    label: str
    why: str = ""


@pytest.mark.parametrize(
    ("value", "label"),
    [
        ("negative", "negative"),
        ("The answer: **Negative**.", "negative"),
        ("positive or negative", None),
        ({"label": "negative", "why": "it broke"}, "negative"),
        ({"label": "negative", "other": "positive"}, None),
        ({"why": "it broke"}, None),
        (["negative"], None),
        (None, None),
    ],
)
def test_a_reply_names_one_class_or_none(value: Any, label: str | None) -> None:
    assert class_named_by(value, tuple(LABELS)) == label


@pytest.mark.parametrize(("value", "label"), [(1, "1"), ({"n": 0}, "0"), (True, "True"), (3, None), ("1", "1")])
def test_numbers_and_truth_values_name_the_classes_that_are_spelt_like_them(value: Any, label: str | None) -> None:
    assert class_named_by(value, ("0", "1", "True")) == label


def test_classes_that_differ_in_case_only_are_named_exactly_or_not_at_all() -> None:
    assert class_named_by("yes", ("yes", "Yes")) == "yes"
    assert class_named_by("YES", ("yes", "Yes")) is None


def test_a_structured_output_is_read_and_kept(store: HardSampleStore, config: Config, small: KeywordSmallModel) -> None:
    def call(_: Any) -> AIMessage:
        arguments = {"label": "negative", "why": "it broke"}
        return AIMessage("", tool_calls=[{"name": "Review", "args": arguments, "id": "1"}])

    large = model(call).with_structured_output(Review)
    chain = shunt(small, large, answer=lambda prediction: Review(label=prediction.label))
    assert chain.invoke(HARD, config) == Review(label="negative", why="it broke")
    assert chain.invoke(EASY, config) == Review(label="positive")
    sample = only(store)
    assert sample.parsed == {"label": "negative", "why": "it broke"}
    assert (sample.label, sample.trainable) == ("negative", True)
    assert sample.raw is not None
    assert json.loads(sample.raw)[0]["args"]["label"] == "negative"


def test_of_parsers_in_a_row_the_last_counts(store: HardSampleStore, config: Config, small: KeywordSmallModel) -> None:
    (shunt(small, model("it is negative")) | StrOutputParser() | parser()).invoke(HARD, config)
    assert (only(store).parsed, only(store).label) == ("negative", "negative")


def test_a_parser_of_a_second_stage_is_not_taken_for_the_first_ones(
    store: HardSampleStore, config: Config, small: KeywordSmallModel
) -> None:
    second = RunnableLambda(lambda label: f"explain {label}") | model("positive")
    (shunt(small, model("negative")) | parser() | second | parser()).invoke(HARD, config)
    assert only(store).label == "negative"


def test_a_class_outside_the_candidates_is_no_label(store: HardSampleStore, config: Config) -> None:
    from langchain_datashunt import TopK
    from langchain_datashunt.testing import ScriptedSmallModel

    three = ScriptedSmallModel(["a1", "b2", "c3"], {HARD: [0.5, 0.4, 0.1]})
    shunt(three, model("c3"), candidates=TopK(2)).invoke(HARD, config)
    sample = only(store)
    assert (sample.candidates, sample.label) == (("a1", "b2"), None)
    assert sample.problem is not None
    assert "not among the candidates" in sample.problem


def test_an_interrupted_graph_leaves_an_incomplete_record_that_the_resumed_one_completes(
    store: HardSampleStore, config: Config, small: KeywordSmallModel
) -> None:
    from langgraph.checkpoint.memory import InMemorySaver
    from langgraph.graph import END, START, StateGraph
    from langgraph.types import Command, interrupt

    def person(_: Any) -> str:
        return str(interrupt("which is it?"))

    classify = shunt(small, RunnableLambda(person).with_types(output_type=str))
    graph = StateGraph(dict)
    graph.add_node("triage", RunnableLambda(lambda state: state["text"]) | classify | (lambda label: {"label": label}))
    graph.add_edge(START, "triage")
    graph.add_edge("triage", END)
    compiled = graph.compile(checkpointer=InMemorySaver())
    asked: Any = {**config, "configurable": {"thread_id": "1"}}
    compiled.invoke({"text": HARD}, asked)
    assert not only(store).complete
    compiled.invoke(Command(resume="negative"), asked)
    complete = [kept for kept in store.iter_samples() if kept.complete]
    assert [(kept.label, kept.teacher_kind) for kept in complete] == [("negative", "other")]


def test_an_input_without_a_form_in_json_is_kept_as_its_repr_and_trains_nothing(
    store: HardSampleStore, config: Config
) -> None:
    from langchain_datashunt.testing import ScriptedSmallModel

    class Picture:
        def __repr__(self) -> str:
            return "a picture"

    unsure = ScriptedSmallModel(LABELS, lambda _: [0.5, 0.5])
    large = RunnableLambda(lambda _: "negative").with_types(output_type=str)
    shunt(unsure, large, input=lambda value: value).invoke(Picture(), config)
    sample = only(store)
    assert (sample.input, sample.label) == ("a picture", None)
    assert sample.problem == "the input has no form in JSON"


@pytest.mark.parametrize(
    ("value", "json_value"),
    [
        (np.float32(0.5), 0.5),
        (np.array([[1, 2]]), [[1, 2]]),
        (float("nan"), "nan"),
        ({"a": (1, {2})}, {"a": [1, [2]]}),
        ({1: None}, {"1": None}),
        (HumanMessage("hi"), {"type": "human", "content": "hi"}),
        (Review(label="x"), {"label": "x", "why": ""}),
        (Mood.GOOD, "positive"),
    ],
)
def test_common_values_have_a_form_in_json(value: Any, json_value: Any) -> None:
    assert plain(value, refuse) == json_value
    json.dumps(plain(value), allow_nan=False)


def test_other_values_are_refused_or_shortened() -> None:
    with pytest.raises(TypeError, match="object has no form in JSON"):
        plain({"a": [object()]}, refuse)
    assert plain(type("Long", (), {"__repr__": lambda _: "x" * 5000})()) == "x" * 1000
