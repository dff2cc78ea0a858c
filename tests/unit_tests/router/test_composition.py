"""The composition table: what `|` must do, row by row."""

from __future__ import annotations

import pytest
from langchain_core.messages import AIMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate, PromptTemplate
from langchain_core.runnables import Runnable, RunnableLambda, RunnablePassthrough, RunnableSequence
from reviews import EASY, HARD, record, shunt, small_model

from langchain_datashunt import CompositionError, RunnableDataShunt, ShuntPolicy, UnboundDataShunt
from langchain_datashunt.testing import RecordingChatModel, ScriptedSmallModel

PROMPT = ChatPromptTemplate.from_template("Sentiment of: {text}")
WITH_HINTS = ChatPromptTemplate.from_template("One of {candidates}. Prior: {prior}. Text: {text}")
BARE_PROMPT = ChatPromptTemplate.from_messages([("human", "{text}")])
WHAT_TO_WRITE = r"shunt \| llm"


def test_shunt_then_llm_answers_easy_inputs_itself_and_asks_the_llm_for_the_others() -> None:
    llm = RecordingChatModel(answers="from the llm")
    chain = shunt() | llm
    assert chain.invoke(EASY).content == "positive"
    assert llm.calls == []
    assert chain.invoke(HARD).content == "from the llm"
    assert len(llm.calls) == 1


def test_shunt_then_llm_then_parser_gives_the_parsers_output_from_both_branches() -> None:
    chain = shunt() | RecordingChatModel(answers="from the llm") | StrOutputParser()
    assert chain.batch([EASY, HARD]) == ["positive", "from the llm"]


def test_shunt_then_a_bracketed_prompt_and_llm_then_parser() -> None:
    llm = RecordingChatModel(answers="from the llm")
    chain = shunt() | (WITH_HINTS | llm) | StrOutputParser()
    assert chain.batch([EASY, HARD]) == ["positive", "from the llm"]
    assert f"Text: {HARD}" in llm.calls[0].text


def test_prompt_then_a_bracketed_shunt_and_llm_then_parser() -> None:
    llm = RecordingChatModel(answers="from the llm")
    chain = BARE_PROMPT | (shunt() | llm) | StrOutputParser()
    assert chain.batch([{"text": EASY}, {"text": HARD}]) == ["positive", "from the llm"]
    assert [call.text for call in llm.calls] == [HARD]


def test_anything_then_a_shunt_bound_with_to() -> None:
    chain = RunnableLambda(str.strip) | shunt().to(RecordingChatModel(answers="from the llm")) | StrOutputParser()
    assert chain.batch([f"  {EASY} ", f" {HARD} "]) == ["positive", "from the llm"]


def test_a_function_or_a_dict_may_stand_before_a_bound_shunt() -> None:
    bound = shunt() | RecordingChatModel(answers="from the llm") | StrOutputParser()
    assert (RunnableLambda(str.upper) | RunnableLambda(str.lower) | bound).invoke(EASY) == "positive"
    with_dict = {"text": RunnablePassthrough()} | (BARE_PROMPT | (shunt() | RecordingChatModel()))
    assert with_dict.invoke(EASY).content == "positive"


def test_the_large_branch_may_be_given_to_the_constructor() -> None:
    llm = RecordingChatModel(answers="from the llm")
    chain = RunnableDataShunt(small_model(), threshold=0.9, large=WITH_HINTS | llm)
    assert isinstance(chain, Runnable)
    assert [message.content for message in chain.batch([EASY, HARD])] == ["positive", "from the llm"]


def test_pipe_binds_like_the_bar() -> None:
    chain = shunt().pipe(RecordingChatModel(answers="from the llm"), StrOutputParser(), name="triage")
    assert chain.batch([EASY, HARD]) == ["positive", "from the llm"]
    assert chain.get_name() == "triage"
    assert shunt().pipe(RecordingChatModel()).invoke(EASY).content == "positive"


def test_pipe_names_a_shunt_that_nothing_follows() -> None:
    assert shunt().pipe(RecordingChatModel(), name="triage").get_name() == "triage"


