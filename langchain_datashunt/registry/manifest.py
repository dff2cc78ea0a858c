"""The list of a version's files with their checksums: written last, and all that may be there."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from langchain_datashunt.errors import RegistryError

MANIFEST = "manifest.json"
FORMAT = "langchain-datashunt/model-version"
FORMAT_VERSION = 1


def write_manifest(folder: Path) -> None:
    """List all files of a finished folder in its manifest."""
    record = {"format": FORMAT, "format_version": FORMAT_VERSION, "sha256": _checksums(folder)}
    (folder / MANIFEST).write_text(json.dumps(record, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def check_manifest(folder: Path) -> None:
    """Refuse a folder that holds anything but the files of its manifest, unchanged.

    It finds what was lost, damaged, added or exchanged by mistake. It is no signature: who may write into the registry
    can write a manifest too.

    Raises:
        RegistryError: The manifest is missing or of another format, or the files are not those.
    """
    listed, found = _listed(folder), _checksums(folder)
    problems = {
        "missing": sorted(listed.keys() - found.keys()),
        "foreign": sorted(found.keys() - listed.keys()),
        "changed": sorted(name for name in listed.keys() & found.keys() if listed[name] != found[name]),
    }
    if any(problems.values()):
        said = "; ".join(f"{what}: {', '.join(names)}" for what, names in problems.items() if names)
        raise RegistryError(
            f"version {folder.name} is not what was published ({said}); promote or roll back to another version"
        )


def _listed(folder: Path) -> dict[str, str]:
    try:
        record: Any = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise RegistryError(f"{folder} is no version of a registry: it has no {MANIFEST}") from error
    except ValueError as error:
        raise RegistryError(f"{folder / MANIFEST} is no JSON: {error}") from error
    if not isinstance(record, dict) or (record.get("format"), record.get("format_version")) != (FORMAT, FORMAT_VERSION):
        raise RegistryError(f"{folder / MANIFEST} is no manifest of {FORMAT}, format version {FORMAT_VERSION}")
    return dict(record["sha256"])


def _checksums(folder: Path) -> dict[str, str]:
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink() or not (path.is_file() or path.is_dir()):
            raise RegistryError(f"version {folder.name} holds {name}, which is no plain file")
        if path.is_file() and name != MANIFEST:
            with path.open("rb") as file:
                found[name] = hashlib.file_digest(file, "sha256").hexdigest()
    return found
