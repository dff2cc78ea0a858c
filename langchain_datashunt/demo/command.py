"""`datashunt demo`."""

from __future__ import annotations

import json
import os
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from langchain_datashunt.demo.experiment import run_experiment
from langchain_datashunt.demo.large_model import LargeModel, local_model, named_model
from langchain_datashunt.demo.local_server import LocalServer
from langchain_datashunt.demo.report import as_json, print_report
from langchain_datashunt.demo.splits import split_by_review
from langchain_datashunt.demo.texts import default_cache, load_snippets
from langchain_datashunt.errors import InvalidInputError


def demo(
    *,
    train_rows: Annotated[int, typer.Option(min=20, help="Labels that the small model learns from.")] = 300,
    calibration_rows: Annotated[int, typer.Option(min=20, help="Other labels, for the small model's policy.")] = 1000,
    test_rows: Annotated[int, typer.Option(min=10, help="Rows that are scored.")] = 200,
    target_risk: Annotated[
        float, typer.Option(help="Error rate to certify among the rows that the small model answers, in (0, 1).")
    ] = 0.1,
    seed: Annotated[int, typer.Option(help="Of the split into train, calibration and test reviews.")] = 0,
    model: Annotated[
        str | None,
        typer.Option(help="Ask this model of OPENAI_BASE_URL, with OPENAI_API_KEY, in the place of the local one."),
    ] = None,
    logprobs: Annotated[
        bool, typer.Option(help="With --model: read its replies by first-token log-probabilities.")
    ] = False,
    max_tokens: Annotated[
        int | None, typer.Option(min=1, help="With --model: end its replies after so many tokens.")
    ] = None,
    json_out: Annotated[Path | None, typer.Option("--json", help="Write the figures to this file.")] = None,
    cache: Annotated[
        Path | None, typer.Option(help="Folder of the downloaded texts [default: the user's cache folder].")
    ] = None,
) -> None:
    """Put a small model in front of a real large one, on real review sentences, and measure what it does."""
    # Where other processes want the cores too, waiting actively for one's own threads slows everything down. OpenMP
    # reads this when torch is first imported.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    console = Console()
    began = time.perf_counter()
    with ExitStack() as open_things:
        bars = open_things.enter_context(_bars(console))
        shown = _ShownProgress(bars)
        shown.begin("fetching the texts")
        split = split_by_review(
            load_snippets(cache or default_cache()),
            train_rows=train_rows,
            calibration_rows=calibration_rows,
            test_rows=test_rows,
            seed=seed,
        )
        shown.begin("starting the large model")
        large = _large_model(model, open_things, by_logprobs=logprobs, max_tokens=max_tokens)
        outcome = run_experiment(split, large, target_risk=target_risk, seed=seed, progress=shown)
        shown.end()
    seconds = time.perf_counter() - began
    print_report(console, outcome, split, large.name, seconds)
    if json_out is not None:
        settings = {"seed": seed, "target_risk": target_risk, "model": large.name}
        figures = {**settings, "seconds": seconds, **as_json(outcome, split)}
        json_out.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


def _large_model(name: str | None, open_things: ExitStack, *, by_logprobs: bool, max_tokens: int | None) -> LargeModel:
    if name is None:
        return local_model(open_things.enter_context(LocalServer()).base_url)
    if not os.environ.get("OPENAI_API_KEY"):
        raise InvalidInputError(
            f"--model {name} is asked through an OpenAI-compatible server: set OPENAI_API_KEY (to any text where the "
            "server wants none), and OPENAI_BASE_URL where the server is not OpenAI's"
        )
    return named_model(name, by_logprobs=by_logprobs, max_tokens=max_tokens)


def _bars(console: Console) -> Progress:
    counted = (BarColumn(bar_width=24), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(SpinnerColumn(), TextColumn("{task.description}"), *counted, console=console)


class _ShownProgress:
    """Shows each step as a bar; the steps before it are done."""

    def __init__(self, bars: Progress) -> None:
        self._bars = bars
        self._step: Any = None

    def begin(self, what: str, total: int | None = None) -> None:
        self.end()
        self._step = self._bars.add_task(what, total=total)

    def advance(self) -> None:
        self._bars.advance(self._step)

    def end(self) -> None:
        if self._step is None:
            return
        task = self._bars.tasks[self._step]
        total = task.total or 1
        self._bars.update(self._step, total=total, completed=total)
