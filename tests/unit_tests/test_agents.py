"""A small model in front of an agent's model."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hard_samples import EASY, HARD, model, only, small_model
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.tools import tool
from pydantic import BaseModel

from langchain_datashunt import CompositionError, HardSampleCallbackHandler, HardSampleStore, InvalidInputError
from langchain_datashunt.testing import KeywordSmallModel, RecordingChatModel, ScriptedSmallModel

pytest.importorskip("langchain.agents", reason="langchain asks for another langchain-core")

from langchain.agents import create_agent
from langchain.agents.middleware import AgentMiddleware, ExtendedModelResponse, ModelRequest, ModelResponse
from langchain.agents.structured_output import ToolStrategy
from langgraph.types import Command

from langchain_datashunt.agents import DataShuntMiddleware, is_plain_turn


class Verdict(BaseModel):
    label: str


@pytest.fixture
def store(tmp_path: Path) -> Iterator[HardSampleStore]:
    with HardSampleStore(tmp_path / "samples.db") as store:
        yield store


def agent_of(llm: RecordingChatModel, *, small: Any = None, tools: Any = (), **options: Any) -> Any:
    middleware = DataShuntMiddleware(small or small_model(), threshold=0.8, **options)
    return create_agent(llm, list(tools), middleware=[middleware])


def asked(text: Any, *before: Any) -> dict[str, Any]:
    return {"messages": [*before, HumanMessage(text)]}


def last(state: dict[str, Any]) -> AIMessage:
    message = state["messages"][-1]
    assert isinstance(message, AIMessage)
    return message


def route(message: AIMessage) -> str:
    return str(message.response_metadata["datashunt"]["route"])


@tool
def look_up(what: str) -> str:
    """Look something up."""
    return f"nothing good about {what}"


def tool_call(text: str = HARD) -> AIMessage:
    return AIMessage("", tool_calls=[{"name": "look_up", "args": {"what": text}, "id": "1"}])


async def test_a_plain_human_turn_that_the_small_model_is_sure_of_never_reaches_the_agents_model() -> None:
    llm = model()
    agent = agent_of(llm, tools=[look_up])
    for message in (last(agent.invoke(asked(EASY))), last(await agent.ainvoke(asked(EASY)))):
        assert (message.content, route(message)) == ("positive", "small")
    assert llm.calls == []


async def test_a_deferred_turn_gets_the_agents_models_answer_with_the_record_of_the_decision() -> None:
    llm = model("on the one hand")
    agent = agent_of(llm)
    for message in (last(agent.invoke(asked(HARD))), last(await agent.ainvoke(asked(HARD)))):
        assert (message.content, route(message)) == ("on the one hand", "large")
        assert message.response_metadata["datashunt"]["label"] == "positive"
        assert message.usage_metadata is not None
    assert len(llm.calls) == 2


def test_the_agents_model_sees_what_it_would_see_without_the_shunt() -> None:
    seen: list[list[Any]] = []
    for middleware in ([], [DataShuntMiddleware(small_model(), threshold=0.8)]):
        llm = model()
        agent = create_agent(llm, [], system_prompt="Be brief.", middleware=middleware)
        agent.invoke(asked(HARD, HumanMessage("hello"), AIMessage("hello")))
        seen.append([(message.type, message.content) for message in llm.calls[0].messages])
    assert seen[0] == seen[1]


def test_within_a_tool_loop_the_small_model_is_not_asked() -> None:
    small = small_model()
    llm = model(lambda messages: AIMessage("a good answer") if messages[-1].type == "tool" else tool_call())
    state = agent_of(llm, small=small, tools=[look_up]).invoke(asked(HARD))
    assert [message.type for message in state["messages"]] == ["human", "ai", "tool", "ai"]
    assert "datashunt" not in last(state).response_metadata
    assert small.batch_sizes == [1]  # the human turn
    assert len(llm.calls) == 2


@pytest.mark.parametrize(
    ("options", "plain"),
    [
        ({"messages": [HumanMessage(EASY)]}, True),
        ({"messages": [HumanMessage([{"type": "text", "text": EASY}])]}, True),
        ({"messages": [HumanMessage("hello"), AIMessage("hello"), HumanMessage(EASY)]}, True),
        ({"messages": [HumanMessage("a"), tool_call(), ToolMessage("b", tool_call_id="1"), HumanMessage(EASY)]}, True),
        ({"messages": [HumanMessage("a"), tool_call(), ToolMessage(EASY, tool_call_id="1")]}, False),
        ({"messages": [HumanMessage("a"), tool_call(), HumanMessage(EASY)]}, False),
        ({"messages": [HumanMessage(EASY), AIMessage("go on")]}, False),
        ({"messages": [HumanMessage([{"type": "text", "text": EASY}, {"type": "image", "url": "x"}])]}, False),
        ({"messages": []}, False),
        ({"messages": [HumanMessage(EASY)], "tool_choice": "any"}, False),
        ({"messages": [HumanMessage(EASY)], "response_format": ToolStrategy(Verdict)}, False),
    ],
)
def test_only_a_persons_text_on_which_nothing_else_hangs_is_a_plain_turn(options: Any, plain: bool) -> None:
    assert is_plain_turn(ModelRequest(model=model(), **options)) is plain


def test_with_a_response_format_the_agents_model_answers() -> None:
    llm = model(AIMessage("", tool_calls=[{"name": "Verdict", "args": {"label": "negative"}, "id": "1"}]))
    middleware = DataShuntMiddleware(small_model(), threshold=0.8)
    agent = create_agent(llm, [], middleware=[middleware], response_format=ToolStrategy(Verdict))
    assert agent.invoke(asked(EASY))["structured_response"] == Verdict(label="negative")


def test_the_answer_is_made_of_the_prediction() -> None:
    spoken = agent_of(model(), answer=lambda prediction: f"That sounds {prediction.label}.")
    assert last(spoken.invoke(asked(EASY))).content == "That sounds positive."
    made = agent_of(model(), answer=lambda _: AIMessage("ready", additional_kwargs={"card": 7}))
    message = last(made.invoke(asked(EASY)))
    assert (message.additional_kwargs, route(message)) == ({"card": 7}, "small")
    with pytest.raises(CompositionError, match="answer= is a function of the prediction; got dict"):
        agent_of(model(), answer={"positive": "Great!"})
    with pytest.raises(InvalidInputError, match="answer= returns a text or an AIMessage; got int: 7"):
        agent_of(model(), answer=lambda _: 7).invoke(asked(EASY))


def test_a_request_may_set_the_threshold_and_the_route() -> None:
    agent = agent_of(model("from the llm"))
    for options in ({"datashunt_route": "large"}, {"datashunt_threshold": 1.0}):
        message = last(agent.invoke(asked(EASY), {"configurable": options}))
        assert (message.content, route(message)) == ("from the llm", "large")


def test_a_small_model_that_fails_leaves_the_turn_to_the_agents_model() -> None:
    small = ScriptedSmallModel(["a", "b"], {}, raise_on=[HARD])
    message = last(agent_of(model("from the llm"), small=small).invoke(asked(HARD)))
    assert (message.content, route(message)) == ("from the llm", "large_on_error")


async def test_the_log_sees_deferred_and_audited_turns(store: HardSampleStore) -> None:
    config: Any = {"callbacks": [HardSampleCallbackHandler(store)], "tags": ["customer:17"]}
    agent = agent_of(model("clearly negative"), audit_rate=1.0)
    agent.invoke(asked(HARD), config)
    await agent.ainvoke(asked(f"{HARD}, again"), config)
    list(agent.stream(asked(f"{HARD}, streamed"), config, stream_mode="messages"))
    agent.invoke(asked(EASY), config)
    kept = {sample.input: sample for sample in store.iter_samples()}
    assert {text: sample.route for text, sample in kept.items()} == {
        HARD: "large",
        f"{HARD}, again": "large",
        f"{HARD}, streamed": "large",
        EASY: "audit",
    }
    for sample in kept.values():
        assert (sample.label, sample.trainable, sample.attempts, sample.tags) == ("negative", True, 1, ("customer:17",))
        assert sample.metadata == {}


def test_an_error_of_the_agents_model_is_raised_and_leaves_an_incomplete_record(store: HardSampleStore) -> None:
    def fail(_: Any) -> str:
        raise ConnectionError("the line is down")

    with pytest.raises(ConnectionError, match="the line is down"):
        agent_of(model(fail)).invoke(asked(HARD), {"callbacks": [HardSampleCallbackHandler(store)]})
    assert not only(store).complete


def test_a_tool_call_of_a_deferred_turn_is_kept_and_trains_nothing(store: HardSampleStore) -> None:
    llm = model(lambda messages: AIMessage("done") if messages[-1].type == "tool" else tool_call())
    agent_of(llm, tools=[look_up]).invoke(asked(HARD), {"callbacks": [HardSampleCallbackHandler(store)]})
    sample = only(store)
    assert (sample.complete, sample.label, sample.trainable) == (True, None, False)
    assert "look_up" in (sample.raw or "")


def test_tokens_of_a_deferred_turn_stream() -> None:
    chunks = [
        chunk.content
        for chunk, _ in agent_of(model("one two three")).stream(asked(HARD), stream_mode="messages")
        if chunk.content
    ]
    assert "".join(chunks) == "one two three"
    assert len(chunks) > 1


async def test_turns_at_the_same_time_get_their_own_answers() -> None:
    agent = agent_of(model(lambda messages: f"about {messages[-1].text}", delay=0.01))
    texts = [f"{EASY} {i}" if i % 3 == 0 else f"{HARD} {i}" for i in range(60)]
    states = await asyncio.gather(*(agent.ainvoke(asked(text)) for text in texts))
    wanted = ["positive" if text.startswith(EASY) else f"about {text}" for text in texts]
    assert [last(state).content for state in states] == wanted


def test_what_other_middleware_returns_goes_through() -> None:
    class Counting(AgentMiddleware[Any, Any, Any]):
        def wrap_model_call(self, request: Any, handler: Any) -> Any:
            command: Command[Any] = Command(update={"messages": [HumanMessage("noted")]})
            return ExtendedModelResponse(handler(request), command)

    middleware = [DataShuntMiddleware(small_model(), threshold=0.8), Counting()]
    messages = create_agent(model("from the llm"), [], middleware=middleware).invoke(asked(HARD))["messages"]
    assert [message.content for message in messages] == [HARD, "from the llm", "noted"]
    assert route(messages[1]) == "large"


def test_outside_an_agent_a_bare_message_of_the_handler_is_stamped() -> None:
    request = ModelRequest(model=model(), messages=[HumanMessage(HARD)])
    middleware = DataShuntMiddleware(small_model(), threshold=0.8)
    assert route(middleware.wrap_model_call(request, lambda _: AIMessage("bare"))) == "large"
    response = middleware.wrap_model_call(request, lambda _: ModelResponse(result=[AIMessage("in a response")]))
    assert route(response.result[0]) == "large"


def test_an_own_input_may_look_at_the_whole_conversation() -> None:
    small = KeywordSmallModel({"positive": ["good"], "negative": ["bad"]})
    agent = agent_of(model("from the llm"), small=small, input=lambda messages: " ".join(m.text for m in messages))
    assert route(last(agent.invoke(asked("and now?", HumanMessage("bad"), AIMessage("hm"))))) == "small"


def test_without_langchain_the_error_says_what_to_install() -> None:
    code = "import sys; sys.modules['langchain.agents.middleware'] = None; import langchain_datashunt.agents"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)  # noqa: S603  our own interpreter
    assert "DataShuntMiddleware needs packages that are not installed" in done.stderr
    assert "pip install 'langchain-datashunt[agents]'" in done.stderr
