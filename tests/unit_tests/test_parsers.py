from __future__ import annotations

import asyncio
import json
import pickle
from collections.abc import Sequence
from typing import Any
from uuid import UUID

import numpy as np
import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.exceptions import OutputParserException
from langchain_core.load import dumps, loads
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.runnables import RunnableConfig

from langchain_datashunt.candidates import TopK
from langchain_datashunt.errors import CompositionError, InvalidInputError, PolicyMismatchError
from langchain_datashunt.prompting.label_logprobs import LabelPrior
from langchain_datashunt.prompting.pruning_parser import INVALID_REPLY_EVENT, PromptPruningOutputParser
from langchain_datashunt.prompting.pruning_template import PromptPruningTemplate
from langchain_datashunt.routing.router import RunnableDataShunt
from langchain_datashunt.testing import RecordingChatModel, ScriptedSmallModel
from langchain_datashunt.types import Decision, Prediction

LABELS = ["bad", "fine", "good"]
EASY, HARD = "easy", "hard"
SMALL = ScriptedSmallModel(LABELS, {EASY: [0.05, 0.9, 0.05]}, default=[0.15, 0.4, 0.45])


def decision(candidates: tuple[str, ...] | None = None, label: str | None = "good") -> Decision:
    prediction = None if label is None else Prediction(label, 0.45, np.array([0.15, 0.4, 0.45]), tuple(LABELS))
    return Decision(
        "large", "below_threshold", prediction, 0.8, certified=False, calibrated=False, candidates=candidates
    )


def travelling(made: Decision) -> RunnableConfig:
    return {"configurable": {"datashunt_decision": made}}


def with_record(text: str, made: Decision, **changes: Any) -> AIMessage:
    return AIMessage(text, response_metadata={"datashunt": {**made.metadata(), **changes}})


def with_logprobs(text: str, **top: float) -> AIMessage:
    tops = [{"token": token, "logprob": value} for token, value in top.items()]
    first = {"token": text, "logprob": top.get(text, -30.0), "top_logprobs": tops}
    return AIMessage(text, response_metadata={"logprobs": {"content": [first]}})


class Events(BaseCallbackHandler):
    """Keeps custom events and the outcome of each run."""

    def __init__(self) -> None:
        self.events: list[tuple[str, Any, UUID]] = []
        self.outputs: dict[UUID, Any] = {}

    def on_custom_event(self, name: str, data: Any, *, run_id: UUID, **kwargs: Any) -> None:
        self.events.append((name, data, run_id))

    def on_chain_end(self, outputs: Any, *, run_id: UUID, **kwargs: Any) -> None:
        self.outputs[run_id] = outputs


def test_text_and_messages_are_read_alike() -> None:
    parser = PromptPruningOutputParser(LABELS, aliases={"good": ["great"]})
    blocks = AIMessage([{"type": "text", "text": "It is "}, {"type": "text", "text": "great."}])
    assert parser.invoke("It is great.") == parser.invoke(AIMessage("It is great.")) == parser.invoke(blocks) == "good"
    assert parser.parse("great") == "good"


def test_an_invalid_reply_raises_with_its_text_and_a_hint_for_repair() -> None:
    parser = PromptPruningOutputParser(LABELS)
    with pytest.raises(OutputParserException, match="more than one label: 'bad', 'good'") as raised:
        parser.invoke(AIMessage("good or bad"), travelling(decision(("good", "bad"))))
    assert raised.value.llm_output == "good or bad"
    assert raised.value.observation == "Answer with exactly one of these labels and nothing else: bad, good"
    assert raised.value.send_to_llm


@pytest.mark.parametrize("value", [None, 3, {"label": "good"}, b"good"])
def test_what_is_no_reply_is_refused(value: Any) -> None:
    with pytest.raises(InvalidInputError, match="a message or a text"):
        PromptPruningOutputParser(LABELS, on_invalid="none").invoke(value)