@pytest.mark.parametrize("position", ["leftmost", "after a step"])
def test_a_chain_that_starts_with_a_bound_shunt_stays_whole_when_composed_again(position: str) -> None:
    llm = RecordingChatModel(answers="from the llm")
    inner = shunt() | llm | StrOutputParser()
    chain = (inner | str.upper) if position == "leftmost" else (RunnableLambda(str.strip) | inner | str.upper)
    assert chain.batch([EASY, HARD]) == ["POSITIVE", "FROM THE LLM"]
    assert len(llm.calls) == 1


def test_a_shunt_in_the_large_branch_of_a_shunt_makes_three_tiers() -> None:
    first = ScriptedSmallModel(["a", "b"], {"easy": [0.99, 0.01]}, version="first")
    second = ScriptedSmallModel(["a", "b"], {"medium": [0.01, 0.99]}, version="second")
    llm = RecordingChatModel(answers="from the llm")
    chain = RunnableDataShunt(first, threshold=0.9) | (RunnableDataShunt(second, threshold=0.9) | llm)
    assert [message.content for message in chain.batch(["easy", "medium", "hard"])] == ["a", "b", "from the llm"]
    assert first.batch_sizes == [3]
    assert second.batch_sizes == [2]
    assert len(llm.calls) == 1


def test_three_tiers_keep_both_records() -> None:
    second = ScriptedSmallModel(["positive", "negative"], {}, version="second")
    chain = shunt() | (shunt(second, threshold=0.6) | RecordingChatModel())
    outer = record(chain.invoke(HARD))
    assert (outer["route"], outer["small_model_version"], outer["threshold"]) == ("large", "keywords", 0.9)
    assert (outer["inner"]["route"], outer["inner"]["small_model_version"]) == ("large", "second")
    assert outer["inner"]["threshold"] == 0.6


def test_binding_an_unbound_shunt_twice_gives_two_independent_chains() -> None:
    unbound = shunt()
    one, two = unbound | RecordingChatModel(answers="one"), unbound | RecordingChatModel(answers="two")
    assert (one.invoke(HARD).content, two.invoke(HARD).content) == ("one", "two")


def test_without_a_large_branch_the_constructor_gives_an_unbound_shunt_that_is_no_runnable() -> None:
    unbound = shunt()
    assert isinstance(unbound, UnboundDataShunt)
    assert not isinstance(unbound, Runnable)
    for method in ("invoke", "ainvoke", "batch", "stream", "with_config", "bind", "get_graph"):
        assert not hasattr(unbound, method), method
    assert {name for name in dir(unbound) if not name.startswith("_")} == {"to", "pipe"}


@pytest.mark.parametrize("method", ["decide", "decide_batch", "invoke_with_decision", "as_node"])
def test_asking_an_unbound_shunt_to_decide_says_what_to_write_too(method: str) -> None:
    with pytest.raises(CompositionError, match=WHAT_TO_WRITE):
        getattr(shunt(), method)
    assert not hasattr(shunt(), "no_such_method")


def test_asking_an_unbound_shunt_to_run_says_what_to_write() -> None:
    with pytest.raises(TypeError, match=WHAT_TO_WRITE):
        shunt().invoke(EASY)


def test_a_prompt_before_an_unbound_shunt_raises_while_building() -> None:
    with pytest.raises(TypeError, match=WHAT_TO_WRITE):
        PROMPT | shunt() | RecordingChatModel()


def test_an_unbound_shunt_in_a_sequence_raises_while_building() -> None:
    with pytest.raises(TypeError, match=WHAT_TO_WRITE):
        RunnableSequence(shunt(), RecordingChatModel())
    with pytest.raises(TypeError, match=WHAT_TO_WRITE):
        RunnableSequence(PROMPT, shunt(), RecordingChatModel())


def test_an_unbound_shunt_inside_a_dict_or_a_parallel_raises_while_building() -> None:
    with pytest.raises(TypeError, match=WHAT_TO_WRITE):
        RunnablePassthrough() | {"sentiment": shunt()}


