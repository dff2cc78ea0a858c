from __future__ import annotations

from pathlib import Path

import pytest
from hard_samples import only, sample
from log_writers import run_at_once, write_samples
from sqlalchemy import text

from langchain_datashunt import HardSampleStore, HardSampleStoreError
from langchain_datashunt.store.databases import sqlite_engine
from langchain_datashunt.store.migrations import MIGRATIONS, migrate

NEXT = (*MIGRATIONS, ("ALTER TABLE samples ADD COLUMN mood TEXT", "CREATE TABLE moods (mood TEXT)"))


def version(path: Path) -> int:
    with sqlite_engine(path).begin() as connection:
        return int(connection.execute(text("SELECT version FROM schema_version")).scalar_one())


def test_migrating_twice_is_a_noop(path: Path) -> None:
    engine = sqlite_engine(path)
    for _ in range(2):
        migrate(engine)
    assert version(path) == len(MIGRATIONS)


def test_a_log_of_an_older_version_keeps_its_records(path: Path) -> None:
    with HardSampleStore(path) as store:
        store.append([sample("a")])
    migrate(sqlite_engine(path), NEXT)
    assert version(path) == len(NEXT)
    with sqlite_engine(path).begin() as connection:
        assert connection.execute(text("SELECT mood, tenant FROM samples")).all() == [(None, "")]


def test_a_log_of_the_first_version_gets_the_later_indexes(path: Path) -> None:
    engine = sqlite_engine(path)
    migrate(engine, MIGRATIONS[:1])
    with HardSampleStore(path):
        pass
    with engine.begin() as connection:
        indexes = connection.execute(text("SELECT name FROM sqlite_master WHERE type = 'index'")).scalars().all()
    assert "samples_gold" in indexes


def test_a_log_of_a_newer_version_is_refused(path: Path) -> None:
    migrate(sqlite_engine(path), NEXT)
    newer, known = len(NEXT), len(MIGRATIONS)
    with pytest.raises(HardSampleStoreError, match=rf"version {newer}; this .* versions up to {known}; upgrade"):
        HardSampleStore(path)


def test_a_migration_that_fails_changes_nothing(path: Path) -> None:
    broken = (*MIGRATIONS, ("ALTER TABLE samples ADD COLUMN mood TEXT", "CREATE TABLE samples (again TEXT)"))
    with HardSampleStore(path) as store:
        store.append([sample("a")])
    with pytest.raises(HardSampleStoreError, match="already exists"):
        migrate(sqlite_engine(path), broken)
    assert version(path) == len(MIGRATIONS)
    with HardSampleStore(path) as store:
        assert only(store).input == "a"


def test_processes_that_start_at_once_make_the_tables_once(path: Path) -> None:
    for i in range(5):
        fresh = path.with_name(f"{i}.db")
        run_at_once(8, write_samples, str(fresh), None, 1)
        assert version(fresh) == len(MIGRATIONS)
        with HardSampleStore(fresh) as store:
            assert len(list(store.iter_samples())) == 9
