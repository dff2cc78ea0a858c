"""`datashunt distill` and `datashunt loop`: from the hard-sample log to a better version of the small model."""

from __future__ import annotations

import json
from typing import Annotated

import typer
from rich.console import Console

from langchain_datashunt.cli.learning_options import (
    ConfidenceLevel,
    Epochs,
    Gate,
    Gold,
    Ledger,
    Margin,
    Replay,
    Seed,
    TargetRiskOption,
    TeacherPrior,
    gate_of,
    material_of,
    shown_progress,
)
from langchain_datashunt.cli.models_commands import DEFAULT_REGISTRY, Registry, TrustedTypes, opened_registry
from langchain_datashunt.cli.policy_commands import AnswerColumn, InputColumn, LabelColumn
from langchain_datashunt.cli.samples_commands import DEFAULT_STORE, AsJson, Store, Tenant, opened
from langchain_datashunt.learning_loop import MIN_NEW, LoopOutcome, LoopStatus, learn_once, make_candidate
from langchain_datashunt.policy.goals import TargetRisk

EXIT_STATUS: dict[LoopStatus, int] = {"promoted": 0, "rejected": 5, "undecided": 6, "nothing to do": 7}
"""Exit status of `loop`; 1 is an error, 2 a wrong command line."""


def distill(
    *,
    gate: Gate,
    target_risk: TargetRiskOption,
    registry: Registry = DEFAULT_REGISTRY,
    store: Store = DEFAULT_STORE,
    tenant: Tenant = None,
    gold: Gold = None,
    replay: Replay = None,
    input_column: InputColumn = "text",
    label_column: LabelColumn = "label",
    answer_column: AnswerColumn = None,
    margin: Margin = 0.01,
    confidence_level: ConfidenceLevel = 0.95,
    ledger: Ledger = None,
    teacher_prior: TeacherPrior = 0.9,
    epochs: Epochs = 3,
    seed: Seed = 0,
    trusted_types: TrustedTypes = None,
) -> None:
    """Distil a student from the promoted version, judge it, and keep it as a new version that does not serve yet."""
    console = Console()
    models = opened_registry(registry, trusted_types)
    columns = (input_column, label_column, answer_column)
    judge = gate_of(models, gate, columns, TargetRisk(target_risk, confidence_level), margin=margin, ledger=ledger)
    material = material_of(models, columns, gold=gold, replay=replay, epochs=epochs)
    with opened(store) as log, shown_progress(console) as progress:
        samples = log.iter_samples(tenant=tenant)
        candidate = make_candidate(
            models, samples, judge, progress=progress, teacher_prior=teacher_prior, seed=seed, **material
        )
    console.print(f"trained on {_counted(candidate.made.report.counts)}", highlight=False)
    console.print(str(candidate.verdict), style="bold", highlight=False)
    if candidate.verdict.policy is None:
        console.print("not kept: a version needs a policy", highlight=False)
        return
    version = candidate.add_to(models)
    kept = f"kept as version {version.number}, which does not serve"
    if candidate.verdict.decision != "reject":
        kept += (
            f"; to let it: datashunt models promote {version.number} --replacing {candidate.serving.number} "
            f"--registry {registry}"
        )
    console.print(kept, highlight=False)


def loop(
    *,
    once: Annotated[bool, typer.Option("--once", help="Do one round and end: let cron repeat it.")] = False,
    gate: Gate,
    target_risk: TargetRiskOption,
    registry: Registry = DEFAULT_REGISTRY,
    store: Store = DEFAULT_STORE,
    tenant: Tenant = None,
    min_new: Annotated[int, typer.Option(min=0, help="Fewer new records to train on are nothing to do.")] = MIN_NEW,
    gold: Gold = None,
    replay: Replay = None,
    input_column: InputColumn = "text",
    label_column: LabelColumn = "label",
    answer_column: AnswerColumn = None,
    margin: Margin = 0.01,
    confidence_level: ConfidenceLevel = 0.95,
    ledger: Ledger = None,
    teacher_prior: TeacherPrior = 0.9,
    epochs: Epochs = 3,
    seed: Seed = 0,
    trusted_types: TrustedTypes = None,
    as_lines: AsJson = False,
) -> None:
    """Read the log, distil, judge, promote if the gate says so, and report.

    Ends with status 0 where a version was promoted, 5 where the candidate was rejected, 6 where the gate's rows are too
    few to decide, 7 where there was nothing to do; 1 is an error.
    """
    if not once:
        raise typer.BadParameter("one round at a time: give --once, and let cron repeat the command")
    console = Console(stderr=as_lines)
    models = opened_registry(registry, trusted_types)
    columns = (input_column, label_column, answer_column)
    judge = gate_of(models, gate, columns, TargetRisk(target_risk, confidence_level), margin=margin, ledger=ledger)
    material = material_of(models, columns, gold=gold, replay=replay, epochs=epochs)
    with opened(store) as log, shown_progress(console) as progress:
        outcome = learn_once(
            models,
            log.iter_samples(tenant=tenant),
            judge,
            min_new=min_new,
            progress=progress,
            teacher_prior=teacher_prior,
            seed=seed,
            **material,
        )
    if as_lines:
        typer.echo(json.dumps(outcome.to_dict()))
    else:
        _print_outcome(outcome, console)
    raise typer.Exit(EXIT_STATUS[outcome.status])


def _print_outcome(outcome: LoopOutcome, console: Console) -> None:
    console.print(outcome.status.upper(), style="bold")
    if outcome.candidate is not None:
        console.print(f"trained on {_counted(outcome.candidate.made.report.counts)}", highlight=False)
    console.print(outcome.reason, highlight=False)
    needed = None if outcome.candidate is None else outcome.candidate.verdict.rows_needed
    if needed is not None:
        console.print(f"about {needed} further gold rows would decide", highlight=False)
    serves = outcome.serving if outcome.version is None else outcome.version
    console.print(f"version {serves} serves", highlight=False)


def _counted(counts: object) -> str:
    items = dict(counts).items()  # type: ignore[call-overload]
    return ", ".join(f"{n} {name}" for name, n in items if n) or "nothing"