class TestWhatTheShuntDecided:
    def test_a_label_outside_the_candidates_is_invalid_and_the_error_says_so(self) -> None:
        parser = PromptPruningOutputParser(LABELS)
        assert parser.invoke("fine") == "fine"
        with pytest.raises(OutputParserException, match="'fine', which is not among the candidates bad, good"):
            parser.invoke("fine", travelling(decision(("good", "bad"))))
        with pytest.raises(OutputParserException, match="not among the candidates"):
            parser.invoke(with_record("fine", decision(("good", "bad"))))

    def test_an_answer_of_the_small_model_passes_as_it_is(self) -> None:
        parser = PromptPruningOutputParser([*LABELS, "not so good"], on_invalid="small")
        assert parser.invoke(with_record("fine", decision(("good",)), route="small")) == "fine"
        assert parser.invoke(with_record("not so good", decision(), route="small_on_error")) == "not so good"

    def test_the_innermost_of_nested_records_holds(self) -> None:
        parser = PromptPruningOutputParser(LABELS)
        inner = decision(("fine", "bad")).metadata()
        assert parser.invoke(with_record("bad", decision(("good", "fine")), inner=inner)) == "bad"
        small = {**inner, "route": "small"}
        assert parser.invoke(with_record("good", decision(("bad",)), inner=small)) == "good"

    def test_the_record_on_the_message_goes_before_the_decision_in_the_config(self) -> None:
        parser = PromptPruningOutputParser(LABELS)
        reply = with_record("bad", decision(("bad", "fine")))
        assert parser.invoke(reply, travelling(decision(("good",)))) == "bad"

    def test_the_escape_option_is_always_possible(self) -> None:
        parser = PromptPruningOutputParser(LABELS, escape="none of these")
        assert parser.invoke("None of these.", travelling(decision(("good",)))) == "none of these"

    def test_a_parser_of_other_labels_than_the_small_model_says_so(self) -> None:
        parser = PromptPruningOutputParser(["up", "down"], on_invalid="small")
        with pytest.raises(PolicyMismatchError, match="small model answered 'good'"):
            parser.invoke(with_record("good", decision(), route="small"))
        with pytest.raises(PolicyMismatchError, match=r"candidates \['good'\]"):
            parser.invoke("up", travelling(decision(("good",))))
        with pytest.raises(PolicyMismatchError, match="small model answered 'good'"):
            parser.invoke("sideways", travelling(decision()))


class TestFallingBack:
    def test_the_small_models_best_candidate_stands_in(self) -> None:
        parser = PromptPruningOutputParser(LABELS, on_invalid="small")
        assert parser.invoke("?", travelling(decision())) == "good"
        assert parser.invoke("?", travelling(decision(("fine", "bad")))) == "fine"
        assert parser.invoke(with_record("?", decision(("fine", "bad")))) == "fine"
        assert parser.invoke(with_record("?", decision())) == "good"

    def test_without_a_small_models_answer_it_raises(self) -> None:
        parser = PromptPruningOutputParser(LABELS, on_invalid="small")
        for config in ({}, travelling(decision(label=None))):
            with pytest.raises(OutputParserException, match="no small model's answer is known here"):
                parser.invoke("?", config)
        with pytest.raises(OutputParserException, match="no small model's answer"):
            parser.parse("?")

    def test_none_is_none(self) -> None:
        parser = PromptPruningOutputParser(LABELS, on_invalid="none")
        assert parser.invoke("?") is None
        assert parser.OutputType == str | None
        assert PromptPruningOutputParser(LABELS).OutputType is str

    @pytest.mark.parametrize(("on_invalid", "answer"), [("small", "good"), ("none", None)])
    async def test_each_is_recorded_under_the_parsers_run(self, on_invalid: Any, answer: str | None) -> None:
        parser = PromptPruningOutputParser(LABELS, on_invalid=on_invalid)
        data = {"reply": "hm", "problem": "it names no label", "on_invalid": on_invalid, "answer": answer}
        for call in ("invoke", "ainvoke", "stream", "astream"):
            handler = Events()
            config = {**travelling(decision()), "callbacks": [handler]}
            if call == "invoke":
                parser.invoke("hm", config)
            elif call == "ainvoke":
                await parser.ainvoke("hm", config)
            elif call == "stream":
                assert list(parser.transform(iter(["h", "m"]), config)) == [answer]
            else:
                assert [label async for label in parser.atransform(_async(["h", "m"]), config)] == [answer]
            ((name, recorded, run_id),) = handler.events
            assert (name, recorded) == (INVALID_REPLY_EVENT, data)
            assert handler.outputs == {run_id: answer}

    def test_a_valid_reply_and_a_raised_one_leave_no_event(self) -> None:
        handler = Events()
        parser = PromptPruningOutputParser(LABELS)
        parser.invoke("good", {"callbacks": [handler]})
        with pytest.raises(OutputParserException):
            parser.invoke("hm", {"callbacks": [handler]})
        assert handler.events == []


