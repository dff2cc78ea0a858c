"""What the small model sees, and what the large branch gets."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage
from langchain_core.prompt_values import ChatPromptValue, StringPromptValue
from langchain_core.prompts import ChatPromptTemplate, MessagesPlaceholder, PromptTemplate
from langchain_core.runnables import RunnableConfig, RunnableLambda
from reviews import EASY, HARD, SURE, record, shunt, small_model

from langchain_datashunt import CompositionError, Decision, InvalidInputError, PromptPruningTemplate, TopK
from langchain_datashunt.testing import RecordingChatModel, ScriptedSmallModel

THREE = ScriptedSmallModel(["sports", "politics", "weather"], {}, default=[0.5, 0.2, 0.3], version="three")


class Seen(ScriptedSmallModel):
    """Keeps what it was shown."""

    def __init__(self) -> None:
        super().__init__(["positive", "negative"], lambda _: [0.98, 0.02])
        self.seen: list[Any] = []

    def predict_proba(self, inputs: Any, /) -> Any:
        self.seen.extend(inputs)
        return super().predict_proba(inputs)


def echo(value: Any) -> str:
    return f"asked about {value!r}"


@pytest.mark.parametrize(
    "value",
    [
        "the text",
        {"text": "the text"},
        {"text": "the text", "stars": 3, "tags": ["a", "b"]},
        StringPromptValue(text="the text"),
        ChatPromptValue(messages=[SystemMessage("Classify."), HumanMessage("the text")]),
        HumanMessage("the text"),
        [HumanMessage("the text")],
        [HumanMessage("earlier"), AIMessage("positive"), HumanMessage("the text"), AIMessage("hm")],
        [("system", "Classify."), ("human", "the text")],
        [{"role": "user", "content": "the text"}],
        [HumanMessage([{"type": "text", "text": "the text"}])],
    ],
    ids=lambda value: type(value).__name__,
)
def test_by_default_the_small_model_sees_the_text_of_the_input(value: Any) -> None:
    small = Seen()
    shunt(small, large=RunnableLambda(echo)).invoke(value)
    assert small.seen == ["the text"]


def test_a_key_selects_what_the_small_model_sees() -> None:
    small = Seen()
    shunt(small, large=RunnableLambda(echo), input="body").invoke({"title": "other", "body": "the text"})
    assert small.seen == ["the text"]


def test_a_callable_selects_what_the_small_model_sees() -> None:
    small = Seen()
    chain = shunt(small, large=RunnableLambda(echo), input=lambda value: value["title"] + ": " + value["body"])
    chain.batch([{"title": "a", "body": "b"}, {"title": "c", "body": "d"}])
    assert small.seen == ["a: b", "c: d"]


def test_a_selector_may_hand_the_small_model_features_that_are_no_text() -> None:
    small = Seen()
    shunt(small, large=RunnableLambda(echo), input=lambda value: [value["stars"], 1.0]).invoke({"stars": 3})
    assert small.seen == [[3, 1.0]]


def test_a_selected_conversation_is_read_at_its_last_human_message() -> None:
    small = Seen()
    value = {"messages": [HumanMessage("the text"), AIMessage("hm")], "user": "mary"}
    shunt(small, large=RunnableLambda(echo), input="messages").invoke(value)
    assert small.seen == ["the text"]


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ({"title": "a", "body": "b"}, "input="),
        ({"stars": 3}, "input="),
        ({}, "input="),
        ([AIMessage("hm")], "human"),
        ([SystemMessage("Classify.")], "human"),
        ([], "human"),
        (3, "input="),
        (3.5, "input="),
        ({"text"}, "input="),
    ],
)
def test_an_input_whose_text_cannot_be_told_raises_and_says_how_to_name_it(value: Any, says: str) -> None:
    small, llm = small_model(), RecordingChatModel()
    with pytest.raises(InvalidInputError, match=says):
        shunt(small, large=llm).invoke(value)
    assert (small.calls, llm.calls) == (0, [])


def test_a_key_that_the_mapping_lacks_is_named_with_the_keys_there_are() -> None:
    with pytest.raises(InvalidInputError, match=r"'body'.*'text'"):
        shunt(large=RunnableLambda(echo), input="body").invoke({"text": EASY})


def test_a_key_selector_refuses_a_text() -> None:
    with pytest.raises(InvalidInputError, match="mapping"):
        shunt(large=RunnableLambda(echo), input="body").invoke(EASY)


def test_a_template_with_hints_gets_a_string_under_its_one_remaining_variable() -> None:
    llm = RecordingChatModel()
    template = ChatPromptTemplate.from_template("{candidates}|{prior}|{prediction}|{review}")
    (shunt(THREE) | (template | llm)).invoke("Rain?")
    candidates, prior, prediction, review = llm.calls[0].text.split("|")
    assert candidates == "sports, weather, politics"
    assert prior == "sports 50 %, weather 30 %, politics 20 %"
    assert (prediction, review) == ("sports", "Rain?")


def test_a_template_with_hints_gets_a_mapping_with_the_hints_added() -> None:
    llm = RecordingChatModel()
    template = ChatPromptTemplate.from_template("{candidates}|{title}|{body}")
    value = {"title": "t", "body": "b"}
    (shunt(THREE, input="body", input_key="body") | (template | llm)).invoke(value)
    assert llm.calls[0].text == "sports, weather, politics|t|b"
    assert value == {"title": "t", "body": "b"}


def test_only_the_hints_that_a_template_declares_are_given_to_it() -> None:
    seen: list[dict[str, Any]] = []
    template = ChatPromptTemplate.from_template("{prior} {review}")
    branch = template.with_listeners(on_start=lambda run: seen.append(run.inputs)) | RecordingChatModel()
    (shunt() | branch).invoke(HARD)
    assert set(seen[0]) == {"prior", "review"}


def test_the_hints_are_values_that_a_program_can_read() -> None:
    seen: list[dict[str, Any]] = []
    template = PromptTemplate.from_template("{candidates} {prior} {prediction} {review}")
    branch = template.with_listeners(on_start=lambda run: seen.append(run.inputs)) | RecordingChatModel()
    (shunt(THREE) | branch).invoke("Rain?")
    assert tuple(seen[0]["candidates"]) == ("sports", "weather", "politics")
    assert dict(seen[0]["prior"]) == pytest.approx({"sports": 0.5, "weather": 0.3, "politics": 0.2})
    assert seen[0]["prediction"] == "sports"


def test_a_candidate_rule_shortens_the_candidates_of_the_prompt() -> None:
    llm = RecordingChatModel()
    template = ChatPromptTemplate.from_template("{candidates}|{review}")
    (shunt(THREE, candidates=TopK(2)) | (template | llm)).invoke("Rain?")
    assert llm.calls[0].text == "sports, weather|Rain?"


def test_a_template_with_hints_and_several_other_variables_needs_input_key() -> None:
    template = ChatPromptTemplate.from_template("{candidates} {title} {body}")
    with pytest.raises(TypeError, match=r"title.*input_key|input_key.*title"):
        shunt() | (template | RecordingChatModel())


def test_input_key_names_the_variable_that_takes_a_string() -> None:
    llm = RecordingChatModel()
    template = ChatPromptTemplate.from_template("{candidates}|{title}|{body}").partial(title="fixed")
    (shunt(THREE, input_key="body") | (template | llm)).invoke("Rain?")
    assert llm.calls[0].text == "sports, weather, politics|fixed|Rain?"


def test_an_input_key_that_the_template_lacks_raises_while_building() -> None:
    with pytest.raises(CompositionError, match="nonsense"):
        shunt(input_key="nonsense") | (ChatPromptTemplate.from_template("{prior} {body}") | RecordingChatModel())


def test_an_input_key_without_a_template_with_hints_raises_while_building() -> None:
    with pytest.raises(CompositionError, match="input_key"):
        shunt(input_key="body") | RunnableLambda(echo)


@pytest.mark.parametrize("taken", ["candidates", "prior", "prediction"])
def test_a_mapping_with_a_key_that_the_shunt_fills_raises_before_any_model_runs(taken: str) -> None:
    small, llm = small_model(), RecordingChatModel()
    template = ChatPromptTemplate.from_template("{candidates} {prior} {prediction} {text}")
    with pytest.raises(InvalidInputError, match=taken):
        (shunt(small, input="text") | (template | llm)).invoke({"text": HARD, taken: "mine"})
    assert (small.calls, llm.calls) == (0, [])


def test_a_mapping_that_lacks_a_variable_of_the_template_raises_before_any_model_runs() -> None:
    small, llm = small_model(), RecordingChatModel()
    template = ChatPromptTemplate.from_template("{candidates} {title} {text}")
    with pytest.raises(InvalidInputError, match="title"):
        (shunt(small, input="text", input_key="text") | (template | llm)).invoke({"text": HARD})
    assert (small.calls, llm.calls) == (0, [])


def test_a_key_of_that_name_is_ordinary_where_the_template_does_not_declare_it() -> None:
    llm = RecordingChatModel()
    template = ChatPromptTemplate.from_template("{prior} {text} {prediction_market}")
    value = {"text": HARD, "prediction_market": "x", "candidates": "mine"}
    (shunt(input="text", input_key="text") | (template | llm)).invoke(value)
    assert llm.calls[0].text.endswith(f"{HARD} x")


def test_a_template_with_hints_may_take_a_history_of_messages() -> None:
    llm = RecordingChatModel()
    template = ChatPromptTemplate.from_messages(
        [("system", "Prior: {prior}"), MessagesPlaceholder("history"), ("human", "{text}")]
    )
    chain = shunt(input="text", input_key="text") | (template | llm)
    chain.invoke({"history": [HumanMessage("hi"), AIMessage("hello")], "text": HARD})
    assert [message.type for message in llm.calls[0].messages] == ["system", "human", "ai", "human"]


def test_a_template_without_hints_gets_the_callers_input_unchanged() -> None:
    llm = RecordingChatModel()
    template = ChatPromptTemplate.from_template("{title}: {body}")
    (shunt(input="body") | (template | llm)).invoke({"title": "t", "body": HARD})
    assert llm.calls[0].text == f"t: {HARD}"
    (shunt() | (ChatPromptTemplate.from_template("Rate: {body}") | llm)).invoke(HARD)
    assert llm.calls[1].text == f"Rate: {HARD}"


def test_a_bare_chat_model_gets_a_text_in_the_pruning_prompt() -> None:
    llm = RecordingChatModel()
    (shunt(THREE) | llm).invoke("Rain?")
    sent = "\n".join(message.text for message in llm.calls[0].messages)
    assert "Rain?" in sent
    for label in THREE.classes_:
        assert label in sent


WRAPPED_MODELS = {
    "bound": lambda llm: llm.bind(stop=["."]),
    "with config": lambda llm: llm.with_config(tags=["x"]),
    "with retry": lambda llm: llm.with_retry(),
    "with fallbacks": lambda llm: llm.with_fallbacks([RecordingChatModel()]),
    "with types": lambda llm: llm.with_types(input_type=str),
}


@pytest.mark.parametrize("wrap", WRAPPED_MODELS.values(), ids=WRAPPED_MODELS)
def test_a_wrapped_chat_model_is_fed_like_a_bare_one(wrap: Any) -> None:
    plain, wrapped = RecordingChatModel(), RecordingChatModel()
    (shunt(THREE) | plain).invoke("Rain?")
    (shunt(THREE) | wrap(wrapped)).invoke("Rain?")
    assert wrapped.calls[0].messages == plain.calls[0].messages


def test_the_pruning_prompt_before_a_bare_chat_model_can_be_ones_own() -> None:
    llm = RecordingChatModel()
    template = PromptPruningTemplate(THREE.classes_, instructions="Which desk?", hints="both", text_variable="letter")
    (shunt(THREE, prompt=template, candidates=TopK(2)) | llm).invoke("Rain?")
    system, human = llm.calls[0].messages
    assert system.text.startswith("Which desk?")
    assert "politics" not in system.text
    assert human.text == "Rain?"


def test_a_plain_chat_template_can_be_the_prompt_before_a_bare_chat_model() -> None:
    llm = RecordingChatModel()
    template = ChatPromptTemplate.from_template("Pick one of {candidates} for: {text}")
    (shunt(THREE, prompt=template) | llm).invoke("Rain?")
    assert llm.calls[0].text == "Pick one of sports, weather, politics for: Rain?"


CONVERSATIONS = [
    [SystemMessage("Classify."), HumanMessage(HARD)],
    ChatPromptValue(messages=[SystemMessage("Classify."), HumanMessage(HARD)]),
    [("system", "Classify."), ("human", HARD)],
]


@pytest.mark.parametrize("value", CONVERSATIONS, ids=["messages", "prompt value", "tuples"])
def test_a_conversation_reaches_a_bare_chat_model_unchanged(value: Any) -> None:
    llm = RecordingChatModel()
    (shunt() | llm).invoke(value)
    assert llm.calls[0].messages == [SystemMessage("Classify."), HumanMessage(HARD)]


@pytest.mark.parametrize("value", CONVERSATIONS, ids=["messages", "prompt value", "tuples"])
def test_hint_position_system_adds_one_system_message_to_a_conversation(value: Any) -> None:
    llm = RecordingChatModel()
    small = ScriptedSmallModel(["positive", "negative"], {}, default=[0.71, 0.29])
    (shunt(small, hint_position="system") | llm).invoke(value)
    sent = llm.calls[0].messages
    assert len(sent) == 3
    assert sent[0] == SystemMessage("Classify.")
    assert sent[-1] == HumanMessage(HARD)
    assert sent[1].type == "system"
    assert "positive 71 %" in sent[1].text


def test_another_hint_position_raises_while_building() -> None:
    with pytest.raises((TypeError, ValueError), match=r"bottom"):
        shunt(hint_position="bottom") | RecordingChatModel()


@pytest.mark.parametrize("value", [{"text": EASY}, {"text": HARD}], ids=["easy", "hard"])
def test_a_mapping_into_a_bare_chat_model_raises_before_any_model_runs(value: Any) -> None:
    small, llm = small_model(), RecordingChatModel()
    with pytest.raises(InvalidInputError, match=r"prompt \| llm"):
        (shunt(small) | llm).invoke(value)
    assert (small.calls, llm.calls) == (0, [])


def test_any_other_large_branch_gets_the_callers_input_itself() -> None:
    seen: list[Any] = []

    def ask(value: Any) -> str:
        seen.append(value)
        return "answer"

    value = {"text": HARD, "user": object()}
    (shunt() | RunnableLambda(ask)).invoke(value)
    assert seen[0] is value


def test_the_decision_travels_in_the_config_of_the_large_branch() -> None:
    llm = RecordingChatModel()
    (shunt() | llm).invoke(HARD, {"configurable": {"user": "mary"}})
    configurable = llm.calls[0].config["configurable"]
    decision = configurable["datashunt_decision"]
    assert isinstance(decision, Decision)
    assert (decision.route, decision.reason) == ("large", "below_threshold")
    assert configurable["user"] == "mary"


def test_in_a_batch_each_inner_step_finds_the_decision_of_its_own_item() -> None:
    seen: dict[str, str] = {}

    def look(text: str, config: RunnableConfig) -> str:
        seen[text] = config["configurable"]["datashunt_decision"].prediction.label
        return text

    small = ScriptedSmallModel(["a", "b"], {"1": [0.6, 0.4], "2": [0.4, 0.6], "3": [0.7, 0.3]})
    branch = RunnableLambda(str.strip) | RunnableLambda(look) | RunnableLambda(str.strip).with_types(output_type=str)
    (shunt(small) | branch).batch(["1", "2", "3"])
    assert seen == {"1": "a", "2": "b", "3": "a"}


async def test_in_an_async_batch_each_inner_step_finds_the_decision_of_its_own_item() -> None:
    seen: dict[str, str] = {}

    async def look(text: str, config: RunnableConfig) -> str:
        seen[text] = config["configurable"]["datashunt_decision"].prediction.label
        return text

    small = ScriptedSmallModel(["a", "b"], {"1": [0.6, 0.4], "2": [0.4, 0.6], "3": [0.7, 0.3]})
    await (shunt(small) | RunnableLambda(look)).abatch(["1", "2", "3"])
    assert seen == {"1": "a", "2": "b", "3": "a"}


def test_the_decision_does_not_leak_to_steps_behind_the_shunt() -> None:
    seen: list[Any] = []

    def look(message: AIMessage, config: RunnableConfig) -> AIMessage:
        seen.append(config.get("configurable", {}).get("datashunt_decision"))
        return message

    (shunt() | RecordingChatModel() | look).batch([EASY, HARD])
    assert seen == [None, None]


def test_a_model_that_knows_no_probabilities_offers_neither_candidates_nor_prior() -> None:
    small = ScriptedSmallModel(["sports", "politics", "weather"], {}, default=[0.6, 0.2, 0.2])
    small.probabilities_known = False
    llm = RecordingChatModel()
    template = ChatPromptTemplate.from_template("{candidates}|{prior}|{prediction}|{review}")
    chain = shunt(small, candidates=TopK(1)) | (template | llm)
    message = chain.invoke("Rain?")
    assert llm.calls[0].text == "sports, politics, weather||sports|Rain?"
    assert record(message)["candidates"] is None


def test_where_the_small_model_failed_every_class_is_a_candidate_and_the_prior_is_empty() -> None:
    llm = RecordingChatModel()
    template = ChatPromptTemplate.from_template("{candidates}|{prior}|{review}")
    (shunt(small_model(nan_on=[HARD]), candidates=TopK(1)) | (template | llm)).invoke(HARD)
    assert llm.calls[0].text == f"positive, negative||{HARD}"


def test_the_large_branch_never_sees_an_accepted_input() -> None:
    llm = RecordingChatModel()
    chain = shunt() | llm
    chain.batch([EASY] * 5)
    assert llm.calls == []
    assert chain.invoke_with_decision(EASY)[1].prediction.confidence == pytest.approx(SURE)
