from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hard_samples import Config, small_model

from langchain_datashunt.callbacks.handler import HardSampleCallbackHandler
from langchain_datashunt.store import HardSampleStore
from langchain_datashunt.testing import KeywordSmallModel


@pytest.fixture
def store(tmp_path: Path) -> Iterator[HardSampleStore]:
    with HardSampleStore(tmp_path / "samples.db") as store:
        yield store


@pytest.fixture
def handler(store: HardSampleStore) -> HardSampleCallbackHandler:
    return HardSampleCallbackHandler(store)


@pytest.fixture
def config(handler: HardSampleCallbackHandler) -> Config:
    return {"callbacks": [handler]}


@pytest.fixture
def small() -> KeywordSmallModel:
    return small_model()