async def _async(items: Sequence[Any]) -> Any:
    for item in items:
        await asyncio.sleep(0)
        yield item


class TestInChains:
    """Before and behind the shunt, in batches and streams: the parser knows what was decided about each input."""

    @pytest.fixture
    def model(self) -> RecordingChatModel:
        return RecordingChatModel(answers={"hard": "It is bad.", "odd": "no idea", "other": "fine"})

    @pytest.fixture(params=["behind", "inside"])
    def chain(self, request: pytest.FixtureRequest, model: RecordingChatModel) -> Any:
        parser = PromptPruningOutputParser(LABELS, on_invalid="small")
        template = PromptPruningTemplate(LABELS, hints="both")
        shunt = RunnableDataShunt(SMALL, threshold=0.8, candidates=TopK(2))
        return shunt | (template | model) | parser if request.param == "behind" else shunt | (template | model | parser)

    # TopK(2) leaves "good" and "fine", so "bad" and "no idea" are invalid, and the small model's "good" stands in
    inputs = (EASY, "hard", "odd", "other")
    labels = ("fine", "good", "good", "fine")

    def test_invoke(self, chain: Any, model: RecordingChatModel) -> None:
        assert tuple(chain.invoke(text) for text in self.inputs) == self.labels
        assert [call.text for call in model.calls] == ["hard", "odd", "other"]
        assert "Labels:\n- fine\n- good\n\n" in model.calls[0].messages[0].text

    async def test_batches(self, chain: Any) -> None:
        assert tuple(chain.batch(list(self.inputs))) == self.labels
        assert tuple(await chain.abatch(list(self.inputs))) == self.labels
        assert tuple([await chain.ainvoke(text) for text in self.inputs]) == self.labels

    async def test_a_stream_gives_the_label_once(self, chain: Any) -> None:
        for text, label in zip(self.inputs, self.labels, strict=True):
            assert list(chain.stream(text)) == [label]
            assert [each async for each in chain.astream(text)] == [label]

    def test_a_stream_that_breaks_gives_no_label(self) -> None:
        model = RecordingChatModel(answers="good or bad", break_stream_after=1)
        chain = RunnableDataShunt(SMALL, threshold=0.8) | model | PromptPruningOutputParser(LABELS)
        got: list[str] = []
        with pytest.raises(ValueError, match="told to break"):
            got.extend(chain.stream(HARD))
        assert got == []

    def test_three_tiers(self) -> None:
        inner = RunnableDataShunt(ScriptedSmallModel(LABELS, {"middling": [0.9, 0.05, 0.05]}), threshold=0.8)
        model = RecordingChatModel(answers="fine")
        parser = PromptPruningOutputParser(LABELS, on_invalid="none")
        outer = RunnableDataShunt(SMALL, threshold=0.8, candidates=TopK(1))
        chain = outer | (inner | model) | parser
        # the inner shunt prunes nothing, and its small model may answer what the outer one had pruned
        assert chain.batch([EASY, "middling", HARD]) == ["fine", "bad", "fine"]


