from __future__ import annotations

from pathlib import Path

import pytest
from hard_samples import only, sample
from sqlalchemy import text

from langchain_datashunt import HardSampleStore


def test_samples_come_in_the_order_of_their_arrival_over_many_pages(store: HardSampleStore) -> None:
    store.append([sample(f"text {i}") for i in range(1203)])
    assert [kept.input for kept in store.iter_samples()] == [f"text {i}" for i in range(1203)]


def test_writing_while_iterating_neither_blocks_nor_repeats(store: HardSampleStore) -> None:
    store.append([sample(f"text {i}") for i in range(600)])
    seen = []
    for i, kept in enumerate(store.iter_samples()):
        seen.append(kept.input)
        if i < 100:
            store.append([sample(f"text {i}"), sample(f"late {i}")])
    assert len(seen) == len(set(seen)) == 700


def test_filters_go_together(store: HardSampleStore) -> None:
    store.append(
        [
            sample("a", tenant="acme", policy_id="p1", tags=("x",), created_at=10.0),
            sample("b", tenant="acme", policy_id="p1", tags=("x",), created_at=20.0),
            sample("c", tenant="acme", policy_id="p2", tags=("x",), created_at=20.0),
            sample("d", tenant="other", policy_id="p1", tags=("x",), created_at=20.0),
            sample("e", tenant="acme", policy_id="p1", tags=("y",), created_at=20.0),
            sample("f", tenant="acme", policy_id="p1", tags=("x",), created_at=20.0, label=None),
        ]
    )
    found = store.iter_samples(tenant="acme", policy_id="p1", tag="x", since=15.0, trainable_only=True)
    assert [kept.input for kept in found] == ["b"]


def test_one_record_is_found_by_its_id(store: HardSampleStore) -> None:
    (id_,) = store.append([sample("a")])
    found = store.get(id_)
    assert found is not None
    assert found.input == "a"
    assert store.get("nothing") is None


def test_the_nearest_records_are_those_nearest_in_confidence(store: HardSampleStore) -> None:
    store.append([sample(f"{c}", confidence=c) for c in (0.1, 0.4, 0.55, 0.62, 0.9)])
    store.append([sample("no prediction", confidence=None), sample("another's", tenant="other", confidence=0.6)])
    assert [kept.confidence for kept in store.nearest(0.6, limit=3)] == pytest.approx([0.62, 0.55, 0.4])


TRAINING = "tenant = 'a' AND seq > 5 AND (quality = 2 OR gold IS NOT NULL)"
ALL = "SELECT * FROM samples"
SUMS = "SELECT tenant, policy_id, route, COUNT(*), SUM(complete_count), COUNT(gold)"


@pytest.mark.parametrize(
    ("query", "index"),
    [
        (f"{ALL} WHERE {TRAINING} ORDER BY seq LIMIT 9", "samples_trainable"),
        (
            f"{ALL} WHERE tenant = 'a' AND confidence >= 0.5 ORDER BY confidence LIMIT 9",
            "samples_confidence",
        ),
        ("SELECT id FROM samples WHERE last_seen < 5 LIMIT 9", "samples_last_seen"),
        ("SELECT id FROM samples WHERE input_hash = 'x' LIMIT 9", "samples_input"),
        (
            f"{SUMS} FROM samples GROUP BY tenant, policy_id, route",
            "COVERING INDEX samples_stats",
        ),
    ],
)
def test_each_query_walks_along_an_index(store: HardSampleStore, query: str, index: str) -> None:
    with store._engine.connect() as connection:
        plan = "\n".join(str(row.detail) for row in connection.execute(text(f"EXPLAIN QUERY PLAN {query}")))
    assert index in plan
    assert "TEMP B-TREE" not in plan


HOSTILE = ["'; DROP TABLE samples; --", '" OR 1=1 --', ":tenant", "%s %(x)s", "{candidates} {0}", "\\'; --"]


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_texts_are_only_texts(store: HardSampleStore, text: str) -> None:
    given = sample(text, tenant=text, policy_id=text, teacher=text, label=text, tags=(text,), metadata={text: text})
    (id_,) = store.append(
        [
            given,
        ]
    )
    store.append([sample("innocent")])
    store.label(id_, text)
    (kept,) = store.iter_samples(tenant=text, policy_id=text, tag=text)
    assert (kept.input, kept.gold, kept.answers, kept.metadata) == (text, text, {text: 1}, {text: text})
    assert store.stats(tenant=text).routes[0].samples == 1
    assert store.erase(tag=text) == 1
    assert only(store).input == "innocent"


@pytest.mark.parametrize("text", ["nul \0 inside", "\ud800 lone", "\U0001f600 ☃", "x" * 5_000_000, ""])
def test_any_text_can_be_an_input(path: Path, text: str) -> None:
    with HardSampleStore(path) as store:
        store.append([sample(text, raw=text, tags=(text,), metadata={"k": text})])
        kept = only(store)
        assert (kept.input, kept.raw, kept.tags, kept.metadata) == (text, text, (text,), {"k": text})
        assert store.erase(tag=text) == 1
