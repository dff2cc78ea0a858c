"""One chain object, called plainly, in a graph, by an agent, behind LangServe and behind our own server."""

from __future__ import annotations

from collections.abc import Callable
from operator import attrgetter, itemgetter
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from hard_samples import EASY, HARD, model, parser, shunt, small_model
from langchain_core.messages import AIMessage
from langchain_core.tools import tool
from langgraph.graph import END, START, StateGraph
from langserve import RemoteRunnable, add_routes
from serving import running

from langchain_datashunt import HardSampleCallbackHandler, HardSampleStore
from langchain_datashunt.serve import create_app

pytestmark = pytest.mark.filterwarnings("ignore")  # LangServe is archived

TEXTS = [EASY, HARD, "a bad one", "neither here nor there", "audited: good"]
ANSWERS = ["negative", "negative", "negative", "positive", "negative"]
SAME = (
    "id",
    "tenant",
    "input",
    "request",
    "input_hash",
    "prompt_hash",
    "route",
    "reason",
    "classes",
    "small_label",
    "confidence",
    "probabilities",
    "threshold",
    "candidates",
    "policy_id",
    "small_model_version",
    "teacher",
    "teacher_kind",
    "raw",
    "parsed",
    "label",
    "complete",
    "problem",
    "sampling_probability",
    "attempts",
    "input_tokens",
    "output_tokens",
    "tags",
    "metadata",
    "complete_count",
    "incomplete_count",
    "answers",
)
CHAIN = (
    shunt(
        small_model(),
        model(lambda messages: "it is positive" if "neither" in messages[-1].text else "it is negative"),
        audit_rate=1.0,
    )
    | parser()
)


def plainly(texts: list[str], config: Any) -> list[str]:
    return [CHAIN.invoke(text, config) for text in texts]


def in_batch(texts: list[str], config: Any) -> list[str]:
    return list(CHAIN.batch(texts, config))


def streamed(texts: list[str], config: Any) -> list[str]:
    return ["".join(CHAIN.stream(text, config)) for text in texts]


def in_langgraph(texts: list[str], config: Any) -> list[str]:
    graph = StateGraph(dict)
    graph.add_node("classify", itemgetter("text") | CHAIN | (lambda label: {"label": label}))
    graph.add_edge(START, "classify")
    graph.add_edge("classify", END)
    compiled = graph.compile()
    return [compiled.invoke({"text": text}, config)["label"] for text in texts]


def by_an_agent(texts: list[str], config: Any) -> list[str]:
    agents = pytest.importorskip("langchain.agents", reason="langchain asks for another langchain-core")

    @tool
    def classify(text: str) -> str:
        """Classify a text."""
        return str(CHAIN.invoke(text))

    def calls(messages: list[Any]) -> AIMessage:
        if messages[-1].type == "tool":
            return AIMessage("done")
        return AIMessage("", tool_calls=[{"name": "classify", "args": {"text": messages[-1].text}, "id": "1"}])

    agent = agents.create_agent(model(calls), [classify])
    states = [agent.invoke({"messages": [("human", text)]}, config) for text in texts]
    return [state["messages"][2].content for state in states]


def behind_langserve(texts: list[str], config: Any) -> list[str]:
    app = FastAPI()
    add_routes(app, CHAIN.with_config(callbacks=config["callbacks"]), path="/chain")
    with running(app) as server:
        remote = RemoteRunnable(f"{server.url}/chain")
        return [remote.invoke(text) for text in texts]


def behind_our_server(texts: list[str], config: Any) -> list[str]:
    app = create_app(CHAIN.with_config(callbacks=config["callbacks"]))
    with running(app) as server, httpx.Client(base_url=server.url) as client:
        return [client.post("/invoke", json={"input": text}).json()["output"] for text in texts]


Way = Callable[[list[str], Any], list[str]]
WAYS: list[Way] = [plainly, in_batch, streamed, in_langgraph, by_an_agent, behind_langserve, behind_our_server]


def records(way: Way, path: Path) -> tuple[list[str], list[Any], list[Any]]:
    """Return the answers, the records that were kept, and the counts of requests."""
    with HardSampleStore(path) as store:
        answers = way(TEXTS, {"callbacks": [HardSampleCallbackHandler(store)]})
        store.flush()
        kept = sorted((attrgetter(*SAME)(sample) for sample in store.iter_samples()), key=lambda values: str(values[2]))
        return answers, kept, [(count.route, count.requests) for count in store.stats().traffic]


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return records(plainly, tmp_path_factory.mktemp("plain") / "samples.db")


@pytest.mark.parametrize("way", WAYS[1:], ids=lambda way: way.__name__)
def test_answers_and_records_are_those_of_plain_calls(way: Way, plain: Any, tmp_path: Path) -> None:
    answers, kept, counts = plain
    assert answers == ANSWERS
    assert len(kept) == len(TEXTS)
    assert sorted(counts) == [("audit", 3), ("large", 2)]
    assert records(way, tmp_path / "samples.db") == plain