class TestLogprobs:
    def test_the_likeliest_candidate_is_the_answer(self) -> None:
        parser = PromptPruningOutputParser(LABELS)
        reply = with_logprobs("good", good=-0.6, bad=-0.9, fine=-2.0)
        assert parser.invoke(reply) == "good"
        assert parser.invoke(reply, travelling(decision(("fine", "bad")))) == "bad"
        assert PromptPruningOutputParser(LABELS, use_logprobs=False).invoke(reply) == "good"

    def test_the_label_prior_is_taken_off(self) -> None:
        prior = LabelPrior({"bad": -2.0, "fine": -3.0, "good": -0.2}, 10)
        parser = PromptPruningOutputParser(LABELS, label_prior=prior)
        assert parser.invoke(with_logprobs("good", good=-0.6, bad=-0.9, fine=-3.5)) == "bad"

    def test_auto_reads_the_text_where_the_reply_does_not_begin_with_a_label(self) -> None:
        parser = PromptPruningOutputParser(LABELS)
        reply = with_logprobs("I would say it is good", good=-9.0, bad=-2.0, fine=-4.0)
        assert parser.invoke(reply) == "good"
        assert PromptPruningOutputParser(LABELS, use_logprobs=True).invoke(reply) == "bad"

    def test_auto_does_not_accept_a_reply_that_names_two_labels(self) -> None:
        reply = with_logprobs("good or bad", **{"good or bad": -0.1, "good": -0.2})
        assert PromptPruningOutputParser(LABELS, on_invalid="none").invoke(reply) is None

    @pytest.mark.parametrize("reply", ["good", AIMessage("good"), with_logprobs("The", The=-0.1)])
    def test_where_they_are_required_a_reply_without_them_is_invalid(self, reply: Any) -> None:
        parser = PromptPruningOutputParser(LABELS, use_logprobs=True)
        with pytest.raises(OutputParserException, match="top_logprobs=20"):
            parser.invoke(reply)

    def test_labels_that_begin_alike_are_refused_at_construction_where_required(self) -> None:
        with pytest.raises(CompositionError, match="begin with the same token"):
            PromptPruningOutputParser(["card arrival", "card linking"], use_logprobs=True)

    def test_labels_that_begin_alike_are_read_by_text_in_auto(self) -> None:
        parser = PromptPruningOutputParser(["card arrival", "card linking", "spam"])
        top = [{"token": "card", "logprob": -0.5}, {"token": "spam", "logprob": -1.0}]
        content = [{"token": "card", "logprob": -0.5, "top_logprobs": top}, {"token": " linking", "logprob": -0.1}]
        reply = AIMessage("card linking", response_metadata={"logprobs": {"content": content}})
        assert parser.invoke(reply) == "card linking"

    def test_the_distribution_is_over_the_candidates(self) -> None:
        parser = PromptPruningOutputParser(LABELS)
        reply = with_logprobs("good", good=np.log(0.5), bad=np.log(0.25), fine=np.log(0.05))
        assert parser.distribution(reply) == pytest.approx({"bad": 0.3125, "fine": 0.0625, "good": 0.625})
        assert parser.distribution(reply, ["good", "bad"]) == pytest.approx({"bad": 1 / 3, "good": 2 / 3})
        with pytest.raises(InvalidInputError, match="no distribution"):
            parser.distribution(AIMessage("good"))

    def test_a_stream_adds_them_up(self) -> None:
        parser = PromptPruningOutputParser(LABELS, use_logprobs=True)
        whole = with_logprobs("good", good=-0.6, bad=-0.1)
        chunks: list[BaseMessage] = [
            AIMessageChunk("good", response_metadata=whole.response_metadata),
            AIMessageChunk("", response_metadata={"finish_reason": "stop"}),
        ]
        assert list(parser.transform(iter(chunks))) == ["bad"]


