"""The LangServe example over HTTP: every endpoint, `RemoteRunnable`, the schemas, and the playground in a browser."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import browser
import chat_server
import httpx
import numpy as np
import pytest
from fastapi import FastAPI
from langchain_core.runnables import RunnableLambda
from langserve import RemoteRunnable, add_routes
from reviews import EASY as SURE_TEXT
from reviews import shunt
from serving import Running, running

from langchain_datashunt.serve.replies import plain_output

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
EASY, HARD = "great sturdy thing", "great at first, then broken: really"


@pytest.fixture(scope="module")
def llm() -> Iterator[chat_server.ChatServer]:
    with chat_server.running("negative") as server:
        yield server


@pytest.fixture(scope="module")
def server(llm: chat_server.ChatServer) -> Iterator[Running]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OPENAI_BASE_URL", llm.base_url)
        patch.setenv("OPENAI_API_KEY", "not-a-key")
        patch.syspath_prepend(EXAMPLES)
        app = importlib.import_module("langserve_app").app
        with running(app) as server:
            yield server
    for name in ("langserve_app", "review_chain"):
        sys.modules.pop(name, None)


@pytest.fixture
def remote(server: Running) -> RemoteRunnable[Any, Any]:
    return RemoteRunnable(f"{server.url}/review/")


def config(**configurable: Any) -> Any:
    return {"configurable": configurable}


def given(text: str) -> dict[str, str]:
    return {"review": text}


POSITIVE, NEGATIVE = {"label": "positive"}, {"label": "negative"}


def test_a_remote_runnable_answers_like_the_chain(remote: Any) -> None:
    assert [remote.invoke(given(text)) for text in (EASY, HARD)] == [POSITIVE, NEGATIVE]
    assert remote.batch([given(HARD), given(EASY)]) == [NEGATIVE, POSITIVE]
    assert list(remote.stream(given(EASY))) == [POSITIVE]


async def test_a_remote_runnable_answers_like_the_chain_in_async_code(remote: Any) -> None:
    assert await remote.ainvoke(given(EASY)) == POSITIVE
    assert await remote.abatch([given(HARD), given(EASY)]) == [NEGATIVE, POSITIVE]
    assert [chunk async for chunk in remote.astream(given(HARD))] == [NEGATIVE]
    seen = [event["event"] async for event in remote.astream_events(given(HARD), version="v2")]
    assert "on_chain_stream" in seen
    patches = [patch async for patch in remote.astream_log(given(EASY))]
    assert "positive" in str(patches)


def test_the_fastapi_example_serves_the_same_chain_with_the_same_answers(server: Running, remote: Any) -> None:
    assert server  # it has set the scene
    app = importlib.import_module("fastapi_app").app
    sys.modules.pop("fastapi_app")
    with running(app) as beside:
        for text in (EASY, HARD):
            reply = httpx.post(f"{beside.url}/invoke", json={"input": text}).json()
            assert {"label": reply["output"]} == remote.invoke(given(text))
            streamed = httpx.post(f"{beside.url}/stream", json={"input": text}).text
            assert f'data: "{reply["output"]}"' in streamed


def test_a_request_may_set_threshold_and_route(remote: Any, llm: chat_server.ChatServer) -> None:
    before = len(llm.requests)
    assert remote.invoke(given(EASY), config(datashunt_threshold=0.999)) == POSITIVE
    assert remote.invoke(given(HARD), config(datashunt_threshold=0.5)) == POSITIVE
    assert len(llm.requests) == before
    assert remote.invoke(given(EASY), config(datashunt_route="large")) == NEGATIVE
    assert remote.invoke(given(HARD), config(datashunt_route="small")) == POSITIVE
    assert len(llm.requests) == before + 1


@pytest.mark.parametrize("threshold", ["NaN", "1e309", "-1", "0.49", "1", '"high"', "[]"])
@pytest.mark.parametrize("path", ["invoke", "batch", "stream"])
def test_a_threshold_of_no_sense_is_refused(server: Running, threshold: str, path: str) -> None:
    value = '"inputs": [{"review": "x"}]' if path == "batch" else '"input": {"review": "x"}'
    body = f'{{{value}, "config": {{"configurable": {{"datashunt_threshold": {threshold}}}}}}}'
    answer = httpx.post(f"{server.url}/review/{path}", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 422


def test_an_input_of_another_form_is_refused(server: Running) -> None:
    for value in ({"text": "x"}, {"review": 3}, None):
        assert httpx.post(f"{server.url}/review/invoke", json={"input": value}).status_code == 422


def test_the_schemas_name_and_describe_their_fields(server: Running) -> None:
    schemas = {kind: httpx.get(f"{server.url}/review/{kind}_schema").json() for kind in ("input", "output", "config")}
    assert schemas["input"]["properties"]["review"]["description"] == "What a customer wrote."
    assert schemas["output"]["properties"]["label"]["type"] == "string"
    switches = schemas["config"]["$defs"]["Configurable"]["properties"]
    assert switches["datashunt_threshold"]["title"] == "Threshold"
    assert (switches["datashunt_threshold"]["minimum"], switches["datashunt_threshold"]["maximum"]) == (0, 1)
    assert "not certified" in switches["datashunt_threshold"]["description"]
    assert switches["datashunt_route"]["enum"] == ["auto", "small", "large"]
    assert "/review/invoke" in httpx.get(f"{server.url}/openapi.json").json()["paths"]


def test_the_record_of_a_message_is_served_whole() -> None:
    from langchain_datashunt.testing import RecordingChatModel

    app = FastAPI()
    add_routes(app, (shunt() | RecordingChatModel()).with_types(input_type=str), path="/m")
    with running(app) as server:
        message = RemoteRunnable(f"{server.url}/m").invoke(SURE_TEXT)
    assert message.content == "positive"
    assert message.response_metadata["datashunt"]["route"] == "small"


def test_outputs_that_json_does_not_know_are_served() -> None:
    values = {"n": np.float32(0.5), "s": {"b", "a"}, "b": b"\xff", "d": Decimal("1.5"), "a": np.arange(2)}
    chain = shunt(answer=lambda _: values) | RunnableLambda(lambda _: values) | plain_output
    app = FastAPI()
    add_routes(app, chain.with_types(input_type=str), path="/any")
    with running(app) as server:
        remote = RemoteRunnable(f"{server.url}/any")
        expected = {"n": 0.5, "s": ["a", "b"], "b": "_w==", "d": "1.5", "a": [0, 1]}
        assert remote.invoke(SURE_TEXT) == expected
        assert list(remote.stream("hm")) == [expected]


@pytest.mark.parametrize(("width", "scheme"), [(browser.DESKTOP, "light"), (browser.PHONE, "dark")])
def test_the_playground_shows_the_fields_and_answers(
    server: Running, llm: chat_server.ChatServer, tmp_path: Path, width: int, scheme: browser.Scheme
) -> None:
    before = len(llm.requests)
    url = f"{server.url}/review/playground/"
    with browser.running() as chromium, chromium.visit(url, width=width, scheme=scheme) as visit:
        page = visit.page
        page.wait_for_selector("text=Start")
        text = page.inner_text("body").lower()
        assert all(word in text for word in ("review", "threshold", "route"))
        assert "must be" not in text  # of the fields that need not be filled
        page.locator("textarea").first.fill(HARD)
        page.click("text=Start")
        page.wait_for_function("document.body.innerText.includes('negative')", timeout=10_000)
        assert visit.overflowing() == []
        visit.screenshot(tmp_path / f"playground-{width}-{scheme}.png")
        assert not visit.problems
        assert not [request for request in visit.requests if not request.startswith((server.url, "data:", "blob:"))]
    assert len(llm.requests) == before + 1
    assert HARD in json.dumps(llm.requests[-1])
