"""What comes out: one type from both branches."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.output_parsers import JsonOutputParser, StrOutputParser
from langchain_core.runnables import RunnableLambda, RunnablePassthrough
from pydantic import BaseModel
from reviews import EASY, HARD, SURE, record, shunt

from langchain_datashunt import CompositionError, Decision, Prediction, PromptPruningOutputParser
from langchain_datashunt.testing import RecordingChatModel, ScriptedSmallModel


class Sentiment(BaseModel):
    label: str
    confidence: float


def sentiment(prediction: Prediction) -> Sentiment:
    return Sentiment(label=prediction.label, confidence=prediction.confidence)


def ask(text: str) -> str:
    return f"asked about {text}"


async def a_ask(text: str) -> str:
    return f"asked about {text}"


MESSAGE_BRANCHES = {
    "chat model": RecordingChatModel,
    "bound": lambda: RecordingChatModel().bind(stop=["."]),
    "with config": lambda: RecordingChatModel().with_config(tags=["x"]),
    "with retry": lambda: RecordingChatModel().with_retry(),
    "with fallbacks": lambda: RecordingChatModel().with_fallbacks([RecordingChatModel()]),
    "fallbacks of bindings": lambda: RecordingChatModel().bind(a=1).with_fallbacks([RecordingChatModel().bind(a=2)]),
    "sequence": lambda: RunnableLambda(str.upper) | RecordingChatModel(),
    "bound sequence": lambda: (RunnableLambda(str.upper) | RecordingChatModel()).with_config(tags=["x"]),
    "nested shunt": lambda: shunt(ScriptedSmallModel(["positive", "negative"], {})) | RecordingChatModel(),
    "nested shunt with fallbacks": lambda: (
        shunt(ScriptedSmallModel(["positive", "negative"], {})) | RecordingChatModel()
    ).with_fallbacks([RecordingChatModel()]),
    "declared": lambda: RunnableLambda(AIMessage).with_types(output_type=AIMessage),
    "annotated function": lambda: RunnableLambda(AIMessage).with_types(output_type=BaseMessage),
}

TEXT_BRANCHES = {
    "parser": lambda: RecordingChatModel() | StrOutputParser(),
    "function": lambda: RunnableLambda(ask),
    "async function": lambda: RunnableLambda(ask, afunc=a_ask),
    "with config": lambda: (RecordingChatModel() | StrOutputParser()).with_config(tags=["x"]),
    "with fallbacks": lambda: (RecordingChatModel() | StrOutputParser()).with_fallbacks([RunnableLambda(ask)]),
    "nested shunt": lambda: (
        shunt(ScriptedSmallModel(["positive", "negative"], {})) | (RecordingChatModel() | StrOutputParser())
    ),
    "declared": lambda: RunnablePassthrough().with_types(output_type=str),
}


@pytest.mark.parametrize("branch", MESSAGE_BRANCHES.values(), ids=MESSAGE_BRANCHES)
def test_where_the_large_branch_gives_a_message_the_small_one_does(branch: Any) -> None:
    easy, hard = (shunt() | branch()).batch([EASY, HARD])
    assert isinstance(easy, AIMessage)
    assert isinstance(hard, AIMessage)
    assert (easy.content, record(easy)["route"], record(hard)["route"]) == ("positive", "small", "large")


@pytest.mark.parametrize("branch", TEXT_BRANCHES.values(), ids=TEXT_BRANCHES)
def test_where_the_large_branch_gives_a_text_the_small_one_gives_the_label(branch: Any) -> None:
    easy, hard = (shunt() | branch()).batch([EASY, HARD])
    assert easy == "positive"
    assert type(easy) is str
    assert isinstance(hard, str)


@pytest.mark.parametrize(
    "branch",
    [
        lambda: RecordingChatModel() | JsonOutputParser(),
        lambda: RecordingChatModel().with_structured_output(Sentiment),
        lambda: RunnableLambda(lambda text: {"label": text}),
        RunnablePassthrough,
        lambda: {"label": RecordingChatModel()},
    ],
    ids=["json parser", "structured output", "function without a type", "passthrough", "dict"],
)
def test_any_other_output_type_needs_answer_and_says_so_while_building(branch: Any) -> None:
    with pytest.raises(CompositionError, match="answer="):
        shunt() | branch()


def test_answer_gives_the_small_models_output_any_type() -> None:
    def classify(text: str) -> Sentiment:
        return Sentiment(label=f"asked about {text}", confidence=1)

    chain = shunt(answer=sentiment) | RunnableLambda(classify)
    easy, hard = chain.batch([EASY, HARD])
    assert easy == Sentiment(label="positive", confidence=SURE)
    assert hard == Sentiment(label=f"asked about {HARD}", confidence=1)


def test_answer_gets_a_finished_prediction() -> None:
    seen: list[Prediction] = []
    (shunt(answer=seen.append) | RunnablePassthrough()).invoke(EASY)
    (prediction,) = seen
    assert (prediction.label, prediction.classes) == ("positive", ("positive", "negative"))
    assert prediction.confidence == pytest.approx(SURE)
    assert prediction.probabilities.tolist() == pytest.approx([SURE, 1 - SURE])


def test_the_small_models_message_is_an_ordinary_ai_message() -> None:
    message = (shunt() | RecordingChatModel()).invoke(EASY)
    assert type(message) is AIMessage
    assert (message.content, list(message.response_metadata)) == ("positive", ["datashunt"])
    assert message.usage_metadata is None


def test_the_large_models_message_keeps_everything_of_its_own() -> None:
    message = (shunt() | RecordingChatModel(answers="two words")).invoke(HARD)
    assert type(message) is AIMessage
    assert message.response_metadata["model_name"] == "recording"
    assert message.usage_metadata["output_tokens"] == 2
    assert message.id is not None


def test_the_large_models_own_message_object_is_not_changed() -> None:
    own = AIMessage("kept")
    branch = RunnableLambda(lambda _: own).with_types(output_type=AIMessage)
    assert record((shunt() | branch).invoke(HARD))["route"] == "large"
    assert own.response_metadata == {}


def test_invoke_with_decision_returns_the_output_and_the_decision() -> None:
    chain = shunt() | RecordingChatModel(answers="from the llm")
    message, decision = chain.invoke_with_decision(EASY)
    assert isinstance(decision, Decision)
    assert (message.content, decision.route, decision.reason) == ("positive", "small", "accepted")
    message, decision = chain.invoke_with_decision(HARD)
    assert (message.content, decision.route, decision.reason) == ("from the llm", "large", "below_threshold")
    assert record(message) == decision.metadata()


async def test_ainvoke_with_decision_returns_the_output_and_the_decision() -> None:
    chain = shunt() | RecordingChatModel(answers="from the llm")
    message, decision = await chain.ainvoke_with_decision(HARD)
    assert (message.content, decision.route) == ("from the llm", "large")


def test_batch_with_decisions_returns_pairs_in_order() -> None:
    chain = shunt() | RecordingChatModel(answers="from the llm") | StrOutputParser()
    bound = chain.first
    pairs = bound.batch_with_decisions([EASY, HARD, EASY])
    assert [(output.content, decision.route) for output, decision in pairs] == [
        ("positive", "small"),
        ("from the llm", "large"),
        ("positive", "small"),
    ]


async def test_abatch_with_decisions_returns_pairs_in_order() -> None:
    chain = shunt() | RecordingChatModel(answers="from the llm")
    pairs = await chain.abatch_with_decisions([HARD, EASY])
    assert [(output.content, decision.route) for output, decision in pairs] == [
        ("from the llm", "large"),
        ("positive", "small"),
    ]


def test_decisions_come_with_texts_too_where_no_message_could_carry_them() -> None:
    chain = shunt() | (RecordingChatModel() | StrOutputParser())
    assert [decision.route for _, decision in chain.batch_with_decisions([EASY, HARD])] == ["small", "large"]


def test_decide_tells_what_would_happen_and_asks_no_llm() -> None:
    llm = RecordingChatModel()
    chain = shunt() | llm
    assert (chain.decide(EASY).route, chain.decide(HARD).route) == ("small", "large")
    assert llm.calls == []


def test_decide_agrees_with_invoke() -> None:
    chain = shunt() | RecordingChatModel()
    for text in (EASY, HARD):
        assert chain.decide(text).metadata() == record(chain.invoke(text))


def test_decide_batch_is_columnar_and_indexes_to_decisions() -> None:
    small = ScriptedSmallModel(["a", "b"], {"1": [0.95, 0.05], "2": [0.4, 0.6], "3": [0.02, 0.98]})
    chain = shunt(small) | RecordingChatModel()
    decisions = chain.decide_batch(["1", "2", "3"])
    assert small.batch_sizes == [3]
    assert len(decisions) == 3
    assert decisions.labels.tolist() == ["a", "b", "b"]
    assert decisions.confidence.tolist() == pytest.approx([0.95, 0.6, 0.98])
    assert decisions.accepted.tolist() == [True, False, True]
    assert decisions.probabilities.shape == (3, 2)
    assert [decision.route for decision in decisions] == ["small", "large", "small"]
    assert decisions[1].prediction.label == "b"
    assert decisions[-1].prediction.label == "b"
    with pytest.raises(IndexError):
        decisions[3]


def test_decide_batch_of_nothing_is_empty() -> None:
    small = ScriptedSmallModel(["a", "b"], {})
    decisions = (shunt(small) | RecordingChatModel()).decide_batch([])
    assert (len(decisions), decisions.labels.shape, decisions.probabilities.shape) == (0, (0,), (0, 2))
    assert small.calls == 0


def test_a_tie_goes_to_the_first_class_everywhere() -> None:
    small = ScriptedSmallModel(["b", "a"], {}, default=[0.5, 0.5])
    chain = shunt(small, threshold=0.5) | RecordingChatModel()
    assert chain.decide_batch(["x"]).labels.tolist() == ["b"]
    assert chain.invoke("x").content == "b"


@pytest.mark.parametrize(("confidence", "accepted"), [(0.9, True), (0.8999999, False)])
def test_confidence_at_the_threshold_is_accepted(confidence: float, accepted: bool) -> None:
    small = ScriptedSmallModel(["a", "b"], {}, default=[confidence, 1 - confidence])
    chain = shunt(small, threshold=0.9) | RecordingChatModel()
    assert bool(chain.decide_batch(["x"]).accepted[0]) is accepted


@pytest.mark.parametrize(("threshold", "calls"), [(0.0, 0), (1.0, 2)])
def test_threshold_zero_accepts_everything_and_threshold_one_only_certainty(threshold: float, calls: int) -> None:
    llm = RecordingChatModel()
    (shunt(threshold=threshold) | llm).batch([EASY, HARD])
    assert len(llm.calls) == calls


def test_a_parser_that_gives_none_for_invalid_replies_makes_a_text_branch() -> None:
    parser = PromptPruningOutputParser(["positive", "negative"], on_invalid="none")
    chain = shunt() | (RecordingChatModel(answers="no idea") | parser)
    assert chain.batch([EASY, HARD]) == ["positive", None]
