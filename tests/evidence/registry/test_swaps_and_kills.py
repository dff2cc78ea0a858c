"""Hot swaps and kills at length; the results stand in docs/registry.md."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from pathlib import Path

import pytest
from hot_swapping import Expected, llm, swapping
from registry_processes import elsewhere, promote_for_ever
from review_versions import TEXTS, answers_of, fitted, policy_for

from langchain_datashunt import ModelRegistry, PromotedModel, RunnableDataShunt

pytestmark = [
    pytest.mark.evidence,
    pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning"),
]

AT_ONCE, ROUNDS, KILLS = 200, 50, 200


@pytest.fixture
def registry(tmp_path: Path) -> ModelRegistry:
    """Three versions that defer nothing and three that defer half, the first promoted."""
    registry = ModelRegistry(tmp_path / "models")
    for threshold in (0.5, 0.66):
        for seed in range(3):
            registry.add(fitted(seed), policy_for(fitted(seed), threshold))
    registry.promote(1)
    return registry


async def test_ten_thousand_requests_while_versions_change(registry: ModelRegistry) -> None:
    small, expected = PromotedModel(registry.folder), Expected(registry)
    chain = RunnableDataShunt(small) | llm()
    seen: Counter[int] = Counter()
    routes: Counter[str] = Counter()
    with swapping(registry, small) as swaps:
        for _ in range(ROUNDS):
            texts = [TEXTS[i % len(TEXTS)] for i in range(AT_ONCE)]
            messages = await asyncio.gather(*(chain.ainvoke(text) for text in texts))
            seen.update(expected.version_that_answered(text, each) for text, each in zip(texts, messages, strict=True))
            routes.update(each.response_metadata["datashunt"]["route"] for each in messages)
    assert seen.total() == ROUNDS * AT_ONCE
    print(
        f"\n{seen.total()} requests, {AT_ONCE} at a time, none failed; {len(swaps)} swaps; every record agrees with "
        f"the version that it names; requests a version {dict(sorted(seen.items()))}; routes {dict(routes)}"
    )


def test_two_hundred_kills_while_promoting(registry: ModelRegistry) -> None:
    small = PromotedModel(registry.folder)
    expected = {number: answers_of(fitted(number - 1)) for number in (1, 2, 3)}
    draw = random.Random(0)  # noqa: S311  moments
    entries = 1
    for _ in range(KILLS):
        process = elsewhere(promote_for_ever, registry.folder)
        while len(registry.history()) == entries:
            time.sleep(0.001)
        time.sleep(draw.uniform(0, 0.03))
        process.kill()
        process.join()
        assert answers_of(small) == expected[small.number]
        history = ModelRegistry(registry.folder).history()
        assert [entry.sequence for entry in history] == list(range(1, len(history) + 1))
        entries = len(history)
        small.reload()
        assert (small.number, answers_of(small)) == (history[-1].version, expected[small.number])
    print(
        f"\n{KILLS} kills during promotions, {entries} entries: no gap in the journal, and a version served each time"
    )
