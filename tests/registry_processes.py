"""Other processes at work on a registry, for tests that kill them."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from multiprocessing import get_context
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from langchain_datashunt import ModelRegistry


def elsewhere(run: Callable[..., None], *arguments: Any) -> BaseProcess:
    """Run a function in a process of its own; it is forked, since importing takes longer than what is tested."""
    process = get_context("fork").Process(target=run, args=arguments)
    process.start()
    return process


def promote_for_ever(folder: Path) -> None:
    for i in count():
        ModelRegistry(folder).promote(1 + i % 3)
