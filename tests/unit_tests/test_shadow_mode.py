"""Shadow mode, end to end: the log's answers of the LLM make a policy that is certified against the LLM alone."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hard_samples import LABELS, model, parser, sample

from langchain_datashunt import (
    EndToEnd,
    HardSampleCallbackHandler,
    HardSampleStore,
    HardSampleStoreError,
    RunnableDataShunt,
    fit_policy,
)
from langchain_datashunt.testing import ScriptedSmallModel

POSITIVE, NEGATIVE = LABELS
LLM_ACCURACY = 0.9


def drawn(n: int, seed: int) -> tuple[list[str], list[str], dict[str, str]]:
    """Return texts, their true labels, and what the LLM answers; a text ends in how likely it is to be positive."""
    rng = np.random.default_rng(seed)
    sure = rng.uniform(0.5, 1, n) ** 0.5
    texts = [f"review {seed}.{i}: {p if rng.random() < 0.5 else 1 - p:.4f}" for i, p in enumerate(sure)]
    truth = [POSITIVE if rng.random() < chance(text) else NEGATIVE for text in texts]
    right = rng.random(n) < LLM_ACCURACY
    other = {POSITIVE: NEGATIVE, NEGATIVE: POSITIVE}
    answers = {text: label if ok else other[label] for text, label, ok in zip(texts, truth, right, strict=True)}
    return texts, truth, answers


def chance(text: str) -> float:
    return float(text.rsplit(" ", 1)[1])


def small_model() -> ScriptedSmallModel:
    return ScriptedSmallModel(LABELS, lambda text: [chance(text), 1 - chance(text)], version="scripted-1")


def chain_of(answers: dict[str, str], **rule: Any) -> Any:
    llm = model(lambda messages: answers[messages[-1].text.rsplit("Text: ", 1)[-1].split("\n")[0].strip()])
    return RunnableDataShunt(small_model(), **rule) | llm | parser()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[HardSampleStore]:
    with HardSampleStore(tmp_path / "samples.db") as store:
        yield store


def test_shadow_traffic_and_labels_make_a_policy_that_is_no_worse_than_the_llm_and_asks_it_less(
    store: HardSampleStore,
) -> None:
    texts, truth, answers = drawn(400, seed=1)
    shadow = chain_of(answers, threshold=0.9, audit_rate=1.0)
    replies = shadow.batch(texts, {"callbacks": [HardSampleCallbackHandler(store)]})
    assert replies == [answers[text] for text in texts]  # the caller gets the LLM's answers: nothing has changed yet
    order = list(range(len(texts)))
    random.Random(2).shuffle(order)  # noqa: S311  no secret
    shuffled = [texts[i] for i in order]
    kept = store.large_answers(shuffled)
    assert kept == [answers[text] for text in shuffled]

    policy = fit_policy(small_model(), shuffled, [truth[i] for i in order], EndToEnd(kept, margin=0.08))
    assert policy.certificate is not None
    assert "accuracy loss at or below 0.08" in policy.certificate.claim()

    new, new_truth, new_answers = drawn(3000, seed=2)
    system = RunnableDataShunt(small_model(), policy=policy) | model() | parser()
    accepted = system.first.decide_batch(new).accepted
    labels = np.where(accepted, system.first.decide_batch(new).labels, [new_answers[text] for text in new])
    assert accepted.mean() > 0.5
    assert np.mean(labels == new_truth) >= LLM_ACCURACY - 0.08


def test_an_answer_that_failed_or_cannot_be_read_is_none(store: HardSampleStore) -> None:
    store.append(
        [
            sample("read"),
            sample("unread", raw="who knows", label=None),
            sample("failed", complete=False, label=None, teacher_kind="nobody"),
        ]
    )
    assert store.large_answers(["failed", "read", "unread", "read"]) == [None, "negative", None, "negative"]


def test_of_several_answers_the_most_frequent_counts(store: HardSampleStore) -> None:
    store.append([sample("text", label="positive"), *[sample("text")] * 2])
    store.append([sample("text", label="positive", prompt="another prompt")])
    assert store.large_answers(["text"]) == ["negative"]  # two each: the first by name
    store.append([sample("text", label="positive", route="audit", sampling_probability=0.5)])
    assert store.large_answers(["text"]) == ["positive"]


def test_an_input_that_is_not_in_the_log_is_an_error(store: HardSampleStore, tmp_path: Path) -> None:
    path = tmp_path / "labelled.jsonl"
    path.write_text('{"input": "labelled, never answered", "gold": "positive"}\n')
    store.import_jsonl(path)
    store.append([sample("known"), sample("another tenant's", tenant="t"), sample("another policy's", policy_id="p")])
    for missing in ("unknown", "another tenant's", "labelled, never answered"):
        with pytest.raises(HardSampleStoreError, match=r"no request of 1 of 2 inputs.*shadow mode"):
            store.large_answers(["known", missing])
    with pytest.raises(HardSampleStoreError, match="1 of 2 inputs"):
        store.large_answers(["known", "another policy's"], policy_id="policy")
    assert store.large_answers(["another tenant's"], tenant="t") == ["negative"]


def test_answers_of_several_models_are_told_apart(store: HardSampleStore) -> None:
    store.append([sample("text"), sample("text", teacher="provider/better", label="positive")])
    with pytest.raises(HardSampleStoreError, match=r"name one with teacher=: \['provider/better', 'provider/model'\]"):
        store.large_answers(["text"])
    assert store.large_answers(["text"], teacher="provider/better") == ["positive"]


def test_a_large_branch_that_is_no_language_model_has_no_answers(store: HardSampleStore) -> None:
    store.append([sample("text", teacher="function", teacher_kind="other")])
    with pytest.raises(HardSampleStoreError, match="no language model has answered any of the 1 inputs"):
        store.large_answers(["text"])


def test_a_log_of_hashes_hands_over_answers_too(tmp_path: Path) -> None:
    with HardSampleStore(tmp_path / "hashed.db", store_input=False, salt="a secret of the house") as store:
        store.append([sample(f"text {i}", label=LABELS[i % 2]) for i in range(1200)])
        assert store.large_answers([f"text {i}" for i in range(1200)]) == LABELS * 600
        assert store.large_answers([]) == []
