from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from langchain_datashunt.store import HardSampleStore


@pytest.fixture
def store(tmp_path: Path) -> Iterator[HardSampleStore]:
    with HardSampleStore(tmp_path / "samples.db") as store:
        yield store
