"""A local SQLite file where entries wait until they are shipped to a remote store."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Sequence

from sqlalchemy import text

from langchain_datashunt.store.databases import forget_changes, reading
from langchain_datashunt.store.local_file import LocalFile
from langchain_datashunt.store.rows import Entry

_TABLES = (
    "CREATE TABLE IF NOT EXISTS spool (id TEXT NOT NULL)",
    "CREATE TABLE IF NOT EXISTS pending (seq INTEGER PRIMARY KEY AUTOINCREMENT, entry TEXT NOT NULL)",
)


class Spool:
    """Entries in the order of their arrival, each with a number that is never used again.

    Several processes of a machine may share the file.
    """

    def __init__(self, file: LocalFile) -> None:
        """Open or make the tables in `file`.

        Raises:
            HardSampleStoreError: It cannot be written.
        """
        self._file = file
        with file.writing() as connection:
            for table in _TABLES:
                connection.execute(table)
            if connection.execute("SELECT id FROM spool").fetchone() is None:
                connection.execute("INSERT INTO spool VALUES (?)", (uuid.uuid4().hex,))
            found: str = connection.execute("SELECT id FROM spool").fetchone()[0]
        self.id = found
        """What the remote store knows the spool by."""

    def append(self, entries: Sequence[Entry]) -> None:
        """Keep the entries.

        Raises:
            HardSampleStoreError: The file cannot be written; nothing of them is kept.
        """
        if entries:
            rows = [(json.dumps(entry),) for entry in entries]
            with self._file.writing() as connection:
                connection.executemany("INSERT INTO pending (entry) VALUES (?)", rows)

    def oldest(self, limit: int, *, after: int) -> list[tuple[int, Entry]]:
        """Return up to `limit` entries behind number `after`, with their numbers."""
        query = text("SELECT seq, entry FROM pending WHERE seq > :after ORDER BY seq LIMIT :limit")
        with reading(self._file.engine) as connection:
            rows = connection.execute(query, {"after": after, "limit": limit}).all()
        return [(seq, json.loads(entry)) for seq, entry in rows]

    def discard(self, through: int) -> None:
        """Delete all entries up to number `through`."""
        with self._file.writing() as connection:
            connection.execute("DELETE FROM pending WHERE seq <= ?", (through,))

    def discard_if(self, matches: Callable[[Entry], bool]) -> int:
        """Delete the entries that match, beyond recovery; return how many did."""
        with self._file.writing() as connection:
            rows = connection.execute("SELECT seq, entry FROM pending").fetchall()
            doomed = [(seq,) for seq, entry in rows if matches(json.loads(entry))]
            connection.executemany("DELETE FROM pending WHERE seq = ?", doomed)
        if doomed:
            forget_changes(self._file.engine)
        return len(doomed)

    def __len__(self) -> int:
        with reading(self._file.engine) as connection:
            return int(connection.execute(text("SELECT COUNT(*) FROM pending")).scalar_one())

    def __str__(self) -> str:
        return str(self._file.path)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def after_fork(self) -> None:
        """Forget connections and locks of the parent process."""
        self._file.after_fork()
