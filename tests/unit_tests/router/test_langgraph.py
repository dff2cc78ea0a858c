"""Inside LangGraph: as a node, with messages, streaming, interrupts and tools."""

from __future__ import annotations

from typing import Annotated, Any, TypedDict

import pytest
from langchain_core.messages import AIMessage, AnyMessage, HumanMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.runnables import RunnableLambda
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, StateGraph
from langgraph.graph.message import add_messages
from langgraph.types import Command, interrupt
from reviews import EASY, HARD, record, shunt

from langchain_datashunt import InvalidInputError
from langchain_datashunt.testing import RecordingChatModel


class Review(TypedDict, total=False):
    text: str
    content: str
    label: str
    answer: Any
    decision: Any


class Talk(TypedDict):
    messages: Annotated[list[AnyMessage], add_messages]


def graph_of(node: Any, state: Any = Review, **options: Any) -> Any:
    graph = StateGraph(state)
    graph.add_node("triage", node)
    graph.add_edge(START, "triage")
    graph.add_edge("triage", END)
    return graph.compile(**options)


def labels() -> Any:
    return shunt() | (RecordingChatModel(answers="from the llm") | StrOutputParser())


def test_an_unbound_shunt_as_a_node_raises_while_building() -> None:
    with pytest.raises(TypeError, match=r"shunt \| llm"):
        StateGraph(Review).add_node("triage", shunt())


def test_as_node_reads_one_key_and_writes_one_key() -> None:
    graph = graph_of(labels().as_node(output_key="label", input_key="text"))
    assert graph.invoke({"text": EASY}) == {"text": EASY, "label": "positive"}
    assert graph.invoke({"text": HARD, "content": "kept"}) == {"text": HARD, "content": "kept", "label": "from the llm"}


def test_a_message_output_does_not_overwrite_state_keys_of_the_same_name() -> None:
    chain = shunt() | RecordingChatModel()
    state = graph_of(chain.as_node(output_key="answer", input_key="text")).invoke({"text": EASY, "content": "mine"})
    assert state["content"] == "mine"
    assert state["answer"].content == "positive"


async def test_as_node_works_in_async_graphs() -> None:
    graph = graph_of(labels().as_node(output_key="label", input_key="text"))
    assert (await graph.ainvoke({"text": HARD}))["label"] == "from the llm"


def test_as_node_without_an_input_key_takes_the_whole_state() -> None:
    chain = shunt(input="text") | RunnableLambda(lambda state: "asked").with_types(output_type=str)
    assert graph_of(chain.as_node(output_key="label")).invoke({"text": EASY})["label"] == "positive"


def test_as_node_names_the_keys_where_the_input_key_is_missing() -> None:
    graph = graph_of(labels().as_node(output_key="label", input_key="text"))
    with pytest.raises(InvalidInputError, match="'text'"):
        graph.invoke({"content": "x"})


def test_as_node_joins_a_conversation() -> None:
    graph = graph_of((shunt() | RecordingChatModel()).as_node(output_key="messages", input_key="messages"), Talk)
    messages = graph.invoke({"messages": [HumanMessage(EASY)]})["messages"]
    assert [message.type for message in messages] == ["human", "ai"]
    assert (messages[1].content, record(messages[1])["route"]) == ("positive", "small")
    again = graph.invoke({"messages": [*messages, HumanMessage(HARD)]})["messages"]
    assert [message.type for message in again] == ["human", "ai", "human", "ai"]


def test_as_node_makes_conditional_edges_by_the_label() -> None:
    graph = StateGraph(Review)
    graph.add_node("triage", labels().as_node(output_key="label", input_key="text"))
    graph.add_node("praise", lambda state: {"answer": "thanks"})
    graph.add_edge(START, "triage")
    graph.add_conditional_edges("triage", lambda state: state["label"], {"positive": "praise", "from the llm": END})
    compiled = graph.compile()
    assert compiled.invoke({"text": EASY})["answer"] == "thanks"
    assert "answer" not in compiled.invoke({"text": HARD})


def test_messages_mode_streams_the_tokens_of_the_large_branch() -> None:
    chain = shunt() | RecordingChatModel(answers="a b c")
    graph = graph_of(chain.as_node(output_key="messages", input_key="messages"), Talk)
    chunks = [chunk for chunk, _ in graph.stream({"messages": [HumanMessage(HARD)]}, stream_mode="messages")]
    assert [chunk.content for chunk in chunks if chunk.content][:5] == ["a", " ", "b", " ", "c"]


def test_messages_mode_gives_the_small_answer_once() -> None:
    chain = shunt() | RecordingChatModel()
    graph = graph_of(chain.as_node(output_key="messages", input_key="messages"), Talk)
    chunks = [chunk for chunk, _ in graph.stream({"messages": [HumanMessage(EASY)]}, stream_mode="messages")]
    assert "".join(chunk.content for chunk in chunks) == "positive"


@pytest.mark.parametrize("fallback", ["raise", "small"])
def test_an_interrupt_in_the_large_branch_stops_the_graph_and_resumes(fallback: str) -> None:
    def ask_a_person(text: str) -> str:
        return str(interrupt({"please label": text}))

    chain = shunt(on_large_error=fallback) | RunnableLambda(ask_a_person)
    graph = graph_of(chain.as_node(output_key="label", input_key="text"), checkpointer=InMemorySaver())
    config = {"configurable": {"thread_id": "1"}}
    stopped = graph.invoke({"text": HARD}, config)
    assert stopped["__interrupt__"][0].value == {"please label": HARD}
    assert "label" not in stopped
    assert graph.invoke(Command(resume="negative"), config)["label"] == "negative"


async def test_an_interrupt_in_the_large_branch_works_in_async_graphs() -> None:
    async def ask_a_person(text: str) -> str:
        return str(interrupt({"please label": text}))

    chain = shunt() | RunnableLambda(ask_a_person)
    graph = graph_of(chain.as_node(output_key="label", input_key="text"), checkpointer=InMemorySaver())
    config = {"configurable": {"thread_id": "1"}}
    assert "__interrupt__" in await graph.ainvoke({"text": HARD}, config)
    assert (await graph.ainvoke(Command(resume="negative"), config))["label"] == "negative"


def test_a_compiled_graph_can_be_the_large_branch() -> None:
    inner = graph_of(lambda state: {"messages": [AIMessage("from the graph")]}, Talk)
    last = RunnableLambda(lambda state: state["messages"][-1]).with_types(output_type=AIMessage)
    chain = shunt() | (RunnableLambda(lambda text: {"messages": [HumanMessage(text)]}) | inner | last)
    assert [message.content for message in chain.batch([EASY, HARD])] == ["positive", "from the graph"]


def test_the_request_switches_work_through_a_graph() -> None:
    graph = graph_of(labels().as_node(output_key="label", input_key="text"))
    assert graph.invoke({"text": EASY}, {"configurable": {"datashunt_route": "large"}})["label"] == "from the llm"


def test_as_node_can_write_the_decision_beside_the_output() -> None:
    node = labels().as_node(output_key="label", input_key="text", decision_key="decision")
    state = graph_of(node).invoke({"text": EASY})
    assert (state["label"], state["decision"]["route"]) == ("positive", "small")
