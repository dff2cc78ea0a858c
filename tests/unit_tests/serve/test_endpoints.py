"""What a served chain answers, and what OpenAPI says about it."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from typing import Any, get_type_hints

import pytest
from fastapi.testclient import TestClient
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnableLambda
from reviews import EASY, HARD, shunt, small_model

from langchain_datashunt import CompositionError, InvalidInputError, MicroBatched
from langchain_datashunt.serve import create_app
from langchain_datashunt.serve.bodies import DecisionRecord
from langchain_datashunt.testing import RecordingChatModel
from langchain_datashunt.types import ShuntMetadata

HERE = "http://127.0.0.1"


def chain(llm: Any = None, **options: Any) -> Any:
    return shunt(**options) | (llm or RecordingChatModel(answers="from the llm")) | StrOutputParser()


@pytest.fixture(scope="module")
def client() -> Iterator[TestClient]:
    with TestClient(create_app(chain(), threshold_bounds=(0.4, 0.995)), base_url=HERE) as client:
        yield client


def test_invoke_answers_and_says_who_answered(client: TestClient) -> None:
    easy, hard = (client.post("/invoke", json={"input": text}).json() for text in (EASY, HARD))
    assert (easy["output"], hard["output"]) == ("positive", "from the llm")
    assert [each["decisions"][0]["route"] for each in (easy, hard)] == ["small", "large"]


def test_batch_answers_in_order_from_one_small_pass() -> None:
    small = small_model()
    with TestClient(create_app(chain(small=small)), base_url=HERE) as client:
        while not client.get("/ready").json()["ready"]:
            time.sleep(0.01)
        results = client.post("/batch", json={"inputs": [HARD, EASY, HARD]}).json()["results"]
    assert [each["output"] for each in results] == ["from the llm", "positive", "from the llm"]
    assert [each["decisions"][0]["route"] for each in results] == ["large", "small", "large"]
    assert small.batch_sizes == [1, 3]  # the warm-up, and the batch


def test_an_input_of_a_batch_that_fails_fails_alone() -> None:
    llm = RecordingChatModel(answers="from the llm", raise_on=["broken"])
    with TestClient(create_app(chain(llm)), base_url=HERE) as client:
        results = client.post("/batch", json={"inputs": [EASY, "broken", {"a": "1", "b": "2"}]}).json()["results"]
    assert results[0]["output"] == "positive"
    assert results[1]["error"] == {"status": 502, "detail": "the chain failed: ValueError"}
    assert results[1]["decisions"][0]["route"] == "large"
    assert results[2]["error"]["status"] == 422


def events(text: str) -> list[tuple[str, Any]]:
    blocks = [dict(line.split(": ", 1) for line in block.splitlines()) for block in text.strip().split("\n\n")]
    return [(block["event"], json.loads(block["data"])) for block in blocks]


def test_stream_sends_tokens_and_then_the_decisions(client: TestClient) -> None:
    found = events(client.post("/stream", json={"input": HARD}).text)
    assert [name for name, _ in found] == ["chunk"] * (len(found) - 1) + ["end"]
    assert "".join(data for name, data in found[:-1]) == "from the llm"
    assert len(found) > 3
    assert found[-1][1]["decisions"][0]["route"] == "large"


def test_a_stream_that_breaks_ends_with_an_error_event() -> None:
    llm = RecordingChatModel(answers="a b c d", raise_on=[], break_stream_after=3)
    with TestClient(create_app(chain(llm)), base_url=HERE) as client:
        found = events(client.post("/stream", json={"input": HARD}).text)
    assert [name for name, _ in found] == ["chunk", "chunk", "chunk", "error"]
    assert found[-1][1] == {"status": 502, "detail": "the chain failed: ValueError"}


def test_a_stream_that_cannot_begin_is_an_error_status(client: TestClient) -> None:
    assert client.post("/stream", json={"input": {"a": "1", "b": "2"}}).status_code == 422


def test_decide_asks_the_small_model_only() -> None:
    llm = RecordingChatModel()
    with TestClient(create_app(chain(llm)), base_url=HERE) as client:
        decisions = client.post("/decide", json={"inputs": [EASY, HARD]}).json()["decisions"]
    assert [(each["route"], each["label"]) for each in decisions] == [("small", "positive"), ("large", "positive")]
    assert llm.calls == []


def test_decide_runs_the_steps_in_front_of_the_shunt() -> None:
    shout = RunnableLambda(lambda text: text.removeprefix("not "))
    with TestClient(create_app(shout | (shunt() | RecordingChatModel())), base_url=HERE) as client:
        assert client.post("/decide", json={"inputs": ["not " + EASY]}).json()["decisions"][0]["route"] == "small"


def test_concurrent_requests_share_a_pass() -> None:
    small = small_model()
    app = create_app(chain(small=MicroBatched(small, max_batch_size=8, max_wait_ms=5_000)), warm_up=EASY)

    async def ask() -> list[Any]:
        from httpx import ASGITransport, AsyncClient

        async with AsyncClient(transport=ASGITransport(app), base_url=HERE) as client:
            return await asyncio.gather(*[client.post("/invoke", json={"input": EASY}) for _ in range(8)])

    assert [answer.json()["output"] for answer in asyncio.run(ask())] == ["positive"] * 8
    assert small.batch_sizes == [8]


def test_a_threshold_within_the_bounds_holds_for_its_request(client: TestClient) -> None:
    easy = client.post("/invoke", json={"input": EASY, "threshold": 0.99}).json()
    assert easy["output"] == "from the llm"
    assert (easy["decisions"][0]["threshold"], easy["decisions"][0]["certified"]) == (0.99, False)
    assert client.post("/invoke", json={"input": EASY}).json()["output"] == "positive"


@pytest.mark.parametrize(
    "threshold",
    [
        "0.399",
        "0.996",
        "NaN",
        "-NaN",
        "Infinity",
        "-Infinity",
        "1e309",
        "-1",
        "-0.0",
        "2",
        "true",
        '"0.9"',
        "[0.9]",
        "{}",
    ],
)
@pytest.mark.parametrize("path", ["/invoke", "/stream", "/batch", "/decide"])
def test_a_threshold_outside_the_bounds_or_of_no_sense_is_refused(
    client: TestClient, threshold: str, path: str
) -> None:
    value = f'"input": "{EASY}"' if path in ("/invoke", "/stream") else f'"inputs": ["{EASY}"]'
    body = f'{{{value}, "threshold": {threshold}}}'
    answer = client.post(path, content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 422
    assert json.loads(answer.text)["detail"]


@pytest.mark.parametrize("extra", [{"threshold": 0.9}, {"config": {"configurable": {"datashunt_threshold": 0}}}])
def test_a_server_without_bounds_lets_no_request_set_a_threshold(extra: dict[str, Any]) -> None:
    with TestClient(create_app(chain()), base_url=HERE) as client:
        assert client.post("/invoke", json={"input": EASY, **extra}).status_code == 422


@pytest.mark.parametrize("bounds", [(0.9, 0.1), (-1, 0.5), (0.5, 2), (float("nan"), 1), 0.5, (0.5,), (0.1, 0.2, 0.3)])
def test_bounds_are_a_range_within_0_and_1(bounds: Any) -> None:
    with pytest.raises(InvalidInputError):
        create_app(chain(), threshold_bounds=bounds)


def test_a_chain_without_a_shunt_is_refused() -> None:
    with pytest.raises(CompositionError, match="has a RunnableDataShunt among its steps, with its large model"):
        create_app(RunnableLambda(str.upper))
    with pytest.raises(CompositionError, match="large=None"):
        create_app(shunt())


def test_a_conversation_is_an_input(client: TestClient) -> None:
    turns = [{"role": "system", "content": "Judge."}, {"role": "user", "content": EASY}]
    assert client.post("/invoke", json={"input": turns}).json()["output"] == "positive"


def test_a_prompt_in_front_gives_the_input_its_field_names() -> None:
    template = ChatPromptTemplate.from_template("{review}")
    app = create_app(template | (shunt() | RecordingChatModel(answers="from the llm")), warm_up=EASY)
    with TestClient(app, base_url=HERE) as client:
        assert client.post("/invoke", json={"input": {"review": EASY}}).json()["output"]["content"] == "positive"
        assert client.post("/invoke", json={"input": {"text": EASY}}).status_code == 422
        schemas = client.get("/openapi.json").json()["components"]["schemas"]
    assert "review" in schemas["PromptInput"]["properties"]


def test_openapi_names_and_describes_every_field(client: TestClient) -> None:
    document = client.get("/openapi.json").json()
    assert set(document["paths"]) == {"/invoke", "/batch", "/stream", "/decide", "/health", "/ready"}
    schemas = document["components"]["schemas"]
    for name in ("InvokeRequest", "BatchRequest", "Reply", "DecisionRecord", "Turn"):
        for field, schema in schemas[name]["properties"].items():
            assert len(schema["description"].split()) > 1, (name, field)
    threshold = schemas["InvokeRequest"]["properties"]["threshold"]["anyOf"][0]
    assert (threshold["minimum"], threshold["maximum"]) == (0.4, 0.995)
    assert {"413", "422", "502", "503", "504"} <= set(document["paths"]["/invoke"]["post"]["responses"])


def test_the_record_in_openapi_has_the_fields_of_the_record() -> None:
    assert set(DecisionRecord.model_fields) == set(get_type_hints(ShuntMetadata)) - {"inner"}


def test_ready_waits_for_the_first_answer_of_the_small_model() -> None:
    class Loading(type(small_model())):  # type: ignore[misc]
        loaded = False

        def predict_proba(self, inputs: Any, /) -> Any:
            if not self.loaded:
                raise OSError("no weights at /secret/place")
            return super().predict_proba(inputs)

    small = Loading({"positive": ["great"], "negative": ["awful"]})
    with TestClient(create_app(chain(small=small)), base_url=HERE) as client:
        assert client.get("/health").json() == {"alive": True}
        assert client.head("/health").status_code == 200
        first = client.get("/ready")
        time.sleep(0.1)
        second = client.get("/ready")
        assert (first.status_code, second.status_code) == (503, 503)
        assert second.json()["detail"].endswith("OSError")
        small.loaded = True
        deadline = time.monotonic() + 5
        while client.get("/ready").status_code != 200:
            assert time.monotonic() < deadline
        assert client.get("/ready").json() == {"ready": True}
