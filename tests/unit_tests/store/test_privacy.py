from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hard_samples import only, sample

from langchain_datashunt import HardSampleStore, HardSampleStoreError
from langchain_datashunt.types import HardSample

SALT = "a secret of the house"


def files_hold(path: Path, text: str) -> bool:
    return any(text.encode() in file.read_bytes() for file in path.parent.iterdir())


def redact(text: str) -> str:
    return text.replace("Smith", "[name]")


def telling(text: str = "Smith was here") -> HardSample:
    return sample(
        text,
        request={"text": text, "Smith": 1},
        raw=f"negative, {text}",
        parsed={"label": "negative", "reason": text},
        problem=f"ValueError: {text}",
        logprobs=[{"token": "Smith", "logprob": -1.0}],
        tags=("Smith",),
        metadata={"Smith": ["Smith"]},
    )


def test_redaction_reaches_every_text_and_no_label(path: Path) -> None:
    with HardSampleStore(path, redact=redact) as store:
        store.append([telling()])
        kept = only(store)
        assert kept.input == "[name] was here"
        assert (kept.label, kept.small_label, kept.tags) == ("negative", "positive", ("[name]",))
        assert kept.metadata == {"[name]": ["[name]"]}
        assert kept.input_hash == store.hash_input("Smith was here")
    assert not files_hold(path, "Smith")


def test_where_a_redaction_raises_nothing_is_written(path: Path) -> None:
    def broken(text: str) -> str:
        raise LookupError(text)

    with HardSampleStore(path, redact=broken) as store:
        with pytest.raises(HardSampleStoreError, match="LookupError"):
            store.append([telling()])
        assert store.health.dropped == 1
        assert store.health.kept == 0


def test_a_loss_is_reported_without_the_texts_of_what_was_lost(path: Path) -> None:
    def broken(text: str) -> str:
        raise LookupError(text)

    with HardSampleStore(path, redact=broken) as store:
        with pytest.raises(HardSampleStoreError):
            store.append([telling()])
        store.flush()
        assert store.stats().losses[0].reason == "LookupError"
    assert not files_hold(path, "Smith")


def test_a_redaction_that_returns_no_text_is_an_error(path: Path) -> None:
    store = HardSampleStore(path, redact=lambda _: None)  # type: ignore[arg-type, return-value]
    with pytest.raises(HardSampleStoreError, match="returns a text; got NoneType"):
        store.append([telling()])


def test_without_inputs_no_text_of_a_record_is_kept(path: Path) -> None:
    with HardSampleStore(path, store_input=False, salt=SALT) as store:
        store.append([telling()])
        kept = only(store)
        assert (kept.input, kept.request, kept.raw, kept.parsed, kept.logprobs) == (None,) * 5
        assert (kept.problem, kept.label) == ("ValueError", "negative")
    assert not files_hold(path, "was here")


def test_a_salted_hash_is_equal_for_equal_inputs_and_for_no_other_salt(tmp_path: Path) -> None:
    stores = [
        HardSampleStore(tmp_path / f"{i}.db", salt=salt)
        for i, salt in enumerate((SALT, SALT, "another secret, as long"))
    ]
    one, same, other = (store.hash_input("a") for store in stores)
    assert one == same != other
    for store in stores:
        store.close()


def test_an_erasure_by_tag_or_input_leaves_no_trace_in_the_files(path: Path) -> None:
    with HardSampleStore(path) as store:
        store.append([sample(f"Smith {i} {'x' * 2000}", tags=("customer:17",)) for i in range(50)])
        store.append([sample("Smith alone"), sample("Jones")])
        assert store.erase(tag="customer:17") == 50
        assert store.erase(input="Smith alone") == 1
        assert store.erase(input="Smith alone") == 0
        assert only(store).input == "Jones"
        assert not files_hold(path, "Smith")
        assert not files_hold(path, "customer:17")


def test_an_erasure_within_a_tenant_leaves_the_others(store: HardSampleStore) -> None:
    store.append([sample("a", tenant="acme"), sample("a", tenant="other")])
    assert store.erase(input="a", tenant="acme") == 1
    assert only(store).tenant == "other"


@pytest.mark.parametrize("time", [datetime(2026, 11, 25, tzinfo=UTC), "2026-11-25", True, None], ids=repr)
def test_a_time_that_is_no_number_deletes_nothing_and_is_no_filter(store: HardSampleStore, time: Any) -> None:
    store.append([sample("a", created_at=10.0)])
    with pytest.raises(HardSampleStoreError, match="before= takes seconds since 1970"):
        store.prune(before=time)
    assert only(store).input == "a"
    if time is not None:
        with pytest.raises(HardSampleStoreError, match="since= takes seconds since 1970"):
            list(store.iter_samples(since=time))


def test_pruning_deletes_what_was_last_seen_before_and_keeps_gold(store: HardSampleStore) -> None:
    old, golden, _ = store.append(
        [sample("old", created_at=10.0), sample("gold", created_at=10.0), sample("new", created_at=30.0)]
    )
    store.label(golden, "positive")
    assert store.prune(before=20.0) == 1
    assert store.get(old) is None
    assert store.prune(before=20.0, keep_gold=False) == 1
    assert only(store).input == "new"
