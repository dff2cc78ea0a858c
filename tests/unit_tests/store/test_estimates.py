"""What the audits in the log say of the accepted inputs."""

from __future__ import annotations

import pytest
from hard_samples import EASY, HARD, model, parser, sample, shunt, small_model

from langchain_datashunt import HardSampleCallbackHandler, HardSampleStore
from langchain_datashunt.types import HardSample


def audit(text: str, label: str = "positive", rate: float = 0.02, **fields: object) -> HardSample:
    given = {"route": "audit", "reason": "accepted", "confidence": 0.9, "sampling_probability": rate, **fields}
    return sample(text, label=label, raw=label, parsed=label, small_label="positive", **given)


def audits(agreeing: int, disagreeing: int, rate: float = 0.02) -> list[HardSample]:
    labels = ["positive"] * agreeing + ["negative"] * disagreeing
    return [audit(f"{rate} {i}", label, rate) for i, label in enumerate(labels)]


def test_disagreement_is_estimated_from_audits_alone(store: HardSampleStore) -> None:
    store.append([*audits(95, 5), *(sample(f"deferred {i}") for i in range(300))])
    found = store.estimate(policy_id="policy").disagreement
    assert (found.quantity, found.audits, found.misses, found.rate) == ("disagreement", 100, 5, 0.05)
    assert 0 < found.low < 0.05 < found.high < 0.12


def test_audits_of_mixed_rates_are_weighted(store: HardSampleStore) -> None:
    store.append([*audits(80, 20, 0.1), *audits(480, 20, 0.5)])
    assert store.estimate(policy_id="policy").disagreement.rate == pytest.approx(0.12)


def test_repeated_requests_count_as_often_as_they_were_made(store: HardSampleStore) -> None:
    store.append([*[audit("often", "negative")] * 3, audit("often", "positive"), audit("once", "positive")])
    found = store.estimate(policy_id="policy").disagreement
    assert (found.audits, found.misses) == (5, 3)


def test_without_audits_nothing_is_known(store: HardSampleStore) -> None:
    store.append([sample("deferred")])
    found = store.estimate(policy_id="policy")
    assert (found.disagreement.rate, found.error.rate, found.error_through_teacher) == (None, None, None)
    assert found.disagreement.high == 1.0


def test_other_policies_and_tenants_are_left_out(store: HardSampleStore) -> None:
    store.append([audit("a"), audit("b", policy_id="other"), audit("c", tenant="t", label="negative")])
    assert store.estimate(policy_id="policy").disagreement.audits == 2
    assert store.estimate(policy_id="policy", tenant="t").disagreement.misses == 1
    assert store.estimate(policy_id="nobody").disagreement.audits == 0


def test_error_is_estimated_from_peoples_labels(store: HardSampleStore) -> None:
    ids = store.append(audits(95, 5))
    for i, id_ in enumerate(ids):
        store.label(id_, "negative" if i in (0, 1, 98, 99) else "positive")  # twice both models are wrong
    found = store.estimate(policy_id="policy")
    assert (found.error.audits, found.error.misses, found.error.rate) == (100, 4, 0.04)
    assert found.disagreement.misses == 5
    assert found.error_through_teacher is not None
    assert found.error_through_teacher.high > found.error.high
    assert found.doubts == ()


def test_labels_of_chosen_audits_raise_doubts(store: HardSampleStore) -> None:
    ids = store.append(audits(95, 5))
    for id_ in ids[-5:]:
        store.label(id_, "negative")
    (doubt,) = store.estimate(policy_id="policy").doubts
    assert "no random share" in doubt
    assert "5 of 5 with such a label and in 0 of 95 without" in doubt


def test_audits_without_an_answer_are_counted_and_reported(store: HardSampleStore) -> None:
    failed = audit("failed", complete=False, teacher_kind="small", route="small_on_error", reason="large_error")
    unread = audit("unread", label=None)  # type: ignore[arg-type]
    deferred = sample("deferred", route="small_on_error", complete=False, teacher_kind="small")
    store.append([audit("a"), failed, unread, deferred])
    found = store.estimate(policy_id="policy")
    assert (found.disagreement.audits, found.unlabelled) == (1, 2)
    assert "2 further audits" in found.doubts[0]
    assert found.doubts[0] in str(found)


def test_the_estimate_from_a_chains_audits_covers_how_often_the_llm_would_disagree(store: HardSampleStore) -> None:
    texts = [f"{EASY} {i}" for i in range(600)]
    answers = {text: "negative" if i % 10 == 0 else "positive" for i, text in enumerate(texts)}
    chain = (
        shunt(small_model(), model(lambda messages: answers.get(messages[-1].text, "negative")), audit_rate=0.25)
        | parser()
    )
    chain.batch([*texts, *[f"{HARD} {i}" for i in range(50)]], {"callbacks": [HardSampleCallbackHandler(store)]})
    found = store.estimate(policy_id="", confidence_level=1 - 1e-7).disagreement
    assert 90 < found.audits < 220  # 150 expected, standard deviation 10.6
    assert found.low < 0.1 < found.high < 0.5
