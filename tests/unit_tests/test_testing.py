"""The fakes that users get: they do what they say."""

from __future__ import annotations

import pickle
from concurrent.futures import ThreadPoolExecutor
from functools import reduce
from operator import add

import numpy as np
import pytest
from langchain_core.caches import InMemoryCache
from langchain_core.messages import AIMessage

from langchain_datashunt.small_models import class_names, probability_rows, version_of
from langchain_datashunt.testing import KeywordSmallModel, RecordingChatModel, ScriptedSmallModel

KEYWORDS = {"a": ["alpha"], "b": ["beta"], "c": ["gamma"]}


@pytest.mark.parametrize("texts", [[], ["alpha"], ["alpha", "beta gamma", "", "Gamma!"]])
def test_the_rows_of_the_keyword_model_are_probabilities(texts: list[str]) -> None:
    small = KeywordSmallModel(KEYWORDS)
    rows = small.predict_proba(texts)
    assert np.array_equal(probability_rows(rows, len(texts), class_names(small)), rows)


def test_the_keyword_model_is_sure_of_one_keyword_and_uniform_elsewhere() -> None:
    rows = KeywordSmallModel(KEYWORDS, confidence=0.9).predict_proba(["say BETA", "alphabet", "alpha beta"])
    assert rows[0].tolist() == pytest.approx([0.05, 0.9, 0.05])
    assert rows[1].tolist() == rows[2].tolist() == pytest.approx([1 / 3] * 3)


def test_a_scripted_model_fails_where_it_was_told_to() -> None:
    small = ScriptedSmallModel(["a", "b"], lambda _: [0.5, 0.5], raise_on=["boom"], nan_on=["void"])
    assert np.isnan(small.predict_proba(["void", "x"])).tolist() == [[True, True], [False, False]]
    with pytest.raises(ValueError, match="boom"):
        small.predict_proba(["x", "boom"])


def test_calls_are_counted_from_any_number_of_threads() -> None:
    small, llm = KeywordSmallModel(KEYWORDS), RecordingChatModel()
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(small.predict_proba, [["alpha"]] * 400))
        list(pool.map(llm.invoke, ["hi"] * 400))
    assert (small.calls, len(llm.calls)) == (400, 400)
    assert 1 <= llm.peak_concurrency <= 8


def test_the_identity_of_a_fake_is_the_version_it_was_given() -> None:
    assert version_of(KeywordSmallModel(KEYWORDS, version="mine")) == "mine"
    assert version_of(pickle.loads(pickle.dumps(KeywordSmallModel(KEYWORDS)))) == "keywords"


def test_the_chat_model_answers_by_text_by_mapping_and_by_function() -> None:
    assert RecordingChatModel(answers="x").invoke("hi").content == "x"
    mapped = RecordingChatModel(answers={"Paris": "city", "Seine": "river"}, default="?")
    assert [mapped.invoke(text).content for text in ("the Seine", "Paris", "Rome")] == ["river", "city", "?"]
    written = RecordingChatModel(answers=lambda messages: AIMessage(f"{len(messages)} messages"))
    assert written.invoke([("system", "s"), ("human", "h")]).content == "2 messages"


async def test_the_chat_model_streams_what_it_would_have_answered() -> None:
    llm = RecordingChatModel(answers="one two  three")
    whole = llm.invoke("hi")
    for chunks in (list(llm.stream("hi")), [chunk async for chunk in llm.astream("hi")]):
        total = reduce(add, chunks)
        assert [chunk.content for chunk in chunks if chunk.content][:3] == ["one", " ", "two"]
        assert (total.content, total.usage_metadata) == (whole.content, whole.usage_metadata)


async def test_the_chat_model_keeps_messages_arguments_and_config_however_it_is_called() -> None:
    llm = RecordingChatModel()
    config = {"configurable": {"user": "mary"}}
    llm.invoke("1", config, stop=["."])
    await llm.ainvoke("2", config)
    list(llm.stream("3", config))
    assert [chunk async for chunk in llm.astream("4", config)]
    llm.batch(["5"], config)
    assert [call.text for call in llm.calls] == ["1", "2", "3", "4", "5"]
    assert llm.calls[0].kwargs == {"stop": ["."]}
    assert {call.config["configurable"]["user"] for call in llm.calls} == {"mary"}


def test_a_request_that_a_cache_answers_is_not_recorded() -> None:
    llm = RecordingChatModel(cache=InMemoryCache())
    assert llm.invoke("hi").content == llm.invoke("hi").content
    assert len(llm.calls) == 1


def test_the_chat_model_raises_where_it_was_told_to() -> None:
    llm = RecordingChatModel(answers="one two three", raise_on=["boom"], error=RuntimeError, break_stream_after=2)
    with pytest.raises(RuntimeError, match="boom"):
        llm.invoke("boom")
    with pytest.raises(RuntimeError, match="break"):
        list(llm.stream("hi"))
    assert llm.invoke("hi").content == "one two three"


def test_the_fixtures_are_the_fakes(
    keyword_small_model: KeywordSmallModel, recording_chat_model: RecordingChatModel
) -> None:
    assert keyword_small_model.predict_proba(["great"]).tolist() == [[0.98, pytest.approx(0.02)]]
    assert recording_chat_model.invoke("hi").content == "large answer"
