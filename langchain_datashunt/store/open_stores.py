"""The logs that are open in this process: closed when it ends, started anew where it forks."""

from __future__ import annotations

import atexit
import os
import weakref
from typing import Protocol


class OpenStore(Protocol):
    """A log, as far as its process is concerned."""

    def close(self) -> None:
        """Keep what is in memory."""

    def after_fork(self) -> None:
        """Forget what belongs to the parent process."""


_OPEN: weakref.WeakSet[OpenStore] = weakref.WeakSet()


def add(store: OpenStore) -> None:
    """Note that a log is open; it may be forgotten without being closed."""
    _OPEN.add(store)


def discard(store: OpenStore) -> None:
    """Note that a log is closed."""
    _OPEN.discard(store)


@atexit.register
def _close_all() -> None:
    for store in list(_OPEN):
        store.close()


def _start_anew() -> None:
    for store in list(_OPEN):
        store.after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_start_anew)
