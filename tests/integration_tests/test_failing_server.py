"""A shunt in front of a server that refuses some requests: recorded answers of gpt-3.5, spoken to by `ChatOpenAI`."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from reviews import record, shunt

from langchain_datashunt.testing import ScriptedSmallModel

pytestmark = [
    pytest.mark.recorded,
    pytest.mark.skipif(find_spec("langchain_openai") is None, reason="ChatOpenAI needs langchain_openai"),
]

MODEL = "gpt-3.5-turbo-1106"


class Replay:
    """A server that answers with what real large models once said, and fails as it is told."""

    def __init__(self, base_url: str) -> None:
        self.base_url = base_url

    def set_faults(self, **rates: float) -> None:
        self._post("/stats/reset", {})
        self._post("/faults", {"rate_429": 0, "rate_500": 0, **rates})

    def stats(self) -> Any:
        with urllib.request.urlopen(self._address("/stats"), timeout=10) as answer:  # noqa: S310  our own address
            return json.load(answer)

    def _post(self, path: str, body: dict[str, float]) -> None:
        request = urllib.request.Request(self._address(path), json.dumps(body).encode(), method="POST")  # noqa: S310
        urllib.request.urlopen(request, timeout=10).close()  # noqa: S310

    def _address(self, path: str) -> str:
        return self.base_url.removesuffix("/v1") + path


@contextmanager
def replaying(program: Path, data: Path) -> Iterator[Replay]:
    process = subprocess.Popen(  # noqa: S603  our own interpreter
        [sys.executable, str(program), "--data", str(data), "--port", "0"], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        ready = process.stdout.readline().split()
        assert ready[0] == "READY"
        yield Replay(ready[1])
    finally:
        process.terminate()
        process.wait()


@pytest.fixture(scope="module")
def data(recorded_data: Path) -> Path:
    return recorded_data / "data" / "imdb" / "eval.jsonl.gz"


@pytest.fixture(scope="module")
def replay(recorded_data: Path, data: Path) -> Iterator[Replay]:
    with replaying(recorded_data / "replay_server.py", data) as replay:
        yield replay


@pytest.fixture(scope="module")
def rows(data: Path) -> list[dict[str, Any]]:
    with gzip.open(data, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in islice(lines, 48)]


@pytest.fixture(scope="module")
def chain(replay: Replay, rows: list[dict[str, Any]]) -> Callable[[int], Any]:
    """All rows are deferred but every third; the argument is `max_retries`."""
    from langchain_openai import ChatOpenAI

    sure = {row["text"]: [0.99, 0.01] for row in rows[::3]}
    small = ScriptedSmallModel(["positive", "negative"], sure)

    def with_retries(max_retries: int) -> Any:
        return shunt(small) | ChatOpenAI(model=MODEL, base_url=replay.base_url, api_key="none", max_retries=max_retries)

    return with_retries


@pytest.mark.parametrize(("fault", "error"), [("rate_429", "RateLimitError"), ("rate_500", "InternalServerError")])
def test_without_retries_errors_stand_at_their_own_places(
    replay: Replay, rows: list[dict[str, Any]], chain: Any, fault: str, error: str
) -> None:
    import openai

    replay.set_faults(**{fault: 0.4})
    texts = [row["text"] for row in rows]
    outputs = chain(0).batch(texts, {"max_concurrency": 4}, return_exceptions=True)
    assert len(outputs) == len(rows)
    failed = [output for output in outputs if isinstance(output, Exception)]
    assert 0 < len(failed) == replay.stats()["errors_sent"] < 32
    assert all(isinstance(output, getattr(openai, error)) for output in failed)
    for i, (row, output) in enumerate(zip(rows, outputs, strict=True)):
        if i % 3 == 0:
            assert (record(output)["route"], output.text) == ("small", "positive")
        elif not isinstance(output, Exception):
            assert (record(output)["route"], output.text) == ("large", row["answers"][MODEL])


def test_without_return_exceptions_the_first_error_is_raised(
    replay: Replay, rows: list[dict[str, Any]], chain: Any
) -> None:
    from openai import RateLimitError

    replay.set_faults(rate_429=1)
    with pytest.raises(RateLimitError, match="injected"):
        chain(0).batch([row["text"] for row in rows])


@pytest.mark.parametrize("fault", ["rate_429", "rate_500"])
def test_with_retries_every_deferred_input_gets_its_own_answer(
    replay: Replay, rows: list[dict[str, Any]], chain: Any, fault: str
) -> None:
    replay.set_faults(**{fault: 0.3})
    outputs = chain(12).batch([row["text"] for row in rows], {"max_concurrency": 8})
    hard = [i for i in range(len(rows)) if i % 3]
    assert [outputs[i].text for i in hard] == [rows[i]["answers"][MODEL] for i in hard]
    found = replay.stats()
    assert found["errors_sent"] > 0
    assert found["answered"] == len(hard)


async def test_abatch_keeps_places_as_batch_does(replay: Replay, rows: list[dict[str, Any]], chain: Any) -> None:
    replay.set_faults(rate_500=0.4)
    outputs = await chain(0).abatch([row["text"] for row in rows], {"max_concurrency": 4}, return_exceptions=True)
    for i, (row, output) in enumerate(zip(rows, outputs, strict=True)):
        if not isinstance(output, Exception) and i % 3:
            assert output.text == row["answers"][MODEL]
    assert sum(isinstance(output, Exception) for output in outputs) == replay.stats()["errors_sent"] > 0
