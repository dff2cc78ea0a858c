from __future__ import annotations

from pathlib import Path

import pytest
from tiny_models import save_tiny_bert


@pytest.fixture(scope="session")
def tiny_bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tiny_bert")
    save_tiny_bert(folder)
    return folder
