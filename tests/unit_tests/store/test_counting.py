from __future__ import annotations

from typing import Any

import pytest
from hard_samples import only, sample

from langchain_datashunt import HardSampleStore, HardSampleStoreError


def test_what_comes_out_is_what_went_in(store: HardSampleStore) -> None:
    given = sample("a", request={"text": "a"}, candidates=("negative",), tags=("x", "y"), metadata={"k": [1, None]})
    store.append([given])
    kept = only(store)
    for name in ("input", "request", "classes", "probabilities", "candidates", "tags", "metadata", "raw", "label"):
        assert getattr(kept, name) == getattr(given, name)
    assert kept.prompt == ""
    assert len(kept.prompt_hash) == 64


def test_equal_records_are_one_row_whose_tokens_add_up(store: HardSampleStore) -> None:
    first, second = (
        store.append([sample("a", input_tokens=3, created_at=5.0)]),
        store.append([sample("a", input_tokens=4, created_at=2.0)]),
    )
    kept = only(store)
    assert first == second
    assert (kept.complete_count, kept.input_tokens) == (2, 7)
    assert (kept.first_seen, kept.last_seen) == (2.0, 5.0)


@pytest.mark.parametrize(
    "change",
    [
        {"tenant": "other"},
        {"policy_id": "other"},
        {"prompt": "other"},
        {"teacher": "other"},
        {"route": "audit", "sampling_probability": 0.02},
        {"route": "audit", "sampling_probability": 1.0},
    ],
)
def test_each_part_of_the_key_makes_another_row(store: HardSampleStore, change: dict[str, Any]) -> None:
    store.append([sample("a"), sample("a", **change)])
    assert len(list(store.iter_samples())) == 2


def test_audits_of_another_sampling_probability_are_another_row(store: HardSampleStore) -> None:
    store.append([sample("a", route="audit", sampling_probability=p) for p in (0.02, 0.05)])
    assert sorted(kept.sampling_probability for kept in store.iter_samples()) == [0.02, 0.05]


@pytest.mark.parametrize("better_first", [True, False])
def test_the_better_record_stays_in_whatever_order_they_come(store: HardSampleStore, better_first: bool) -> None:
    worse = sample("a", complete=False, label=None, raw=None, problem="ConnectionError: down")
    unread = sample("a", label=None, raw="well", problem="the reply names none of the classes")
    better = sample("a", raw="negative")
    for record in [better, unread, worse] if better_first else [worse, unread, better]:
        store.append([record])
    kept = only(store)
    assert (kept.raw, kept.label, kept.problem) == ("negative", "negative", None)
    assert (kept.complete_count, kept.incomplete_count) == (2, 1)
    assert kept.answers == {"negative": 1}


def test_answers_that_tie_are_no_target(store: HardSampleStore) -> None:
    store.append([sample("a", label="negative"), sample("a", label="positive", raw="positive")])
    kept = only(store)
    assert kept.answers == {"negative": 1, "positive": 1}
    assert kept.target is None


def test_a_gold_label_is_the_target(store: HardSampleStore) -> None:
    (id_,) = store.append([sample("a", label=None)])
    assert list(store.iter_samples(trainable_only=True)) == []
    store.label(id_, "positive")
    assert only(store).target == "positive"
    assert [kept.id for kept in store.iter_samples(trainable_only=True)] == [id_]
    store.append([sample("a")])
    assert only(store).target == "positive"
    store.label(id_, None)
    assert only(store).gold is None


def test_a_gold_label_of_an_unknown_record_is_an_error(store: HardSampleStore) -> None:
    with pytest.raises(HardSampleStoreError, match="no sample with the id 'nothing'"):
        store.label("nothing", "positive")


@pytest.mark.parametrize("kind", ["small", "other", "nobody"])
def test_only_language_models_teach(store: HardSampleStore, kind: Any) -> None:
    store.append([sample("a", teacher_kind=kind)])
    assert not only(store).trainable
    assert list(store.iter_samples(trainable_only=True)) == []


def test_requests_are_counted_by_day_and_route(store: HardSampleStore) -> None:
    for _ in range(5):
        store.count_request("acme", "policy", "small")
    store.count_request("acme", "policy", "large")
    store.flush()
    traffic = {count.route: count.requests for count in store.stats().traffic}
    assert traffic == {"small": 5, "large": 1}


def test_stats_count_samples_sightings_and_tokens(store: HardSampleStore) -> None:
    store.append([sample("a", output_tokens=2), sample("a", output_tokens=2), sample("b", complete=False, label=None)])
    (id_, _) = (kept.id for kept in store.iter_samples())
    store.label(id_, "negative")
    (row,) = store.stats().routes
    assert (row.samples, row.complete, row.incomplete, row.trainable, row.gold) == (2, 2, 1, 1, 1)
    assert row.output_tokens == 4


def test_stats_of_one_tenant_hold_nothing_of_another(store: HardSampleStore) -> None:
    store.append([sample("a", tenant="acme"), sample("a", tenant="other")])
    (row,) = store.stats(tenant="acme").routes
    assert (row.tenant, row.samples) == ("acme", 1)
