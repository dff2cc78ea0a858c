"""Before recorded answers of a real large model: routing, errors and retries over HTTP, with `ChatOpenAI`."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from langchain_core.prompts import ChatPromptTemplate
from langchain_openai import ChatOpenAI
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from langchain_datashunt import RunnableDataShunt

pytestmark = pytest.mark.recorded

PROMPT = ChatPromptTemplate.from_template("{text}")
N = 200


def rows(path: Path) -> list[dict[str, Any]]:
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


class Recorded:
    """The server of the recorded answers, on a free port."""

    def __init__(self, base_url: str) -> None:
        self.base_url = base_url

    def post(self, path: str, **body: Any) -> None:
        root = self.base_url.removesuffix("/v1")
        request = urllib.request.Request(f"{root}{path}", json.dumps(body).encode(), method="POST")  # noqa: S310
        urllib.request.urlopen(request).close()  # noqa: S310  our own server on loopback

    def stats(self) -> dict[str, Any]:
        with urllib.request.urlopen(f"{self.base_url.removesuffix('/v1')}/stats") as answer:  # noqa: S310
            return dict(json.load(answer))


@pytest.fixture(scope="module")
def server(recorded_data: Path) -> Iterator[Recorded]:
    process = subprocess.Popen(  # noqa: S603  the server beside the recorded answers
        [
            *(sys.executable, str(recorded_data / "replay_server.py")),
            *("--data", str(recorded_data / "data" / "sms_spam" / "eval.jsonl.gz"), "--port", "0"),
        ],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    yield Recorded(process.stdout.readline().split()[1])
    process.terminate()
    process.wait()


@pytest.fixture
def clean(server: Recorded) -> Recorded:
    server.post("/faults", rate_429=0.0, rate_500=0.0)
    server.post("/stats/reset")
    return server


@pytest.fixture(scope="module")
def messages(recorded_data: Path) -> list[dict[str, Any]]:
    return rows(recorded_data / "data" / "sms_spam" / "eval.jsonl.gz")[:N]


@pytest.fixture(scope="module")
def small(recorded_data: Path) -> Any:
    train = rows(recorded_data / "data" / "sms_spam" / "train.jsonl.gz")
    model = make_pipeline(TfidfVectorizer(), LogisticRegression(C=10.0))
    return model.fit([row["text"] for row in train], [row["label"] for row in train])


def cascade(small: Any, server: Recorded, model: str, **options: Any) -> Any:
    retries = options.pop("max_retries", 0)
    llm = ChatOpenAI(model=model, base_url=server.base_url, api_key="recorded", max_retries=retries)
    return RunnableDataShunt(small, threshold=0.95, **options) | (PROMPT | llm)


def route_of(message: Any) -> str:
    return str(message.response_metadata["datashunt"]["route"])


def test_each_deferred_text_gets_its_own_recorded_answer_and_nothing_else_is_asked(
    clean: Recorded, messages: list[dict[str, Any]], small: Any
) -> None:
    model = min(messages[0]["answers"])
    outputs = cascade(small, clean, model).batch([row["text"] for row in messages], {"max_concurrency": 8})
    deferred = [(row, output) for row, output in zip(messages, outputs, strict=True) if route_of(output) == "large"]
    assert 0 < len(deferred) < N
    for row, output in deferred:
        assert output.content == str(row["answers"][model])
    assert clean.stats()["calls"] == len(deferred)
    assert clean.stats()["peak_in_flight"] <= 8


@pytest.mark.parametrize("fault", ["rate_429", "rate_500"])
def test_injected_errors_surface_at_the_index_of_their_input(
    fault: str, clean: Recorded, messages: list[dict[str, Any]], small: Any
) -> None:
    clean.post("/faults", **{fault: 0.5})
    texts = [row["text"] for row in messages]
    chain = cascade(small, clean, min(messages[0]["answers"]))
    accepted = chain.decide_batch(texts).accepted
    outputs = chain.batch(texts, {"max_concurrency": 8}, return_exceptions=True)
    failed = [isinstance(output, Exception) for output in outputs]
    assert sum(failed) == clean.stats()["errors_sent"] > 0
    assert not any(is_failed for is_failed, is_accepted in zip(failed, accepted, strict=True) if is_accepted)


def test_injected_errors_are_retried_as_the_chat_model_is_told(
    clean: Recorded, messages: list[dict[str, Any]], small: Any
) -> None:
    clean.post("/faults", rate_429=0.3)
    chain = cascade(small, clean, min(messages[0]["answers"]), max_retries=12)
    outputs = chain.batch([row["text"] for row in messages], {"max_concurrency": 8})
    assert "large" in set(map(route_of, outputs))
    assert clean.stats()["errors_sent"] > 0


def test_injected_errors_fall_back_on_the_small_model_where_that_was_asked_for(
    clean: Recorded, messages: list[dict[str, Any]], small: Any
) -> None:
    clean.post("/faults", rate_500=0.5)
    chain = cascade(small, clean, min(messages[0]["answers"]), on_large_error="small")
    outputs = chain.batch([row["text"] for row in messages], {"max_concurrency": 8})
    assert {"small", "small_on_error", "large"} == set(map(route_of, outputs))
    assert sum(route_of(output) == "small_on_error" for output in outputs) == clean.stats()["errors_sent"]
