"""Writing into a local SQLite file while the caller waits."""

from __future__ import annotations

from collections.abc import Sequence

from langchain_datashunt.store.local_file import LocalFile
from langchain_datashunt.store.rows import Entry
from langchain_datashunt.store.writing import write


class DirectWriter:
    """Writes entries into the tables of a local file; when `append` returns, they are kept."""

    def __init__(self, file: LocalFile) -> None:
        """Write into `file`, which has the tables."""
        self._file = file

    def append(self, entries: Sequence[Entry]) -> None:
        """Keep the entries.

        Raises:
            HardSampleStoreError: The file cannot be written; nothing of them is kept.
        """
        if entries:
            with self._file.writing() as connection:
                write(connection.executemany, entries)

    def pending(self) -> int:
        """Return how many entries are still on their way: none."""
        return 0

    def flush(self, timeout: float) -> bool:  # noqa: ARG002  the other writer needs it
        """Return True: everything has arrived."""
        return True

    def close(self, timeout: float) -> None:  # noqa: ARG002  likewise
        """Close the file."""
        self._file.close()

    def after_fork(self) -> None:
        """Forget connections and locks of the parent process."""
        self._file.after_fork()
