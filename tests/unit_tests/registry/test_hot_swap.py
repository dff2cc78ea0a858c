"""A shunt that serves while versions change under it."""

from __future__ import annotations

import asyncio
import copy
import pickle
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hot_swapping import Expected, llm, recorded, swapping
from langchain_core.load import dumps, loads
from langchain_core.output_parsers import StrOutputParser
from review_versions import COMPLAINTS, PRAISE, TEXTS, answers_of, fitted, policy_for
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from langchain_datashunt import (
    CompositionError,
    HardSampleCallbackHandler,
    HardSampleStore,
    MicroBatched,
    ModelRegistry,
    PolicyMismatchError,
    PromotedModel,
    RegistryError,
    RunnableDataShunt,
    ShuntPolicy,
)
from langchain_datashunt.routing.construction import BuiltRouting

REQUESTS = 200


def alone(promoted: PromotedModel) -> Any:
    return promoted


either_way = pytest.mark.parametrize("served", [alone, MicroBatched], ids=["alone", "micro-batched"])


@either_way
async def test_under_200_concurrent_requests_none_fails_and_each_record_names_the_version_that_answered(
    registry: ModelRegistry, served: Any
) -> None:
    small, expected = PromotedModel(registry.folder), Expected(registry)
    chain = RunnableDataShunt(served(small)) | llm()
    seen: Counter[int] = Counter()
    with swapping(registry, small) as swaps:
        deadline = time.monotonic() + 60
        while (len(seen) < 3 or seen.total() < 5 * REQUESTS) and time.monotonic() < deadline:  # 200 at a time
            texts = [TEXTS[i % len(TEXTS)] for i in range(REQUESTS)]
            messages = await asyncio.gather(*(chain.ainvoke(text) for text in texts))
            seen.update(expected.version_that_answered(text, each) for text, each in zip(texts, messages, strict=True))
    assert seen.total() >= 5 * REQUESTS
    assert set(seen) == {1, 2, 3}
    assert len(swaps) >= 3


