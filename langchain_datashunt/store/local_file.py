"""Writing to a local SQLite file without ever holding up the caller for long."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from langchain_datashunt.errors import HardSampleStoreError
from langchain_datashunt.store.databases import Durability, sqlite_engine


class LocalFile:
    """A SQLite file that threads and processes write to in turns.

    A write waits up to `busy_timeout` seconds for another process's. If that was in vain, writes are refused at once
    for as long again: one caller waited, not every one.
    """

    def __init__(self, path: Path, *, durability: Durability, busy_timeout: float) -> None:
        """Open or make the file."""
        self.path = path
        self.engine: Engine = sqlite_engine(path, durability=durability, busy_timeout=busy_timeout)
        self._busy_timeout = busy_timeout
        self._refused_until = 0.0
        self._lock = threading.Lock()  # threads of one process queue here, without SQLite's polling
        self._connection: Any = None

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """Give a transaction, committed at the end.

        It is the driver's own connection, kept open: the caller waits, and SQLAlchemy would triple the time.

        Raises:
            HardSampleStoreError: The file cannot be written; nothing of the transaction is kept.
        """
        with self._lock:
            if time.monotonic() < self._refused_until:
                raise HardSampleStoreError(f"{str(self.path)!r} was locked by another process a moment ago")
            try:
                with _transaction(self._driver()) as connection:
                    yield connection
            except (sqlite3.Error, SQLAlchemyError) as error:
                if "locked" in str(error):
                    self._refused_until = time.monotonic() + self._busy_timeout
                self._disconnect()
                raise HardSampleStoreError(f"{str(self.path)!r} cannot be written: {error}") from error

    def close(self) -> None:
        """Close the file."""
        self._disconnect()
        self.engine.dispose()

    def after_fork(self) -> None:
        """Forget connections and locks of the parent process."""
        self.engine.dispose(close=False)
        _INHERITED.append(self._connection)
        self._connection = None
        self._lock = threading.Lock()

    def _driver(self) -> sqlite3.Connection:
        if self._connection is None:
            self._connection = self.engine.raw_connection()
        driver: sqlite3.Connection = self._connection.driver_connection
        return driver

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.invalidate()
            self._connection = None


_INHERITED: list[Any] = []
"""Connections of a parent process: closing one here would take the parent's locks off the file."""


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield connection
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")
