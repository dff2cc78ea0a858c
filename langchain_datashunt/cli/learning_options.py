"""What `datashunt distill` and `datashunt loop` have in common: where rows come from, and how progress is shown."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from langchain_datashunt.cli.row_files import answers_in, column, read_rows
from langchain_datashunt.distillation.promotion_gate import PromotionGate
from langchain_datashunt.distillation.students import student_of
from langchain_datashunt.distillation.transformers_training import TransformersTraining
from langchain_datashunt.policy.goals import TargetRisk
from langchain_datashunt.registry.model_registry import ModelRegistry
from langchain_datashunt.small_models import TransformersClassifier

LEDGER = "gate-ledger.json"
TRAINING = "training"

Gate = Annotated[Path, typer.Option(help="Gold rows that never train and decide: .csv, .jsonl or .parquet.")]
TargetRiskOption = Annotated[float, typer.Option("--target-risk", help="Error rate to certify where it answers.")]
ConfidenceLevel = Annotated[float, typer.Option(help="Of the certificate.")]
Margin = Annotated[float, typer.Option(help="With --large-answer: system accuracy that a promotion may lose.")]
Ledger = Annotated[Path | None, typer.Option(help="Looks at the gate's rows [default: in the registry].")]
Gold = Annotated[Path | None, typer.Option(help="Rows with true labels to train on.")]
Replay = Annotated[Path | None, typer.Option(help="Unlabelled rows that the student must not forget.")]
TeacherPrior = Annotated[float, typer.Option(help="How often the large model is right on hard inputs.")]
Epochs = Annotated[int, typer.Option(min=1, help="Of a transformers student.")]
Seed = Annotated[int, typer.Option(help="Of everything random.")]


def gate_of(
    registry: ModelRegistry,
    file: Path,
    columns: tuple[str, str, str | None],
    goal: TargetRisk,
    *,
    margin: float,
    ledger: Path | None,
) -> PromotionGate:
    """Return the gate over the rows of a file; `columns` names those of inputs, labels and large answers."""
    rows = read_rows(file)
    inputs, labels, answers = columns
    large = None if answers is None else answers_in(rows, answers)
    return PromotionGate(
        column(rows, inputs),
        column(rows, labels),
        goal=goal,
        ledger=ledger or registry.folder / LEDGER,
        large_answers=large,
        margin=margin,
    )


def material_of(
    registry: ModelRegistry,
    columns: tuple[str, str, str | None],
    *,
    gold: Path | None,
    replay: Path | None,
    epochs: int,
) -> dict[str, Any]:
    """Return the arguments of `distill` that rows of files and the kind of the promoted model decide.

    Raises:
        DistillationError: No student can be made of the promoted model: said at the first round, not at the first for
            which there is enough to learn from.
    """
    inputs, labels, _ = columns
    arguments: dict[str, Any] = {}
    if gold is not None:
        rows = read_rows(gold)
        arguments["gold"] = (column(rows, inputs), column(rows, labels))
    if replay is not None:
        arguments["replay"] = column(read_rows(replay), inputs)
    promoted = registry.promoted()
    if promoted is not None:
        small = registry.load(promoted.version).small
        if isinstance(small, TransformersClassifier):
            arguments["training"] = TransformersTraining(registry.folder / TRAINING, epochs=epochs)
        student_of(small, arguments.get("training"), progress=None, seed=0)
    return arguments


@contextmanager
def shown_progress(console: Console) -> Iterator[Any]:
    """Give what `distill` tells its progress to; each stage is a bar."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as bars:
        tasks: dict[str, Any] = {}

        def progress(stage: str, done: int, total: int) -> None:
            if stage not in tasks:
                tasks[stage] = bars.add_task(stage, total=total)
            bars.update(tasks[stage], completed=done, total=total)

        yield progress
