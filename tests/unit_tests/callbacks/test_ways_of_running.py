from __future__ import annotations

from operator import itemgetter
from typing import Any

import pytest
from hard_samples import EASY, HARD, Config, model, only, parser, shunt
from langchain_core.messages import AIMessage
from langchain_core.runnables import RunnableLambda

from langchain_datashunt.callbacks.handler import HardSampleCallbackHandler
from langchain_datashunt.store import HardSampleStore
from langchain_datashunt.testing import KeywordSmallModel


def test_batches_keep_one_record_an_input(store: HardSampleStore, config: Config, small: KeywordSmallModel) -> None:
    chain = shunt(small, model()) | parser()
    texts = [EASY, *(f"{HARD} {i}" for i in range(20))]
    chain.batch(texts, config)
    assert sorted(sample.input for sample in store.iter_samples()) == sorted(texts[1:])


def test_streams_keep_the_input_and_the_whole_reply(
    store: HardSampleStore, config: Config, small: KeywordSmallModel
) -> None:
    chain = shunt(small, model("the answer is negative")) | parser()
    assert list(chain.stream(HARD, config)) == ["negative"]
    sample = only(store)
    assert (sample.input, sample.raw, sample.label) == (HARD, "the answer is negative", "negative")
    assert sample.complete


async def test_async_calls_batches_and_streams_are_kept(
    store: HardSampleStore, config: Config, small: KeywordSmallModel
) -> None:
    chain = shunt(small, model()) | parser()
    await chain.ainvoke("one", config)
    await chain.abatch(["two", "three"], config)
    assert [chunk async for chunk in chain.astream("four", config)] == ["negative"]
    samples = list(store.iter_samples())
    assert {sample.input for sample in samples} == {"one", "two", "three", "four"}
    assert all(sample.trainable for sample in samples)


async def test_events_of_astream_events_change_nothing(
    store: HardSampleStore, config: Config, small: KeywordSmallModel
) -> None:
    chain = shunt(small, model()) | parser()
    async for _ in chain.astream_events(HARD, config, version="v2"):
        pass
    assert only(store).trainable


def test_batch_as_completed_is_kept(store: HardSampleStore, config: Config, small: KeywordSmallModel) -> None:
    chain = shunt(small, model())
    list(chain.batch_as_completed([EASY, HARD], config))
    assert only(store).input == HARD


def test_the_place_of_the_shunt_in_the_chain_does_not_matter(
    store: HardSampleStore, config: Config, small: KeywordSmallModel
) -> None:
    prepared = itemgetter("text") | RunnableLambda(str.strip) | (shunt(small, model()) | parser())
    RunnableLambda(prepared.invoke).invoke({"text": f" {HARD} "}, config)
    sample = only(store)
    assert (sample.input, sample.label, sample.parsed) == (HARD, "negative", "negative")


def test_a_parser_inside_the_large_branch_is_seen(
    store: HardSampleStore, config: Config, small: KeywordSmallModel
) -> None:
    shunt(small, model("it is negative") | parser()).invoke(HARD, config)
    sample = only(store)
    assert (sample.parsed, sample.label, sample.raw) == ("negative", "negative", "it is negative")


def test_a_named_shunt_is_found(store: HardSampleStore, config: Config, small: KeywordSmallModel) -> None:
    chain = shunt(small, model(), name="first tier").with_config(run_name="triage") | parser()
    chain.invoke(HARD, config)
    assert only(store).trainable


def test_a_handler_that_is_bound_to_the_shunt_alone_reads_the_reply_itself(
    store: HardSampleStore, handler: HardSampleCallbackHandler, small: KeywordSmallModel
) -> None:
    chain = shunt(small, model()).with_config(callbacks=[handler]) | parser()
    chain.invoke(HARD)
    assert only(store).label == "negative"


def test_langgraph_nodes_are_kept(store: HardSampleStore, config: Config, small: KeywordSmallModel) -> None:
    from langgraph.graph import END, START, StateGraph

    graph = StateGraph(dict)
    graph.add_node("triage", itemgetter("text") | (shunt(small, model()) | parser()) | (lambda label: {"label": label}))
    graph.add_edge(START, "triage")
    graph.add_edge("triage", END)
    compiled = graph.compile()
    compiled.invoke({"text": HARD}, config)
    sample = only(store)
    assert (sample.input, sample.label) == (HARD, "negative")
    assert sample.tags == ()
    assert not any(key.startswith("langgraph") for key in sample.metadata)


def test_a_tool_of_an_agent_is_kept(store: HardSampleStore, config: Config, small: KeywordSmallModel) -> None:
    create_agent = pytest.importorskip(
        "langchain.agents", reason="langchain asks for another langchain-core"
    ).create_agent
    from langchain_core.tools import tool

    triage = shunt(small, model()) | parser()

    @tool
    def classify(text: str) -> str:
        """Classify a text."""
        return triage.invoke(text)

    def answers(messages: list[Any]) -> AIMessage:
        if messages[-1].type == "tool":
            return AIMessage("done")
        return AIMessage("", tool_calls=[{"name": "classify", "args": {"text": HARD}, "id": "1"}])

    agent = create_agent(model(answers), [classify])
    agent.invoke({"messages": [("human", "please")]}, config)
    sample = only(store)
    assert (sample.input, sample.label, sample.attempts) == (HARD, "negative", 1)
