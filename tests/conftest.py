from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

pytest_plugins = ["langchain_datashunt.pytest_plugin"]

# A deadline for each example would measure how busy the machine is.
settings.register_profile("any_machine", deadline=None)
settings.load_profile("any_machine")


@pytest.fixture(scope="session")
def recorded_data() -> Path:
    """The folder with recorded answers of real large models; tests that need it are skipped without."""
    beside_the_checkout = Path(__file__).resolve().parents[2] / "shared"
    folder = Path(os.environ.get("DATASHUNT_SHARED", beside_the_checkout))
    if not (folder / "data").is_dir():
        pytest.skip(f"no recorded answers in {folder}; name their folder with DATASHUNT_SHARED")
    return folder


@pytest.fixture
def one_torch_thread() -> Iterator[None]:
    """PyTorch on one thread: a network as small as those of tests is slowed down by a second one."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
