"""Files that are there complete or not at all."""

from __future__ import annotations

import os
from pathlib import Path
from uuid import uuid4


def write_whole(path: str | Path, text: str) -> None:
    """Write a UTF-8 file in one step: who reads it, and what a crash or a full disk leaves, is the old text or the new.

    Raises:
        OSError: It cannot be written; what was there is there still.
    """
    target = Path(path).resolve()  # a link goes on leading to it
    scratch = target.with_name(f".{target.name}-{uuid4().hex}")
    try:
        with scratch.open("x", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        scratch.replace(target)
    finally:
        scratch.unlink(missing_ok=True)