def test_a_dict_before_an_unbound_shunt_raises_while_building() -> None:
    with pytest.raises(TypeError, match=WHAT_TO_WRITE):
        {"text": RunnablePassthrough()} | shunt()


def test_a_function_before_an_unbound_shunt_raises_while_building() -> None:
    def strip(text: str) -> str:
        return text.strip()

    with pytest.raises(TypeError, match=WHAT_TO_WRITE):
        strip | shunt()
    with pytest.raises(TypeError, match=WHAT_TO_WRITE):
        RunnableLambda(strip) | shunt()


def test_an_llm_before_an_unbound_shunt_raises_while_building() -> None:
    with pytest.raises(TypeError, match=WHAT_TO_WRITE):
        RecordingChatModel() | shunt()


@pytest.mark.parametrize(
    "template",
    [PROMPT, WITH_HINTS, PromptTemplate.from_template("{text}"), PROMPT.with_config(tags=["bound"]), PROMPT.bind(a=1)],
    ids=["chat prompt", "with hints", "string prompt", "with config", "bound"],
)
def test_a_prompt_right_behind_an_unbound_shunt_raises_because_easy_answers_would_reach_the_llm(
    template: Runnable,
) -> None:
    with pytest.raises(TypeError):
        shunt() | template | RecordingChatModel()


def test_the_error_of_a_prompt_behind_a_shunt_says_to_use_brackets() -> None:
    with pytest.raises(TypeError, match=r"shunt \| \(prompt \| llm\)"):
        shunt() | PROMPT | RecordingChatModel()


def test_an_unbound_shunt_behind_an_unbound_shunt_says_where_the_brackets_go() -> None:
    with pytest.raises(TypeError, match=r"\| \(RunnableDataShunt\("):
        shunt() | shunt() | RecordingChatModel()


def test_a_parser_right_behind_an_unbound_shunt_raises() -> None:
    with pytest.raises(TypeError, match=r"shunt \| llm \| parser"):
        shunt() | StrOutputParser()


@pytest.mark.parametrize("large", [None, 5, "llm", object(), [RecordingChatModel()]])
def test_a_large_that_is_no_runnable_raises_and_names_what_came(large: object) -> None:
    with pytest.raises(CompositionError) as raised:
        shunt() | large
    assert type(large).__name__ in str(raised.value)
    assert "Runnable" in str(raised.value)


@pytest.mark.parametrize("large", [5, "llm", object()])
def test_the_constructor_refuses_a_large_that_is_no_runnable(large: object) -> None:
    with pytest.raises(CompositionError, match="Runnable"):
        shunt(large=large)


def test_a_function_that_returns_a_text_can_be_the_large_branch() -> None:
    def ask(text: str) -> str:
        return f"asked about {text}"

    assert (shunt() | ask).batch([EASY, HARD]) == ["positive", f"asked about {HARD}"]


def test_a_dict_of_runnables_can_be_the_large_branch_when_the_answer_is_shaped() -> None:
    chain = shunt(answer=lambda prediction: {"label": prediction.label}) | {"label": lambda text: f"asked {text}"}
    assert chain.batch([EASY, HARD]) == [{"label": "positive"}, {"label": f"asked {HARD}"}]


def test_exactly_one_of_policy_and_threshold_is_required() -> None:
    with pytest.raises(TypeError, match="exactly one"):
        RunnableDataShunt(small_model())
    policy = ShuntPolicy(classes=("positive", "negative"), threshold=0.9)
    with pytest.raises(TypeError, match="exactly one"):
        RunnableDataShunt(small_model(), threshold=0.9, policy=policy)


def test_what_follows_a_bound_shunt_continues_behind_both_branches() -> None:
    seen: list[AIMessage] = []

    def look(message: AIMessage) -> str:
        seen.append(message)
        return message.text

    chain = shunt() | RecordingChatModel() | look
    chain.batch([EASY, HARD])
    assert sorted(record(message)["route"] for message in seen) == ["large", "small"]
