"""``with_structured_output`` behind a shunt: the schema's enum is cut to the candidates of each request."""

from __future__ import annotations

import json
from collections.abc import Sequence
from enum import Enum
from typing import Any, Literal, TypedDict

import pytest
from langchain_core.exceptions import OutputParserException
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.output_parsers import JsonOutputParser, PydanticOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import Runnable
from pydantic import BaseModel, Field, ValidationError

from langchain_datashunt import CompositionError, PromptPruningOutputParser, RunnableDataShunt, TopK
from langchain_datashunt.prompting.label_model import as_whole, cut_model
from langchain_datashunt.prompting.label_schema import LabelField, with_candidates
from langchain_datashunt.testing import RecordingChatModel, ScriptedSmallModel

LABELS = ["bad", "fine", "good"]
ROWS = {"easy": [0.02, 0.03, 0.95], "low": [0.5, 0.4, 0.1], "high": [0.1, 0.4, 0.5]}
SMALL = ScriptedSmallModel(LABELS, ROWS)


class Review(BaseModel):
    """A customer's verdict."""

    label: Literal["bad", "fine", "good"]
    why: str = ""


class Mood(Enum):
    BAD, FINE, GOOD = LABELS


class Felt(BaseModel):
    """A mood, perhaps none."""

    mood: Mood | None = Field(description="how it felt")


class Judged(TypedDict):
    """A verdict."""

    verdict: Literal["bad", "fine", "good"]


JSON_SCHEMA = {
    "title": "review",
    "description": "A verdict.",
    "type": "object",
    "properties": {"label": {"type": "string", "enum": [*LABELS, "none of these"]}},
    "required": ["label"],
}


class JsonSchemaChatModel(RecordingChatModel):
    """Binds a schema as the response format and answers in text, as OpenAI's ``json_schema`` does."""

    def with_structured_output(self, schema: Any, **kwargs: Any) -> Runnable[Any, Any]:  # type: ignore[override]
        told = {"schema": schema, "kwargs": {"method": "json_schema"}}
        response_format = {"type": "json_schema", "json_schema": {"schema": schema.model_json_schema()}}
        bound = self.bind(response_format=response_format, ls_structured_output_format=told)
        return bound | PydanticOutputParser(pydantic_object=schema)


def enum_of(kwargs: Any) -> list[str]:
    """Return the one enum in the arguments of a request, the schema that tracers are told left out."""
    found: list[list[str]] = []

    def walk(value: Any) -> None:
        if isinstance(value, dict):
            found.extend([value["enum"]] if isinstance(value.get("enum"), list) else [])
            for key, each in value.items():
                if key != "ls_structured_output_format":
                    walk(each)
        elif isinstance(value, list):
            for each in value:
                walk(each)

    walk(kwargs)
    (only,) = found
    return only


def first_allowed(name: str, field: str) -> Any:
    """Return an answer that calls a tool with a label of one's own choice, by the text."""

    def answer(messages: Sequence[BaseMessage]) -> AIMessage:
        label = "fine" if "low" in messages[-1].text or "high" in messages[-1].text else "bad"
        return AIMessage("", tool_calls=[{"name": name, "args": {field: label}, "id": "1"}])

    return answer


def shunt(large: Any, **options: Any) -> RunnableDataShunt:
    return RunnableDataShunt(SMALL, threshold=0.9, large=large, **{"candidates": TopK(2), **options})


SCHEMAS = {
    "a pydantic class": (Review, "Review", "label", Review(label="good"), Review(label="fine")),
    "an enum, optional": (Felt, "Felt", "mood", Felt(mood=Mood.GOOD), Felt(mood=Mood.FINE)),
    "a typed dict": (Judged, "Judged", "verdict", {"verdict": "good"}, {"verdict": "fine"}),
    "a JSON schema": (JSON_SCHEMA, "review", "label", {"label": "good"}, {"label": "fine"}),
}


