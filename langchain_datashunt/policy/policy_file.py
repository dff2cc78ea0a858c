"""Policies as JSON: one canonical form, a checksum over all of it, and refusal of whatever is not exactly that."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeVar

from langchain_datashunt.errors import PolicyError
from langchain_datashunt.whole_files import write_whole

FORMAT = "langchain-datashunt/policy"
FORMAT_VERSION = 1

Record = TypeVar("Record")


def canonical_json(record: Mapping[str, Any]) -> str:
    """Return the one JSON text of a record: sorted keys, no spaces, no NaN.

    Raises:
        PolicyError: Something in the record is not JSON.
    """
    try:
        return json.dumps(record, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise PolicyError(f"a policy holds plain JSON only: {error}") from error


def record_hash(record: Mapping[str, Any]) -> str:
    """Return the SHA-256 of the canonical JSON, in hex."""
    return sha256(canonical_json(record).encode()).hexdigest()


def seal(record: Mapping[str, Any]) -> dict[str, Any]:
    """Add the format's name and version, and the checksum of everything."""
    sealed = {**record, "format": FORMAT, "format_version": FORMAT_VERSION}
    return {**sealed, "checksum": record_hash(sealed)}


def unseal(sealed: Mapping[str, Any]) -> dict[str, Any]:
    """Take off what `seal` added.

    Raises:
        PolicyError: It is no sealed record, is of another version, or was changed since.
    """
    if not isinstance(sealed, Mapping) or sealed.get("format") != FORMAT:
        found = sealed.get("format") if isinstance(sealed, Mapping) else type(sealed).__name__
        raise PolicyError(f"this is no policy: expected 'format': {FORMAT!r}, found {found!r}")
    if sealed.get("format_version") != FORMAT_VERSION:
        raise PolicyError(
            f"this policy has format version {sealed.get('format_version')!r}, this package reads {FORMAT_VERSION}: "
            "fit it again, or use the version of langchain-datashunt that wrote it"
        )
    record = {name: value for name, value in sealed.items() if name != "checksum"}
    if record_hash(record) != sealed.get("checksum"):
        raise PolicyError("the policy was changed after it was fitted: its checksum does not match; fit it again")
    return {name: value for name, value in record.items() if name not in ("format", "format_version")}


def read_record(kind: type[Record], record: Mapping[str, Any]) -> Record:
    """Build a frozen dataclass from its JSON; lists become tuples.

    Raises:
        PolicyError: A field is missing, unknown or malformed.
    """
    expected = {field.name for field in fields(kind) if field.init}  # type: ignore[arg-type]
    if not isinstance(record, Mapping) or set(record) != expected:
        found = sorted(record) if isinstance(record, Mapping) else record
        raise PolicyError(f"{kind.__name__} expects the fields {sorted(expected)}, found {found}")
    values = {name: tuple(value) if isinstance(value, list) else value for name, value in record.items()}
    try:
        return kind(**values)
    except (TypeError, ValueError) as error:
        raise PolicyError(f"{kind.__name__} is malformed: {error}") from error


def write_sealed(sealed: Mapping[str, Any], path: Path) -> None:
    """Write a sealed record as readable UTF-8 JSON, all or nothing: a running chain may load it at any moment."""
    write_whole(path, json.dumps(sealed, sort_keys=True, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def read_sealed(path: Path) -> dict[str, Any]:
    """Read what `write_sealed` wrote; `unseal` refuses what is JSON but no sealed record.

    Raises:
        PolicyError: The file is not JSON.
    """
    try:
        record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise PolicyError(f"{path.name} is no policy: it is not JSON ({error})") from error
    return record
