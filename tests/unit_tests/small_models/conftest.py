from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tiny_models import save_tiny_bert


@pytest.fixture(scope="session")
def tiny_bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)  # a tiny network gains nothing by a second, and waits for it on a busy machine
    folder = tmp_path_factory.mktemp("tiny_bert")
    save_tiny_bert(folder)
    return folder