@pytest.mark.parametrize("schema", SCHEMAS.values(), ids=SCHEMAS)
def test_both_branches_give_the_schemas_type_and_each_request_offers_its_own_candidates(schema: Any) -> None:
    kind, name, field, easy, hard = schema
    llm = RecordingChatModel(answers=first_allowed(name, field))
    chain = shunt(llm.with_structured_output(kind))
    assert chain.batch(["easy", "low", "high"]) == [easy, hard, hard]
    offered = {call.text: enum_of(call.kwargs["tools"]) for call in llm.calls}
    extra = ["none of these"] if kind is JSON_SCHEMA else []
    assert offered == {"low": ["bad", "fine", *extra], "high": ["fine", "good", *extra]}


async def test_it_works_in_every_way_of_running() -> None:
    llm = RecordingChatModel(answers=first_allowed("Review", "label"))
    chain = shunt(llm.with_structured_output(Review))
    fine = Review(label="fine")
    assert chain.invoke("low") == await chain.ainvoke("high") == fine
    assert await chain.abatch(["low", "easy"]) == [fine, Review(label="good")]
    assert list(chain.stream("low"))[-1] == fine
    assert [chunk async for chunk in chain.astream("high")][-1] == fine
    assert list(chain.stream("easy")) == [Review(label="good")]
    assert dict(chain.batch_as_completed(["low", "easy"])) == {0: fine, 1: Review(label="good")}
    offered = [enum_of(call.kwargs["tools"]) for call in llm.calls]
    assert offered.count(["bad", "fine"]) == 4
    assert offered.count(["fine", "good"]) == 2


def test_the_shunts_own_with_structured_output_does_the_same() -> None:
    llm = RecordingChatModel(answers=first_allowed("Review", "label"))
    chain = shunt(llm).with_structured_output(Review)
    assert chain.batch(["easy", "low"]) == [Review(label="good"), Review(label="fine")]
    assert enum_of(llm.calls[0].kwargs["tools"]) == ["bad", "fine"]


@pytest.mark.parametrize("wrap", [lambda chain: chain.with_retry(), lambda chain: chain.with_fallbacks([chain])])
def test_it_is_found_behind_prompts_retries_and_fallbacks(wrap: Any) -> None:
    llm = RecordingChatModel(answers=first_allowed("Review", "label"))
    prompt = ChatPromptTemplate.from_template("{text}: one of {candidates}")
    chain = shunt(prompt | wrap(llm.with_structured_output(Review)), answer=lambda p: Review(label=p.label))
    assert chain.invoke("low") == Review(label="fine")
    assert enum_of(llm.calls[0].kwargs["tools"]) == ["bad", "fine"]


def test_a_response_format_is_cut_too_and_the_raw_message_with_include_raw() -> None:
    llm = JsonSchemaChatModel(answers='{"label": "fine"}')
    assert shunt(llm.with_structured_output(Review)).invoke("low") == Review(label="fine")
    assert enum_of(llm.calls[0].kwargs) == ["bad", "fine"]
    raw = RecordingChatModel(answers=first_allowed("Review", "label"))
    branch = raw.with_structured_output(Review, include_raw=True)
    assert shunt(branch, answer=lambda p: p.label).invoke("high")["parsed"] == Review(label="fine")
    assert enum_of(raw.calls[0].kwargs["tools"]) == ["fine", "good"]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("model", ["tool call", "json"])
async def test_a_label_that_is_no_candidate_never_comes_back(model: str, *, stream: bool) -> None:
    def tool_call(_: Any) -> AIMessage:
        return AIMessage("", tool_calls=[{"name": "Review", "args": {"label": "good"}, "id": "1"}])

    llm = (
        RecordingChatModel(answers=tool_call)
        if model == "tool call"
        else JsonSchemaChatModel(answers='{"label":"good"}')
    )
    branch = llm.with_structured_output(Review)
    with pytest.raises(OutputParserException, match="'good', which is not among the candidates bad, fine") as raised:
        list(shunt(branch).stream("low")) if stream else shunt(branch).invoke("low")
    assert '"good"' in str(raised.value.llm_output)
    with pytest.raises(OutputParserException, match="not among the candidates"):
        await shunt(branch).ainvoke("low")
    assert shunt(branch, on_large_error="small").invoke("low") == Review(label="bad")


