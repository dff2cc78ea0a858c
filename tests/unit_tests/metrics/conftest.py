from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from measured_shunts import Measured

from langchain_datashunt.store import HardSampleStore


@pytest.fixture
def measured(tmp_path: Path) -> Iterator[Measured]:
    with HardSampleStore(tmp_path / "samples.db") as store:
        yield Measured(store)
