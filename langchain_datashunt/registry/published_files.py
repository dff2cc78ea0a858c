"""Files and folders that appear complete or not at all, under a name that no other process took.

Nothing here locks: a process that is killed or stopped holds up nobody. A folder is written under a temporary name,
flushed to the disk, and renamed; renaming fails where the name is taken by a folder that holds something. A file is
written likewise, and linked to its name; linking fails where the name is taken. Each is one step of the file system.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from langchain_datashunt.errors import RegistryError

UNFINISHED = ".unfinished-"
"""What the names of files and folders begin with that are not published yet, or never were: nobody looks at them."""

_ABANDONED_SECONDS = 86_400
_NUMBER = re.compile(r"(\d{6,})(?:\.json)?")
_TAKEN = {errno.EEXIST, errno.ENOTEMPTY}
_NO_LINKS = {errno.EPERM, errno.ENOTSUP, errno.EMLINK}


def number_name(number: int) -> str:
    """Return a number as it stands in names: six digits or more, so that they sort."""
    return f"{number:06d}"


def numbers_in(folder: Path) -> list[int]:
    """Return the numbers of what was published in a folder, in order; a missing folder holds none."""
    try:
        names = os.listdir(folder)  # noqa: PTH208  names, not paths
    except FileNotFoundError:
        return []
    return sorted(int(found[1]) for name in names if (found := _NUMBER.fullmatch(name)))


@contextmanager
def scratch_folder(parent: Path) -> Iterator[Path]:
    """Give an empty folder in `parent` that is gone at the end, unless it was published; sweep what crashes left."""
    parent.mkdir(parents=True, exist_ok=True)
    _sweep(parent)
    scratch = parent / f"{UNFINISHED}{uuid4().hex}"
    scratch.mkdir()
    try:
        yield scratch
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def publish_folder(scratch: Path) -> int:
    """Give a finished scratch folder the next free number in its parent; return the number."""
    parent = scratch.parent
    _flush_tree(scratch)
    number = max(numbers_in(parent), default=0) + 1
    while True:
        try:
            os.rename(scratch, parent / number_name(number))  # noqa: PTH104  it must fail where the name is taken
        except OSError as error:
            if error.errno not in _TAKEN:
                raise
            number += 1  # another process was faster
        else:
            _flush(parent)
            return number


def publish_file(content: bytes, path: Path) -> bool:
    """Write a file if there is none of its name; return whether there was none.

    Raises:
        RegistryError: The file system knows no hard links.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    _sweep(path.parent)
    scratch = path.parent / f"{UNFINISHED}{uuid4().hex}"
    try:
        with scratch.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.link(scratch, path)
    except FileExistsError:
        return False
    except OSError as error:
        if error.errno in _NO_LINKS:
            raise RegistryError(
                f"{path.parent} lies on a file system without hard links; put the registry on a local disk"
            ) from error
        raise
    finally:
        scratch.unlink(missing_ok=True)
    _flush(path.parent)
    return True


def _sweep(parent: Path) -> None:
    for path in parent.glob(f"{UNFINISHED}*"):
        try:
            if time.time() - path.stat().st_mtime > _ABANDONED_SECONDS:
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        except FileNotFoundError:
            continue  # its process has just finished it, or another swept it


def _flush_tree(folder: Path) -> None:
    """Bring files and folders to the disk, the innermost first, so that a renamed folder never holds empty files."""
    for path in sorted(folder.rglob("*"), reverse=True):
        _flush(path)
    _flush(folder)


def _flush(path: Path) -> None:
    if os.name == "nt" and path.is_dir():  # Windows opens no folders
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