def test_who_begins_after_a_reload_has_the_new_version_though_a_slower_thread_puts_the_old_one_back(
    registry: ModelRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = PromotedModel(registry.folder)
    chain = RunnableDataShunt(small) | llm()
    old, is_current = chain._built, BuiltRouting.is_current
    registry.promote(2)
    assert small.reload()

    def put_back(built: BuiltRouting, model: Any) -> bool:
        found = is_current(built, model)
        chain._built = old
        return found

    chain.decide(TEXTS[0])  # builds what the new version needs
    monkeypatch.setattr(BuiltRouting, "is_current", put_back)
    versions = [chain.decide(TEXTS[0]).small_model_version for _ in range(2)]
    assert versions == [small.version] * 2


WAYS = ["invoke", "batch", "stream", "batch_as_completed", "batch_with_decisions"]


def answered(chain: Any, way: str, texts: list[str]) -> list[Any]:
    if way == "invoke":
        return [chain.invoke(text) for text in texts]
    if way == "batch":
        return list(chain.batch(texts))
    if way == "stream":
        return [sum_of(list(chain.stream(text))) for text in texts]
    if way == "batch_as_completed":
        return [message for _, message in sorted(chain.batch_as_completed(texts), key=lambda pair: pair[0])]
    return [output for output, _ in chain.batch_with_decisions(texts)]


def sum_of(chunks: list[Any]) -> Any:
    whole = chunks[0]
    for chunk in chunks[1:]:
        whole += chunk
    return whole


@either_way
@pytest.mark.parametrize("way", WAYS)
def test_in_every_way_of_calling_no_version_is_mixed_with_another(
    registry: ModelRegistry, way: str, served: Any
) -> None:
    for seed in range(3):  # the same models again, deferring half of the texts
        small = fitted(seed)
        threshold = float(np.median([confidence for _, confidence in answers_of(small).values()]))
        registry.add(small, policy_for(small, threshold))
    registry.promote(4)
    promoted, expected = PromotedModel(registry.folder), Expected(registry)
    chain = RunnableDataShunt(served(promoted)) | llm()

    def ask(_: int) -> list[int]:
        messages = answered(chain, way, TEXTS)
        return [expected.version_that_answered(text, each) for text, each in zip(TEXTS, messages, strict=True)]

    seen: set[int] = set()
    stop = threading.Event()

    def swap() -> None:
        while not stop.is_set():
            registry.promote(4 + (promoted.number % 3))
            promoted.reload()

    thread = threading.Thread(target=swap)
    thread.start()
    try:
        with ThreadPoolExecutor(8) as pool:
            deadline = time.monotonic() + 20
            while len(seen) < 3 and time.monotonic() < deadline:
                for versions in pool.map(ask, range(16)):
                    seen.update(versions)
                    if way in ("batch", "batch_as_completed", "batch_with_decisions"):
                        assert len(set(versions)) == 1
    finally:
        stop.set()
        thread.join()
    assert seen == {4, 5, 6}


def test_the_log_names_the_version_too(registry: ModelRegistry, tmp_path: Path) -> None:
    surest = 1.0
    for seed in range(2):
        small = fitted(seed)
        registry.add(small, policy_for(small, surest))
    registry.promote(4)
    promoted = PromotedModel(registry.folder)
    with HardSampleStore(tmp_path / "samples.db") as store:
        chain = (RunnableDataShunt(promoted) | llm()).with_config(callbacks=[HardSampleCallbackHandler(store)])
        chain.batch(PRAISE)
        registry.promote(5)
        promoted.reload()
        chain.batch(COMPLAINTS)
        samples = list(store.iter_samples())
    cards = {number: registry.version(number).card for number in (4, 5)}
    named = {sample.input: (sample.small_model_version, sample.policy_id) for sample in samples}
    assert {named[text] for text in PRAISE} == {(cards[4].small_model_version, cards[4].policy_id)}
    assert {named[text] for text in COMPLAINTS} == {(cards[5].small_model_version, cards[5].policy_id)}


def test_reload_says_whether_the_version_has_changed(registry: ModelRegistry) -> None:
    small = PromotedModel(registry.folder)
    assert (small.reload(), small.number) == (False, 1)
    registry.promote(3)
    assert (small.reload(), small.number) == (True, 3)
    registry.rollback()
    assert (small.reload(), small.number) == (True, 1)
    assert small.version == registry.version(1).card.small_model_version
    assert small.policy == registry.version(1).policy


@either_way
def test_shunts_bound_before_and_after_follow_one_reload(registry: ModelRegistry, served: Any) -> None:
    small = PromotedModel(registry.folder)
    unbound = RunnableDataShunt(served(small))
    chains = [unbound | llm(), unbound | llm() | StrOutputParser(), (unbound | llm()).with_retry()]
    said_before = [[getattr(each, "content", each) for each in chain.batch(TEXTS)] for chain in chains]
    registry.promote(2)
    small.reload()
    chains.append(copy.deepcopy(chains[0]))
    said = [[getattr(each, "content", each) for each in chain.batch(TEXTS)] for chain in chains]
    assert all(each == said[0] for each in said)
    assert all(each == said_before[0] for each in said_before)
    assert all(first != second for first, second in zip(said[0], said_before[0], strict=True))


def test_a_version_that_cannot_be_loaded_leaves_the_old_one_serving(registry: ModelRegistry) -> None:
    small = PromotedModel(registry.folder)
    chain = RunnableDataShunt(small) | llm()
    before = [message.content for message in chain.batch(TEXTS)]
    registry.promote(2)
    (registry.version(2).folder / "model" / "estimator.skops").write_bytes(b"")
    with pytest.raises(RegistryError, match=r"changed: model/estimator\.skops"):
        small.reload()
    assert small.number == 1
    assert [message.content for message in chain.batch(TEXTS)] == before


def test_a_version_with_other_classes_is_not_switched_to(registry: ModelRegistry) -> None:
    small = PromotedModel(registry.folder)
    other = make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(TEXTS, ["good"] * 4 + ["bad"] * 4)
    registry.promote(registry.add(other, policy_for(other)).number)
    unpickled = pickle.loads(pickle.dumps(small))
    for each in (small, unpickled):
        with pytest.raises(PolicyMismatchError, match="so build them anew"):
            each.reload()
        assert each.number == 1


def test_an_empty_registry_has_nothing_to_serve(tmp_path: Path) -> None:
    with pytest.raises(RegistryError, match="is promoted: ModelRegistry"):
        PromotedModel(tmp_path / "models")


@either_way
@pytest.mark.parametrize("given", [{"threshold": 0.9}, {"policy": ShuntPolicy(classes=("a", "b"), threshold=0.9)}])
def test_a_promoted_model_brings_its_policy_along(registry: ModelRegistry, given: dict[str, Any], served: Any) -> None:
    with pytest.raises(CompositionError, match="brings its own policy"):
        RunnableDataShunt(served(PromotedModel(registry.folder)), **given)


@either_way
@pytest.mark.parametrize("of", ["bound", "unbound", "chain"])
def test_pickled_it_serves_the_same_version_until_it_is_reloaded(registry: ModelRegistry, of: str, served: Any) -> None:
    small = PromotedModel(registry.folder)
    unbound = RunnableDataShunt(served(small))
    parts = {"unbound": unbound, "bound": unbound | llm(), "chain": unbound | llm() | StrOutputParser()}
    pickled = pickle.dumps(parts[of])
    registry.promote(2)
    small.reload()
    again = pickle.loads(pickled)
    again = again | llm() if of == "unbound" else again
    first = {text: label for text, (label, _) in answers_of(fitted(0)).items()}
    assert [getattr(each, "content", each) for each in again.batch(TEXTS)] == [first[text] for text in TEXTS]


@pytest.mark.filterwarnings("ignore:The function `loads` is in beta")
def test_written_down_by_langchain_it_names_the_registry(registry: ModelRegistry) -> None:
    written = dumps(PromotedModel(registry.folder))
    registry.promote(3)
    again = loads(written, allowed_objects=[PromotedModel], valid_namespaces=["langchain_datashunt"])
    assert (again.number, again.folder) == (3, str(registry.folder))


@either_way
def test_tools_and_schemas_bound_to_the_large_branch_keep_the_promoted_model(
    registry: ModelRegistry, served: Any
) -> None:
    small = PromotedModel(registry.folder)
    chain = (RunnableDataShunt(served(small)) | llm()).bind_tools([])
    registry.promote(2)
    small.reload()
    assert recorded(chain.invoke(TEXTS[0]))["policy_id"] == registry.version(2).policy.policy_id


class Counting:
    """A model that notes how large its passes are."""

    def __init__(self, model: Any) -> None:
        self.model = model
        self.classes_ = model.classes_
        self.passes: list[int] = []

    def predict_proba(self, inputs: Any) -> Any:
        self.passes.append(len(inputs))
        time.sleep(0.01)
        return self.model.predict_proba(inputs)


async def test_shunts_over_one_micro_batched_promoted_model_share_passes_and_each_version_has_its_own(
    registry: ModelRegistry,
) -> None:
    promoted, expected = PromotedModel(registry.folder), Expected(registry)
    shunt = RunnableDataShunt(MicroBatched(promoted, max_wait_ms=1000))
    chains = [shunt | llm(), (shunt | llm()).bind_tools([])]
    texts = [text for text in TEXTS for _ in chains]
    models: list[Counting] = []
    asked: list[Any] = []
    for number in (1, 2):
        registry.promote(number)
        promoted.reload()
        models.append(Counting(promoted.served.small))
        promoted._served = replace(promoted.served, small=models[-1])
        asked += [asyncio.create_task(chain.ainvoke(text)) for text in TEXTS for chain in chains]
        await asyncio.sleep(0.05)  # the first ones wait for company while the second version is promoted
    pairs = zip(texts * 2, await asyncio.gather(*asked), strict=True)
    versions = [expected.version_that_answered(text, message) for text, message in pairs]
    assert versions == [1] * len(texts) + [2] * len(texts)
    assert [model.passes for model in models] == [[len(texts)]] * 2


def test_called_without_a_shunt_micro_batching_follows_the_promoted_model(registry: ModelRegistry) -> None:
    promoted = PromotedModel(registry.folder)
    small = MicroBatched(promoted)
    for number in (1, 2):
        registry.promote(number)
        promoted.reload()
        assert small.version == registry.version(number).card.small_model_version
        expected = registry.load(number).small.predict_proba(TEXTS)
        assert [list(small.predict_proba([text])[0]) for text in TEXTS] == [list(row) for row in np.asarray(expected)]


def test_a_decision_model_of_a_small_model_alone_says_that_it_follows_no_versions(registry: ModelRegistry) -> None:
    decisions = pytest.importorskip("langchain_datashunt.decisions", reason="needs langchain-core 1.8")
    for small in (PromotedModel(registry.folder), MicroBatched(PromotedModel(registry.folder))):
        with pytest.raises(CompositionError, match="takes no PromotedModel"):
            decisions.SmallModelDecisions(small)
