"""Writing for a remote store: into a local spool while the caller waits, from there by one background thread."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence

from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DataError, IntegrityError, SQLAlchemyError

from langchain_datashunt.errors import HardSampleStoreError
from langchain_datashunt.store.migrations import migrate
from langchain_datashunt.store.rows import Entry, LossEntry
from langchain_datashunt.store.spool import Spool
from langchain_datashunt.store.writing import write

logger = logging.getLogger(__name__)

_BATCH = 500
_SHORTEST_PAUSE = 0.2
_LONGEST_PAUSE = 10.0
"""Seconds between two tries of a server that is down."""
_LOOK_AGAIN = 60.0
"""Seconds after which to look for what another process left in the same spool."""

_ENTER_SPOOL = text("INSERT INTO spools (id, shipped_through) VALUES (:id, 0) ON CONFLICT DO NOTHING")
# the lock on this row makes the shippers of a spool take turns
_SHIPPED_THROUGH = text("SELECT shipped_through FROM spools WHERE id = :id FOR UPDATE")
_ADVANCE = text("UPDATE spools SET shipped_through = :seq WHERE id = :id")

Write = Callable[[Connection, Sequence[Entry]], None]


class SpooledWriter:
    """Keeps entries in a spool and ships them; each is counted exactly once, whatever crashes in between.

    The remote store notes, in the transaction that counts the entries, up to which number the spool was shipped.
    """

    def __init__(self, spool: Spool, remote: Engine) -> None:
        """Ship what an earlier process has left, and what comes."""
        self._spool = spool
        self._remote = remote
        self._migrated = False
        self._start()

    def append(self, entries: Sequence[Entry]) -> None:
        """Keep the entries in the spool.

        Raises:
            HardSampleStoreError: The spool cannot be written; nothing of them is kept.
        """
        self._spool.append(entries)
        self._work.set()

    def pending(self) -> int:
        """Return how many entries wait in the spool."""
        return len(self._spool)

    def flush(self, timeout: float) -> bool:
        """Wait until the spool is empty; return whether it is."""
        deadline = time.monotonic() + timeout
        while len(self._spool):
            self._work.set()
            self._hurry.set()
            if time.monotonic() >= deadline:
                return False
            time.sleep(0.02)
        return True

    def close(self, timeout: float) -> None:
        """Ship what can be shipped within `timeout` seconds; the next start ships the rest."""
        self.flush(timeout)
        self._stop.set()
        self._work.set()
        self._hurry.set()
        self._thread.join(timeout=1.0)
        self._spool.close()
        self._remote.dispose()

    def after_fork(self) -> None:
        """Forget connections and locks of the parent process, and start a thread in this one."""
        self._spool.after_fork()
        self._remote.dispose(close=False)
        self._start()

    def _start(self) -> None:
        self._stop, self._work, self._hurry = threading.Event(), threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="datashunt-shipping", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        pause, after, failing = _SHORTEST_PAUSE, 0, False
        while not self._stop.is_set():
            self._work.clear()
            try:
                after = self._ship(after)
            except (SQLAlchemyError, HardSampleStoreError, OSError) as error:
                if not failing:
                    logger.warning("The hard-sample log keeps records in %s for now: %s", self._spool, error)
                failing = True
                self._hurry.wait(pause)
                self._hurry.clear()
                pause = min(2 * pause, _LONGEST_PAUSE)
                continue
            if failing:
                logger.warning("The hard-sample log reaches its server again.")
            pause, failing = _SHORTEST_PAUSE, False
            self._work.wait(_LOOK_AGAIN)

    def _ship(self, after: int) -> int:
        """Ship all that waits; return the number of the last entry."""
        while not self._stop.is_set() and self._spool.oldest(1, after=after):
            if not self._migrated:
                migrate(self._remote)
                self._migrated = True
            try:
                with self._remote.begin() as connection:
                    after = self._ship_batch(connection, after, _write_together)
            except (DataError, IntegrityError):  # the server refuses one of them; the others must not wait for ever
                with self._remote.begin() as connection:
                    after = self._ship_batch(connection, after, _write_singly)
            self._spool.discard(after)
        return after

    def _ship_batch(self, connection: Connection, after: int, write_all: Write) -> int:
        connection.execute(_ENTER_SPOOL, {"id": self._spool.id})
        shipped = int(connection.execute(_SHIPPED_THROUGH, {"id": self._spool.id}).scalar_one())
        batch = self._spool.oldest(_BATCH, after=max(after, shipped))
        if not batch:
            return max(after, shipped)
        write_all(connection, [entry for _, entry in batch])
        last = batch[-1][0]
        connection.execute(_ADVANCE, {"id": self._spool.id, "seq": last})
        return last


def _write_together(connection: Connection, entries: Sequence[Entry]) -> None:
    write(lambda statement, parameters: connection.execute(text(statement), parameters), entries, sort=True)


def _write_singly(connection: Connection, entries: Sequence[Entry]) -> None:
    """Write each entry that the server takes, and report the others as lost."""
    for entry in entries:
        try:
            with connection.begin_nested():
                _write_together(connection, [entry])
        except (DataError, IntegrityError) as error:
            logger.exception("The hard-sample log's server refuses a record; it is lost.")
            now = time.time()
            loss = LossEntry(kind="loss", since=now, until=now, n=1, reason=str(error.orig)[:500])
            _write_together(connection, [loss])
