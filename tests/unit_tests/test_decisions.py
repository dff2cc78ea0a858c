"""A chain with a shunt, and a small model alone, as LangChain decision models that route an agent."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hard_samples import EASY, HARD, LABELS, model, only, parser, shunt, small_model
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.runnables import RunnableLambda

from langchain_datashunt import (
    CompositionError,
    HardSampleCallbackHandler,
    HardSampleStore,
    InvalidInputError,
    PolicyMismatchError,
    RunnableDataShunt,
    ShuntPolicy,
    SmallModelError,
)
from langchain_datashunt.policy.calibration import TemperatureScaling
from langchain_datashunt.testing import KeywordSmallModel, ScriptedSmallModel

pytest.importorskip("langchain_core.decisions", reason="needs langchain-core 1.8")

from langchain_core.decisions import BaseDecisionModel, Choice, ClassifierResponse, Noul

from langchain_datashunt.decisions import ShuntDecisions, SmallModelDecisions

MOOD = Choice(instructions="Which mood?", criteria={"negative": "Complaints.", "positive": "Praise."})


def asked(state: Any, **questions: Any) -> Any:
    return {"state": state, "questions": questions or {"mood": MOOD}}


def mood(response: ClassifierResponse) -> tuple[str, float]:
    answer = response.choices["mood"]
    return answer.choice, answer.confidence


def shunt_decisions(llm: Any = None, small: Any = None) -> ShuntDecisions:
    return ShuntDecisions(shunt(small or small_model(), llm or model("it is negative")) | parser())


async def test_a_small_model_answers_a_choice_with_its_probabilities() -> None:
    decisions = SmallModelDecisions(small_model(), model="keywords")
    assert isinstance(decisions, BaseDecisionModel)
    for response in (decisions.invoke(asked(EASY)), await decisions.ainvoke(asked(EASY))):
        assert (response.model, mood(response)) == ("keywords", ("positive", 0.98))
        assert response.choices["mood"].probabilities == pytest.approx({"positive": 0.98, "negative": 0.02})


def test_a_policy_calibrates_and_must_be_the_small_models() -> None:
    small = ScriptedSmallModel(LABELS, lambda _: [0.9, 0.1], version="1")
    policy = ShuntPolicy(
        classes=tuple(LABELS), threshold=0.5, calibration=TemperatureScaling(2.0), small_model_version="1"
    )
    label, confidence = mood(SmallModelDecisions(small, policy=policy).invoke(asked("x")))
    assert (label, confidence) == ("positive", pytest.approx(0.75))  # odds of 9 become odds of 3
    with pytest.raises(PolicyMismatchError):
        SmallModelDecisions(ScriptedSmallModel(LABELS, {}, version="2"), policy=policy)


async def test_a_shunts_answer_says_who_gave_it() -> None:
    llm = model("it is negative")
    decisions = shunt_decisions(llm)
    for easy in (decisions.invoke(asked(EASY)), await decisions.ainvoke(asked(EASY))):
        assert (easy.model, mood(easy)) == ("datashunt/small", ("positive", 0.98))
    assert llm.calls == []
    for hard in (decisions.invoke(asked(HARD)), await decisions.ainvoke(asked(HARD))):
        assert (hard.model, mood(hard)) == ("datashunt/large", ("negative", 0.5))
        assert hard.choices["mood"].probabilities == {"positive": 0.5, "negative": 0.5}  # the small model's
    assert len(llm.calls) == 2


async def test_a_batch_is_one_small_pass_and_one_large_batch_and_keeps_its_order() -> None:
    small, llm = small_model(), model("it is negative")
    decisions = shunt_decisions(llm, small)
    requests = [asked(f"{EASY} {i}" if i % 2 else f"{HARD} {i}") for i in range(8)]
    wanted = [("positive", 0.98) if i % 2 else ("negative", 0.5) for i in range(8)]
    assert [mood(response) for response in decisions.batch(requests)] == wanted
    assert small.batch_sizes == [8]
    assert [mood(response) for response in await decisions.abatch(requests)] == wanted
    assert small.batch_sizes == [8, 8]
    assert [mood(r)[0] for r in SmallModelDecisions(small).batch(requests[1::2])] == ["positive"] * 4
    assert small.batch_sizes == [8, 8, 4]
    assert decisions.batch([]) == []


async def test_states_are_texts_and_messages() -> None:
    decisions = SmallModelDecisions(small_model())
    for state in (EASY, HumanMessage(EASY), [HumanMessage("bad"), AIMessage("no"), HumanMessage(EASY)], {"t": EASY}):
        assert mood(decisions.invoke(asked(state)))[0] == "positive"
    with pytest.raises(InvalidInputError, match="there is none among"):
        decisions.invoke(asked(AIMessage(EASY)))


async def test_questions_that_the_small_model_cannot_answer_are_refused_before_any_model_runs() -> None:
    small, llm = small_model(), model()
    decisions = shunt_decisions(llm, small)
    other = Choice(instructions="?", criteria={"positive": None, "neutral": None})
    with pytest.raises(
        InvalidInputError, match=r"'topic'.*among \['positive', 'negative'\].*got \['positive', 'neutral'\]"
    ):
        decisions.invoke(asked(EASY, topic=other))
    with pytest.raises(InvalidInputError, match="got Noul"):
        await decisions.ainvoke(asked(EASY, urgent=Noul(instructions="?")))
    found = decisions.batch([asked(EASY), asked(EASY, topic=other)], return_exceptions=True)
    assert mood(found[0])[0] == "positive"
    assert isinstance(found[1], InvalidInputError)
    assert small.batch_sizes == [1]
    with pytest.raises(InvalidInputError):
        await decisions.abatch([asked(EASY), asked(EASY, topic=other)])
    assert llm.calls == []


def test_one_failing_input_of_a_batch_spoils_no_other() -> None:
    def answers(messages: Any) -> str:
        if "7" in messages[-1].text:
            raise ConnectionError("the line is down")
        return "negative"

    decisions = shunt_decisions(model(answers))
    found = decisions.batch([asked(f"{HARD} {i}") for i in (6, 7, 8)], return_exceptions=True)
    assert [mood(found[0])[0], mood(found[2])[0]] == ["negative"] * 2
    assert isinstance(found[1], ConnectionError)
    with pytest.raises(ConnectionError):
        decisions.invoke(asked(f"{HARD} 7"))


async def test_one_input_that_the_small_model_fails_on_spoils_no_other() -> None:
    decisions = SmallModelDecisions(ScriptedSmallModel(LABELS, lambda _: [0.9, 0.1], raise_on=[HARD]))
    requests = [asked(EASY), asked(HARD), asked(EASY)]
    for found in (
        decisions.batch(requests, return_exceptions=True),
        await decisions.abatch(requests, return_exceptions=True),
    ):
        assert [isinstance(each, ValueError) for each in found] == [False, True, False]
        assert mood(found[2])[0] == "positive"
    for once in (lambda: decisions.invoke(requests[1]), lambda: decisions.batch(requests)):
        with pytest.raises(ValueError, match=HARD):
            once()


def test_a_small_model_that_fails_or_knows_one_probability_gives_what_it_knows() -> None:
    failing = ScriptedSmallModel(LABELS, {}, raise_on=[HARD])
    response = shunt_decisions(small=failing).invoke(asked(HARD))
    assert (response.model, mood(response)) == ("datashunt/large_on_error", ("negative", 0.5))
    sure = KeywordSmallModel({"positive": ["good"], "negative": ["bad"]})
    sure.probabilities_known = False  # type: ignore[attr-defined]
    assert mood(shunt_decisions(small=sure).invoke(asked(EASY))) == ("positive", 0.98)


def test_the_log_sees_the_shunt_behind_a_decision(tmp_path: Path) -> None:
    with HardSampleStore(tmp_path / "samples.db") as store:
        config: Any = {"callbacks": [HardSampleCallbackHandler(store)], "tags": ["customer:17"]}
        decisions = shunt_decisions()
        decisions.invoke(asked(HARD), config)
        sample = only(store)
        assert (sample.input, sample.label, sample.trainable) == (HARD, "negative", True)
        decisions.batch([asked(HARD), asked(EASY)], config)
        assert only(store).complete_count == 2


def test_what_is_no_chain_with_a_shunt_is_refused() -> None:
    for chain in (RunnableLambda(str), model() | parser()):
        with pytest.raises(CompositionError, match="one bound shunt"):
            ShuntDecisions(chain)
    with pytest.raises(SmallModelError, match="put a PromptPruningOutputParser"):
        ShuntDecisions(shunt(small_model(), model("I am not sure"))).invoke(asked(HARD))


ROUTES = {"fast": ["lookup"], "strong": ["proof"]}


@pytest.fixture
def router() -> Any:
    middleware = pytest.importorskip("langchain.agents.middleware", reason="needs langchain with the model router")

    def agent(classifier: Any) -> Any:
        from langchain.agents import create_agent

        choices = {
            "fast": middleware.ModelChoice(model("from the fast one"), "Lookups."),
            "strong": middleware.ModelChoice(model("from the strong one"), "Reasoning."),
        }
        route = middleware.ModelRouterMiddleware(choices=choices, instructions="Be thrifty.", classifier=classifier)
        return create_agent(model("from nobody"), [], middleware=[route])

    return agent


@pytest.mark.filterwarnings("ignore")  # the middleware is in beta
async def test_both_drive_langchains_own_model_router(router: Any) -> None:
    small = KeywordSmallModel(ROUTES)
    chain = RunnableDataShunt(small, threshold=0.8) | model("strong") | parser_of(ROUTES)
    for classifier in (SmallModelDecisions(small), ShuntDecisions(chain)):
        agent = router(classifier)
        for text, wanted in (("a lookup", "from the fast one"), ("a proof", "from the strong one")):
            assert agent.invoke({"messages": [("human", text)]})["messages"][-1].content == wanted
            state = await agent.ainvoke({"messages": [("human", text)]})
            assert state["messages"][-1].content == wanted
    state = router(ShuntDecisions(chain)).invoke({"messages": [("human", "who knows")]})
    assert state["messages"][-1].content == "from the strong one"  # the large model chose
    assert state["model_route"].choice == "strong"


def parser_of(labels: Any) -> Any:
    from langchain_datashunt import PromptPruningOutputParser

    return PromptPruningOutputParser(list(labels))
