"""Folders that one process at a time may write to."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from langchain_datashunt.errors import DistillationError

if sys.platform != "win32":
    import fcntl


@contextmanager
def locked_folder(folder: Path, *, wait: bool) -> Iterator[None]:
    """Keep others that ask for the same folder's lock out of it; the lock of a process that is killed is gone with it.

    Windows cannot lock folders: there everybody is let in.

    Args:
        folder: Made where it is missing.
        wait: Whether to wait for another one to leave it.

    Raises:
        DistillationError: Another one is in it, and `wait` is false.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if sys.platform == "win32":
        yield
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        _lock(descriptor, folder, wait=wait)
        yield
    finally:
        os.close(descriptor)


def _lock(descriptor: int, folder: Path, *, wait: bool) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise DistillationError(
            f"another training is writing to {folder}: let it end, or give this one a folder of its own"
        ) from error
