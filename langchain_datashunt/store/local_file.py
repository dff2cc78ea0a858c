"""Writing to a local SQLite file without ever holding up the caller for long."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import OperationalError, SQLAlchemyError

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

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """Give a transaction, committed at the end.

        Raises:
            HardSampleStoreError: The file cannot be written; nothing of the transaction is kept.
        """
        try:
            with self._lock:
                if time.monotonic() < self._refused_until:
                    raise HardSampleStoreError(f"{str(self.path)!r} was locked by another process a moment ago")
                try:
                    with self.engine.begin() as connection:
                        yield connection
                except OperationalError as error:
                    if "locked" in str(error.orig):
                        self._refused_until = time.monotonic() + self._busy_timeout
                    raise
        except SQLAlchemyError as error:
            reason = getattr(error, "orig", None) or error  # without the statement, whose values are private
            raise HardSampleStoreError(f"{str(self.path)!r} cannot be written: {reason}") from error

    def close(self) -> None:
        """Close the file."""
        self.engine.dispose()

    def after_fork(self) -> None:
        """Forget connections and locks of the parent process."""
        self.engine.dispose(close=False)
        self._lock = threading.Lock()
