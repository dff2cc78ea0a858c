from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from langchain_datashunt.store import HardSampleStore


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "samples.db"


@pytest.fixture
def store(path: Path) -> Iterator[HardSampleStore]:
    with HardSampleStore(path) as store:
        yield store
