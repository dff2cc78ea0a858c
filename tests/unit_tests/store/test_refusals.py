from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hard_samples import sample

from langchain_datashunt import HardSampleStore, HardSampleStoreError


@pytest.mark.parametrize("name", ["tenant", "policy_id", "teacher", "label"])
@pytest.mark.parametrize("value", ["nul \0", "\ud800", "x" * 501])
def test_a_key_that_no_index_can_hold_is_refused_and_counted(store: HardSampleStore, name: str, value: str) -> None:
    with pytest.raises(HardSampleStoreError, match=f"{name} is a text of at most 500 characters"):
        store.append([sample("a", **{name: value})])
    assert list(store.iter_samples()) == []
    assert store.health.dropped == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"url": ":memory:"}, "a store is a file"),
        ({"url": "sqlite://"}, "a store is a file"),
        ({"url": "mysql://host/db"}, "got the database 'mysql'"),
        ({"url": "/no/such/folder/samples.db"}, "there is no folder '/no/such/folder'"),
        ({"durability": "most"}, "durability is one of"),
        ({"spool": "spool.db"}, "a spool stands in front of a server"),
        ({"store_input": False}, "without a salt"),
        ({"salt": "short"}, "at least 16 characters; got 5"),
    ],
)
def test_options_that_cannot_work_are_refused_at_once(path: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(HardSampleStoreError, match=message):
        HardSampleStore(**{"url": path, **options})


def test_a_file_that_is_no_database_is_refused(path: Path) -> None:
    path.write_bytes(b"this is a text, and no database at all; " * 50)
    with pytest.raises(HardSampleStoreError, match="not a database"):
        HardSampleStore(path)


def test_an_erasure_of_nothing_in_particular_is_refused(store: HardSampleStore) -> None:
    with pytest.raises(HardSampleStoreError, match="names one of a tag and an input"):
        store.erase()


def test_errors_hold_no_values(store: HardSampleStore) -> None:
    store.append([])
    with store._engine.begin() as connection:
        connection.exec_driver_sql("DROP TABLE tags")
    with pytest.raises(HardSampleStoreError) as caught:
        store.append([sample("secret", tags=("secret",))])
    assert "secret" not in str(caught.value)
    assert "secret" not in str(caught.value.__cause__)
