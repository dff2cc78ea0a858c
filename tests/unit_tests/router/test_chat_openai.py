"""In front of the real `ChatOpenAI`, which speaks to a server on loopback: requests, tokens, errors, a dead server."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import chat_server
import pytest
from langchain_core.callbacks import UsageMetadataCallbackHandler
from langchain_core.output_parsers import StrOutputParser
from langchain_openai import ChatOpenAI
from openai import APIConnectionError, InternalServerError, RateLimitError
from reviews import EASY, HARD, record, shunt


@pytest.fixture
def server() -> Iterator[chat_server.ChatServer]:
    with chat_server.running("from the large model") as server:
        yield server


def chat(server: chat_server.ChatServer, **options: Any) -> ChatOpenAI:
    settings = {"model": "local", "base_url": server.base_url, "api_key": "not-a-key", "max_retries": 0, **options}
    return ChatOpenAI(**settings)


def test_an_accepted_input_never_touches_the_server(server: chat_server.ChatServer) -> None:
    chain = shunt() | chat(server)
    assert [message.content for message in chain.batch([EASY] * 20)] == ["positive"] * 20
    assert [chunk.content for chunk in chain.stream(EASY)] == ["positive"]
    assert server.requests == []


def test_only_the_deferred_inputs_of_a_batch_reach_the_server(server: chat_server.ChatServer) -> None:
    messages = (shunt() | chat(server)).batch([EASY, f"{HARD} 1", EASY, f"{HARD} 2"])
    assert [record(message)["route"] for message in messages] == ["small", "large", "small", "large"]
    assert sorted(request["messages"][-1]["content"] for request in server.requests) == [f"{HARD} 1", f"{HARD} 2"]


def test_tokens_are_delivered_as_they_come(server: chat_server.ChatServer) -> None:
    server.pause = 0.1
    started = time.perf_counter()
    arrivals = [
        (chunk, time.perf_counter() - started) for chunk in (shunt() | chat(server) | StrOutputParser()).stream(HARD)
    ]
    tokens = [(token, seconds) for token, seconds in arrivals if token]
    assert [token for token, _ in tokens] == ["from ", "the ", "large ", "model "]
    assert tokens[-1][1] - tokens[0][1] > 0.2


async def test_tokens_are_delivered_as_they_come_in_async_code(server: chat_server.ChatServer) -> None:
    server.pause = 0.1
    stream = (shunt() | chat(server) | StrOutputParser()).astream(HARD)
    first_and_rest = [token async for token in stream if token]
    assert first_and_rest == ["from ", "the ", "large ", "model "]


def test_the_usage_of_the_server_is_counted(server: chat_server.ChatServer) -> None:
    usage = UsageMetadataCallbackHandler()
    (shunt() | chat(server)).batch([EASY, HARD, HARD], {"callbacks": [usage]})
    assert [counts["total_tokens"] for counts in usage.usage_metadata.values()] == [82]


def test_streamed_usage_stands_on_the_sum_of_the_chunks(server: chat_server.ChatServer) -> None:
    chunks = list((shunt() | chat(server, stream_usage=True)).stream(HARD))
    total = chunks[0]
    for chunk in chunks[1:]:
        total += chunk
    assert total.usage_metadata["total_tokens"] == 41
    assert record(total)["route"] == "large"


@pytest.mark.parametrize(("status", "error"), [(429, RateLimitError), (500, InternalServerError)])
def test_an_error_of_the_server_surfaces(server: chat_server.ChatServer, status: int, error: type[Exception]) -> None:
    server.statuses.append(status)
    with pytest.raises(error, match=f"refused with {status}"):
        (shunt() | chat(server)).invoke(HARD)


@pytest.mark.parametrize("status", [429, 500])
def test_an_error_of_the_server_is_retried_as_the_chat_model_is_told(
    server: chat_server.ChatServer, status: int
) -> None:
    server.statuses.extend([status, status])
    message = (shunt() | chat(server, max_retries=2)).invoke(HARD)
    assert (message.content, len(server.requests)) == ("from the large model", 3)


async def test_an_error_of_the_server_stands_at_its_index_of_a_batch(server: chat_server.ChatServer) -> None:
    server.refuse = "broken"
    chain = shunt() | chat(server)
    texts = [EASY, f"{HARD} 1", f"{HARD} broken", EASY]
    for outputs in (chain.batch(texts, return_exceptions=True), await chain.abatch(texts, return_exceptions=True)):
        assert [isinstance(output, InternalServerError) for output in outputs] == [False, False, True, False]


def test_a_refused_item_of_a_batch_can_fall_back_on_the_small_model(server: chat_server.ChatServer) -> None:
    server.refuse = "broken"
    messages = (shunt(on_large_error="small") | chat(server)).batch([f"{HARD} broken", HARD])
    assert [record(message)["route"] for message in messages] == ["small_on_error", "large"]
    assert "refused with 500" in record(messages[0])["error"]


def test_a_dead_server_gives_a_clear_error_or_the_fallback_that_was_asked_for() -> None:
    with chat_server.running("") as server:
        dead = chat(server, timeout=5)
    assert (shunt() | dead).invoke(EASY).content == "positive"
    with pytest.raises(APIConnectionError):
        (shunt() | dead).invoke(HARD)
    message = (shunt(on_large_error="small") | dead).invoke(HARD)
    assert (message.content, record(message)["route"]) == ("positive", "small_on_error")
    assert "Connection error" in record(message)["error"]
