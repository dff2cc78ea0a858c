from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from langchain_datashunt import small_models

HEAVY = ["torch", "transformers", "sklearn", "scipy", "tokenizers", "safetensors"]


def run_alone(code: str) -> str:
    checkout = str(Path(__file__).parents[3])
    answer = subprocess.run(  # noqa: S603  this Python, our own lines
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={"PYTHONPATH": checkout}
    )
    return answer.stdout.strip()


def test_naming_a_model_loads_no_extra() -> None:
    loaded = run_alone(
        "import sys; from langchain_datashunt.small_models import *; "
        "TransformersClassifier('some/model', labels=['a', 'b']); SentenceEncoder.embedded(); "
        f"print([name for name in {HEAVY} if name in sys.modules])"
    )
    assert loaded == "[]"


def test_the_checks_that_routing_needs_do_not_even_load_langchain() -> None:
    loaded = run_alone(
        "import sys; from langchain_datashunt.small_models import class_names, probability_rows, version_of; "
        f"print([name for name in {['langchain_core', 'pydantic', *HEAVY]} if name in sys.modules])"
    )
    assert loaded == "[]"


@pytest.mark.parametrize("name", small_models.__all__)
def test_every_public_name_can_be_had(name: str) -> None:
    assert getattr(small_models, name).__name__ == name
    assert name in dir(small_models)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Perceptron'"):
        _ = small_models.Perceptron
