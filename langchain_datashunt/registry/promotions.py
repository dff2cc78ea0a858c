"""The journal of a registry: which version was promoted when, one file an entry."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from langchain_datashunt.errors import RegistryError


@dataclass(frozen=True, slots=True)
class Promotion:
    """One entry of the journal.

    Attributes:
        sequence: 1 for the first entry.
        version: The version that serves from then on.
        before: The version that served until then; None at the first promotion.
        action: A promotion, or a rollback to an earlier one.
        at: ISO time, UTC.
        reason: What the promoter said.
    """

    sequence: int
    version: int
    before: int | None
    action: Literal["promote", "rollback"]
    at: str
    reason: str = ""

    def to_json(self) -> str:
        """Return the entry as it stands in its file."""
        record = asdict(self)
        del record["sequence"]  # the file's name
        return json.dumps(record, indent=2) + "\n"


def next_promotion(history: Sequence[Promotion], version: int, reason: str) -> Promotion:
    """Return the entry that promotes a version."""
    before = history[-1].version if history else None
    return Promotion(last_number(history) + 1, version, before, "promote", _now(), reason)


def next_rollback(history: Sequence[Promotion], reason: str) -> Promotion:
    """Return the entry that takes the last promotion back which no rollback has taken back yet.

    Raises:
        RegistryError: There is none, or no version served before it.
    """
    served: list[int] = []
    for entry in history:
        if entry.action == "promote":
            served.append(entry.version)
        else:
            served.pop()
    if len(served) < 2:  # noqa: PLR2004  the one that serves, and one before it
        raise RegistryError("there is nothing to roll back to: no version served before the one that serves now")
    return Promotion(last_number(history) + 1, served[-2], served[-1], "rollback", _now(), reason)


def last_number(history: Sequence[Promotion]) -> int:
    """Return the number of the last entry."""
    return history[-1].sequence if history else 0


def read_promotion(file: Path, sequence: int) -> Promotion:
    """Read an entry.

    Raises:
        RegistryError: It is malformed.
    """
    expected = {each.name for each in fields(Promotion)} - {"sequence"}
    try:
        record = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RegistryError(f"the journal's entry {file} cannot be read: {error}") from error
    if not isinstance(record, dict) or set(record) != expected or record["action"] not in ("promote", "rollback"):
        raise RegistryError(f"the journal's entry {file} expects the fields {sorted(expected)}; found {record!r}")
    return Promotion(sequence=sequence, **record)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
