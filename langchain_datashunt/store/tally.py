"""What is counted in memory until the next write: answered requests, and records that were lost."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from langchain_datashunt.store.rows import Entry, LossEntry, TrafficEntry

_EVERY = 1.0
"""Seconds after which counts are written though no record is."""


@dataclass(frozen=True, slots=True)
class StoreHealth:
    """What became of the records of this process.

    Attributes:
        kept: Records in the store or in the spool.
        dropped: Records that could not be kept; the log's `StoreStats.losses` report them as soon as it can be written.
        pending: Entries in the spool that have not reached the server.
    """

    kept: int
    dropped: int
    pending: int


class Tally:
    """Counts of one process; safe in threads."""

    def __init__(self) -> None:
        """Start at nothing."""
        self._lock = threading.Lock()
        self._traffic: Counter[tuple[str, str, str, str]] = Counter()
        self._loss: LossEntry | None = None
        self._due = time.monotonic() + _EVERY
        self.kept = 0
        self.dropped = 0

    def count(self, tenant: str, policy_id: str, route: str) -> bool:
        """Count one answered request; return whether it is time to write."""
        day = datetime.now(UTC).date().isoformat()
        with self._lock:
            self._traffic[tenant, policy_id, route, day] += 1
            return time.monotonic() >= self._due

    def lose(self, n: int, reason: str) -> None:
        """Count records that could not be kept."""
        now = time.time()
        with self._lock:
            self.dropped += n
            since, before = (self._loss["since"], self._loss["n"]) if self._loss else (now, 0)
            shown = reason.encode("ascii", "backslashreplace").decode()[:500]
            self._loss = LossEntry(kind="loss", since=since, until=now, n=before + n, reason=shown)

    def keep(self, n: int) -> None:
        """Count records that were kept."""
        with self._lock:
            self.kept += n

    def take(self) -> list[Entry]:
        """Return the counts as entries, and start anew."""
        with self._lock:
            self._due = time.monotonic() + _EVERY
            entries: list[Entry] = [
                TrafficEntry(kind="traffic", tenant=tenant, policy_id=policy_id, route=route, day=day, n=n)
                for (tenant, policy_id, route, day), n in self._traffic.items()
            ]
            if self._loss is not None:
                entries.append(self._loss)
            self._traffic.clear()
            self._loss = None
        return entries

    def put_back(self, entries: Sequence[Entry]) -> None:
        """Count entries again that could not be written."""
        with self._lock:
            for entry in entries:
                if entry["kind"] == "traffic":
                    self._traffic[entry["tenant"], entry["policy_id"], entry["route"], entry["day"]] += entry["n"]
                elif entry["kind"] == "loss":
                    newer = self._loss
                    self._loss = (
                        entry if newer is None else {**newer, "since": entry["since"], "n": newer["n"] + entry["n"]}
                    )