def calling(*arguments: dict[str, Any], text: str = "") -> AIMessage:
    return AIMessage(
        text, tool_calls=[{"name": "classify", "args": each, "id": str(i)} for i, each in enumerate(arguments)]
    )


@pytest.mark.parametrize(
    "arguments", [{"label": "Good"}, {"sentiment": "good"}, {"why": "a long text, not bad", "verdict": "good", "n": 3}]
)
def test_a_tool_call_is_read(arguments: dict[str, Any]) -> None:
    parser = PromptPruningOutputParser(LABELS)
    assert parser.invoke(calling(arguments)) == "good"
    assert list(parser.transform(iter([AIMessageChunk(**calling(arguments).model_dump(exclude={"type"}))]))) == ["good"]


@pytest.mark.parametrize(
    ("calls", "problem"),
    [
        (({"sentiment": "splendid"},), "name no label"),
        (({},), "name no label"),
        (({"label": "splendid"},), "which is no label"),
        (({"sentiment": "good", "not": "bad"},), "more than one label"),
        (({"label": "good"}, {"label": "bad"}), "more than one label"),
    ],
)
def test_tool_calls_that_name_no_label_or_two_are_invalid(calls: tuple[dict[str, Any], ...], problem: str) -> None:
    with pytest.raises(OutputParserException, match=problem) as raised:
        PromptPruningOutputParser(LABELS).invoke(calling(*calls))
    assert raised.value.llm_output == json.dumps([{"name": "classify", "args": each} for each in calls])


def test_a_tool_call_must_name_a_candidate() -> None:
    with pytest.raises(OutputParserException, match="not among the candidates"):
        PromptPruningOutputParser(LABELS).invoke(calling({"label": "bad"}), travelling(decision(("good", "fine"))))


def test_a_reply_cut_off_inside_a_longer_label_is_invalid() -> None:
    parser = PromptPruningOutputParser(["card", "card arrival"])
    assert parser.invoke(AIMessage("card", response_metadata={"finish_reason": "stop"})) == "card"
    with pytest.raises(OutputParserException, match="cut off"):
        parser.invoke(AIMessage("card", response_metadata={"finish_reason": "length"}))


def test_prompt_and_parser_share_one_label_space() -> None:
    template = PromptPruningTemplate(
        {"a": "first", "b": ""}, aliases={"b": ["beta"]}, answer="number", escape="neither"
    )
    parser = PromptPruningOutputParser.for_template(template, on_invalid="none")
    assert parser.space == template.space
    assert [parser.invoke(reply) for reply in ("2", "beta", "3", "1. a", "4")] == ["b", "b", "neither", "a", None]
    assert (
        parser.get_format_instructions() == "Answer with exactly one number and nothing else: 1 (a), 2 (b), 3 (neither)"
    )


def test_it_survives_pickle_and_langchains_own_serialisation() -> None:
    prior = LabelPrior({"a": -0.5, "b": -1.5}, 3)
    parser = PromptPruningOutputParser(
        {"a": "first", "b": ""}, aliases={"b": ["beta"]}, answer="number", label_prior=prior
    )
    text = dumps(parser)
    assert "not_implemented" not in text
    copies = [
        pickle.loads(pickle.dumps(parser)),
        loads(text, allowed_objects=[PromptPruningOutputParser], valid_namespaces=["langchain_datashunt"]),
    ]
    for copy in copies:
        assert copy == parser
        assert copy.label_prior == prior
        assert copy.invoke("2") == "b"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"on_invalid": "ignore"}, "on_invalid is one of"),
        ({"use_logprobs": "yes"}, "use_logprobs is"),
        ({"on_error": "raise"}, r"no options \['on_error'\]"),
        ({"label_prior": LabelPrior({"up": -1.0}, 1)}, "the label prior is of the labels"),
        ({"aliases": {"good": ["bad"]}}, "would name both"),
    ],
)
def test_options_that_do_not_exist_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(CompositionError, match=message):
        PromptPruningOutputParser(LABELS, **options)
