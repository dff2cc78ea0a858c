"""get_graph shows both branches, alone and inside a chain."""

from __future__ import annotations

from typing import Any

from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnableLambda, RunnableParallel
from reviews import shunt, small_model

from langchain_datashunt.testing import RecordingChatModel

TEMPLATE = ChatPromptTemplate.from_template("{prior} {text}")


def names(chain: Any) -> list[str]:
    return [node.name for node in chain.get_graph().nodes.values()]


def edges(chain: Any) -> set[tuple[str, str]]:
    graph = chain.get_graph()
    return {(graph.nodes[edge.source].name, graph.nodes[edge.target].name) for edge in graph.edges}


def reachable(chain: Any) -> bool:
    graph = chain.get_graph()
    return graph.first_node() is not None and graph.last_node() is not None


def test_the_graph_shows_the_small_model_and_the_large_branch() -> None:
    found = names(shunt() | (TEMPLATE | RecordingChatModel()))
    assert "KeywordSmallModel" in found
    assert "ChatPromptTemplate" in found
    assert "RecordingChatModel" in found


def test_both_ways_lead_from_the_small_model_to_the_one_output() -> None:
    chain = shunt() | (TEMPLATE | RecordingChatModel())
    graph = chain.get_graph()
    small = next(node.id for node in graph.nodes.values() if node.name == "KeywordSmallModel")
    targets = {graph.nodes[edge.target].name: edge for edge in graph.edges if edge.source == small}
    assert "ChatPromptTemplate" in targets
    assert len(targets) == 2
    assert all(edge.conditional for edge in targets.values())
    assert {edge.data for edge in targets.values()} == {"accepted", "deferred"}
    assert reachable(chain)


def test_the_graph_of_a_chain_goes_on_behind_both_branches() -> None:
    chain = RunnableLambda(str.strip) | (shunt() | RecordingChatModel()) | StrOutputParser()
    found = names(chain)
    assert {"KeywordSmallModel", "RecordingChatModel", "StrOutputParser"} <= set(found)
    assert ("RecordingChatModel", "StrOutputParser") in edges(chain) or ("AIMessage", "StrOutputParser") in edges(chain)
    assert reachable(chain)


def test_three_tiers_show_both_small_models() -> None:
    found = names(shunt() | (shunt(small_model(version="second")) | RecordingChatModel()))
    assert found.count("KeywordSmallModel") == 2
    assert found.count("RecordingChatModel") == 1


def test_a_large_branch_that_forks_is_drawn() -> None:
    fork = RunnableParallel(one=RecordingChatModel(), two=RecordingChatModel())
    chain = shunt(answer=lambda prediction: {"one": prediction.label}) | fork
    assert reachable(chain)
    assert "KeywordSmallModel" in chain.get_graph().draw_mermaid()


def test_the_graph_can_be_drawn() -> None:
    chain = shunt() | RecordingChatModel() | StrOutputParser()
    mermaid = chain.get_graph().draw_mermaid()
    assert "accepted" in mermaid
    assert "deferred" in mermaid
    assert "RecordingChatModel" in mermaid


def test_the_graph_is_plain_json() -> None:
    assert {"nodes", "edges"} <= set((shunt() | RecordingChatModel()).get_graph().to_json())