def test_without_removed_labels_the_schema_stays_whole() -> None:
    llm = RecordingChatModel(answers=first_allowed("Review", "label"))
    shunt(llm.with_structured_output(Review), candidates=None).invoke("low")
    assert enum_of(llm.calls[0].kwargs["tools"]) == LABELS


def test_a_text_gets_the_default_prompt_which_leaves_the_form_to_the_schema() -> None:
    llm = RecordingChatModel(answers=first_allowed("Review", "label"))
    shunt(llm.with_structured_output(Review)).invoke("low")
    system, human = llm.calls[0].messages
    assert "- bad\n- fine" in system.text
    assert "and nothing else" not in system.text
    assert human.text == "low"


class Explained(BaseModel):
    """A verdict with a reason."""

    label: Literal["bad", "fine", "good"]
    why: str


class Free(BaseModel):
    """Any label."""

    label: str


class Two(BaseModel):
    """Two labels."""

    first: Literal["bad", "fine", "good"]
    second: Literal["bad", "fine", "good"] = "bad"


@pytest.mark.parametrize("schema", [Explained, Free, Two])
def test_a_schema_whose_answer_cannot_be_derived_needs_answer(schema: Any) -> None:
    with pytest.raises(CompositionError, match="answer="):
        shunt(RecordingChatModel().with_structured_output(schema))


def test_a_branch_that_does_more_with_the_schema_needs_answer() -> None:
    with pytest.raises(CompositionError, match="answer="):
        shunt(RecordingChatModel().with_structured_output(Review) | (lambda review: review.label))
    with pytest.raises(CompositionError, match="answer="):
        shunt(RecordingChatModel() | JsonOutputParser())


def test_bound_tools_are_cut_and_their_calls_read_by_the_parser() -> None:
    llm = RecordingChatModel(answers=first_allowed("Review", "label"))
    chain = shunt(llm.bind_tools([Review])) | PromptPruningOutputParser(LABELS)
    assert chain.batch(["easy", "low"]) == ["good", "fine"]
    assert enum_of(llm.calls[0].kwargs["tools"]) == ["bad", "fine"]


def test_numbers_and_bools_are_labels_too() -> None:
    schema = {"properties": {"spam": {"enum": [True, False]}}}
    field = LabelField.find(schema, ("True", "False"))
    assert field is not None
    assert field.values == {"True": True, "False": False}
    assert with_candidates(schema, ("True", "False"), ("False",))["properties"]["spam"]["enum"] == [False]


class Inner(BaseModel):
    """A part."""

    mood: Mood
    kind: Literal["bad", "fine"] = "bad"


class Outer(BaseModel):
    """A whole."""

    inner: Inner
    label: Literal["bad", "fine", "good", "none"] | None = None
    free: str = ""


def test_a_pydantic_class_is_cut_wherever_it_offers_all_labels_and_its_objects_become_whole_again() -> None:
    cut = cut_model(Outer, tuple(LABELS), ("fine", "good"))
    assert cut is cut_model(Outer, tuple(LABELS), ("fine", "good"))
    assert (cut.__name__, cut.__doc__) == ("Outer", "A whole.")
    for refused in ({"inner": {"mood": "bad"}}, {"inner": {"mood": "fine"}, "label": "bad"}):
        with pytest.raises(ValidationError):
            cut.model_validate(refused)
    made = cut.model_validate({"inner": {"mood": "fine", "kind": "bad"}, "label": "none"})
    assert as_whole(made, Outer) == Outer(inner=Inner(mood=Mood.FINE), label="none")
    assert cut_model(Free, tuple(LABELS), ("fine",)) is Free
    assert as_whole("a text", Outer) == "a text"


def test_cutting_leaves_the_schema_itself_and_other_enums_alone() -> None:
    schema = {"a": [{"enum": LABELS}], "b": {"enum": ["bad", "fine"]}, "enum": "no list"}
    before = json.dumps(schema)
    assert with_candidates(schema, tuple(LABELS), ("fine",)) == {**schema, "a": [{"enum": ["fine"]}]}
    assert json.dumps(schema) == before
