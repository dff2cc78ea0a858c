from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from review_versions import fitted, policy_for

from langchain_datashunt.registry.model_registry import ModelRegistry


@pytest.fixture(scope="session")
def three_versions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    registry = ModelRegistry(tmp_path_factory.mktemp("registry") / "models")
    for seed in range(3):
        registry.add(fitted(seed), policy_for(fitted(seed)))
    registry.promote(1)
    return registry.folder


@pytest.fixture
def registry(three_versions: Path, tmp_path: Path) -> ModelRegistry:
    """Three versions, the first promoted; a copy for each test."""
    shutil.copytree(three_versions, tmp_path / "models")
    return ModelRegistry(tmp_path / "models")
