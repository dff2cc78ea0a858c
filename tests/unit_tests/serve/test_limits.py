"""What is too large, too much or too strange is refused before a model runs."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient
from httpx import ASGITransport, AsyncClient
from reviews import EASY, HARD, shunt, small_model

from langchain_datashunt.serve import RequestLimits, create_app
from langchain_datashunt.testing import KeywordSmallModel, RecordingChatModel

HERE = "http://127.0.0.1"
LIMITS = RequestLimits(body_bytes=2_000, batch_size=3, text_length=50, concurrency=2, timeout_s=0.3)
JSON = {"Content-Type": "application/json"}


@pytest.fixture(scope="module")
def small() -> KeywordSmallModel:
    return small_model()


@pytest.fixture(scope="module")
def client(small: KeywordSmallModel) -> TestClient:
    """A client of an application that was not started, so that nothing warms its model up."""
    return TestClient(create_app(shunt(small) | RecordingChatModel(), limits=LIMITS), base_url=HERE)


@pytest.fixture(autouse=True)
def _nothing_that_is_refused_reaches_a_model(
    request: pytest.FixtureRequest, small: KeywordSmallModel
) -> Iterator[None]:
    before = small.calls
    yield
    if "is_refused" in request.node.name:
        assert small.calls == before


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/invoke", {"input": "x" * 51}, 422),
        ("/invoke", {"input": {"text": "x" * 51}}, 422),
        ("/invoke", {"input": {"x" * 51: "text"}}, 422),
        ("/invoke", {"input": {"a": [{"b": ["x" * 51]}]}}, 422),
        ("/invoke", {"input": [{"role": "user", "content": "x" * 51}]}, 422),
        ("/invoke", {"input": "x" * 2_000}, 413),
        ("/batch", {"inputs": [EASY] * 4}, 422),
        ("/batch", {"inputs": ["x" * 51]}, 422),
        ("/decide", {"inputs": [EASY] * 4}, 422),
        ("/invoke", {}, 422),
        ("/invoke", {"input": None}, 422),
        ("/invoke", {"input": 3}, 422),
        ("/invoke", {"input": [{"role": "robot", "content": "x"}]}, 422),
        ("/invoke", {"input": [{"role": "user", "content": "x", "name": "y"}]}, 422),
        ("/invoke", {"input": EASY, "surprise": 1}, 422),
        ("/invoke", {"input": "\ud800"}, 422),
        ("/invoke", {"input": {"text": "\ud800"}}, 422),
        ("/invoke", [], 422),
        ("/batch", {"inputs": EASY}, 422),
        ("/batch", {"input": EASY}, 422),
    ],
)
def test_a_body_beyond_the_limits_or_of_another_form_is_refused(
    client: TestClient, path: str, body: Any, status: int
) -> None:
    answer = client.post(path, content=json.dumps(body), headers=JSON)
    assert answer.status_code == status
    assert "x" * 51 not in answer.text


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"not json",
        b"\xff\xfe",
        b'{"input": "a" "b"}',
        b"[" * 1_900,
        b'{"input":' + b"[" * 900 + b"]" * 900 + b"}",
    ],
    ids=["nothing", "brace", "words", "bytes", "two", "deep", "deep and closed"],
)
def test_what_is_no_json_is_refused(client: TestClient, body: bytes) -> None:
    assert client.post("/invoke", content=body, headers=JSON).status_code in (400, 422)


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", ""]
)
def test_a_body_that_a_web_page_could_send_unasked_is_refused(client: TestClient, kind: str) -> None:
    answer = client.post("/invoke", content=json.dumps({"input": EASY}), headers={"Content-Type": kind})
    assert answer.status_code == 422


def test_a_request_with_huge_headers_is_refused(client: TestClient) -> None:
    answer = client.post("/invoke", json={"input": EASY}, headers={"X-Trace": "x" * 20_000})
    assert (answer.status_code, answer.json()["detail"]) == (431, "headers have at most 16384 bytes")


def test_who_takes_too_long_to_tell_who_asks_is_refused() -> None:
    async def authenticate(_: object) -> bool:
        await asyncio.sleep(30)
        return True

    app = create_app(shunt() | RecordingChatModel(), limits=LIMITS, authenticate=authenticate)
    assert TestClient(app, base_url=HERE).post("/invoke", json={"input": EASY}).status_code == 504


def test_a_body_without_a_length_is_refused_as_it_grows(client: TestClient) -> None:
    taken: list[int] = []

    def parts() -> Iterator[bytes]:
        for i in range(1_000):
            taken.append(i)
            yield b" " * 100

    assert client.post("/invoke", content=parts(), headers=JSON).status_code == 413


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "FOO"])
def test_other_methods_are_refused(client: TestClient, method: str) -> None:
    assert client.request(method, "/invoke").status_code == 405


def test_the_limits_themselves_pass(client: TestClient) -> None:
    text = EASY + " " * (50 - len(EASY))
    assert client.post("/batch", json={"inputs": [text] * 3}).status_code == 200


async def test_a_run_that_takes_too_long_is_cancelled_and_answered_504() -> None:
    llm = RecordingChatModel(delay=30)
    async with AsyncClient(transport=ASGITransport(create_app(shunt() | llm, limits=LIMITS)), base_url=HERE) as client:
        answer = await client.post("/invoke", json={"input": HARD})
    assert (answer.status_code, answer.json()["detail"]) == (504, "no answer within 0.3 s")
    await asyncio.sleep(0.05)
    assert llm._running == 0


async def test_more_at_once_than_allowed_is_answered_503_and_room_comes_back() -> None:
    llm = RecordingChatModel(delay=0.1)
    app = create_app(shunt() | llm, limits=RequestLimits(concurrency=2))
    async with AsyncClient(transport=ASGITransport(app), base_url=HERE) as client:
        answers = await asyncio.gather(*[client.post("/invoke", json={"input": HARD}) for _ in range(5)])
        again = await client.post("/invoke", json={"input": HARD})
    assert sorted(answer.status_code for answer in answers) == [200, 200, 503, 503, 503]
    refused = next(answer for answer in answers if answer.status_code == 503)
    assert refused.headers["retry-after"] == "1"
    assert (again.status_code, len(llm.calls)) == (200, 3)


async def test_an_overloaded_small_model_is_answered_503_and_costs_no_large_call() -> None:
    from langchain_datashunt import OverloadedError

    class Overloaded(type(small_model())):  # type: ignore[misc]
        def predict_proba(self, inputs: Any, /) -> Any:
            raise OverloadedError("3 inputs wait")

    llm = RecordingChatModel()
    app = create_app(shunt(Overloaded({"positive": ["great"], "negative": ["awful"]})) | llm)
    async with AsyncClient(transport=ASGITransport(app), base_url=HERE) as client:
        for path, body in (("/invoke", {"input": EASY}), ("/stream", {"input": EASY}), ("/decide", {"inputs": [EASY]})):
            answer = await client.post(path, json=body)
            assert (answer.status_code, answer.json()["detail"]) == (503, "3 inputs wait")
        many = (await client.post("/batch", json={"inputs": [EASY]})).json()["results"]
    assert many[0]["error"]["status"] == 503
    assert llm.calls == []


@pytest.mark.parametrize("limit", RequestLimits.__slots__)
@pytest.mark.parametrize("value", [0, -1, float("nan"), float("inf")])
def test_a_limit_is_a_positive_number(limit: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"{limit} is a positive (whole )?number"):
        RequestLimits(**{limit: value})  # type: ignore[arg-type]


@pytest.mark.parametrize("value", [2.5, True, "3", None])
def test_a_count_is_a_whole_number(value: Any) -> None:
    with pytest.raises(ValueError, match=f"batch_size is a positive whole number; got {value!r}"):
        RequestLimits(batch_size=value)
