"""`datashunt fit-policy` and `datashunt evaluate`: from labelled rows to a policy, and from a policy to a verdict."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from langchain_datashunt import fitting
from langchain_datashunt.cli.evaluation_report import Labelled, draw_evaluation, print_evaluation, print_policy
from langchain_datashunt.cli.named_models import RememberedModel, WatchedModel, import_small_model
from langchain_datashunt.cli.row_files import answers_in, column, read_rows
from langchain_datashunt.errors import CalibrationDataError, InfeasibleTargetError
from langchain_datashunt.evaluation import evaluate_policy
from langchain_datashunt.policy.calibration_fitting import CalibrationChoice
from langchain_datashunt.policy.confidence import ConfidenceScore
from langchain_datashunt.policy.costs import CallCosts
from langchain_datashunt.policy.goals import EndToEnd, Goal, MaxDeferral, TargetRisk
from langchain_datashunt.policy.risk_coverage import MIN_GROUP_SIZE
from langchain_datashunt.policy.shunt_policy import ShuntPolicy
from langchain_datashunt.policy.verdict import TOLERATED_LOSS
from langchain_datashunt.small_models import class_names, probability_rows, version_of
from langchain_datashunt.types import SmallModel

INFEASIBLE = 4
"""Exit status where no threshold reaches the goal."""

_BOTH_COSTS = "give --small-cost and one of --large-cost and --large-cost-column"

GOALS = ("--target-risk", "--max-deferral", "--max-cost", "--margin")

Data = Annotated[Path, typer.Argument(help="Labelled rows: .csv, .jsonl or .parquet.")]
Small = Annotated[
    str | None,
    typer.Option(help="The small model, as package.module:attribute. Without it the file holds its probabilities."),
]
Prefix = Annotated[str, typer.Option(help="Without --small: what the names of the probability columns begin with.")]
SmallVersion = Annotated[str | None, typer.Option(help="Without --small: identity of the model that gave them.")]
InputColumn = Annotated[str, typer.Option("--input", help="Column of the inputs.")]
LabelColumn = Annotated[str, typer.Option("--label", help="Column of the true labels.")]
AnswerColumn = Annotated[
    str | None,
    typer.Option("--large-answer", help="Column of the large model's parsed answers, empty where a reply was invalid."),
]
SmallCost = Annotated[float | None, typer.Option(min=0, help="Of one small call, in any currency.")]
LargeCost = Annotated[float | None, typer.Option(min=0, help="Of one large call, in the same currency.")]
LargeCostColumn = Annotated[str | None, typer.Option(help="Column of what each large call cost, instead.")]


def fit_policy(
    data: Data,
    *,
    out: Annotated[Path, typer.Option(help="The policy is written here.")] = Path("policy.json"),
    target_risk: Annotated[float | None, typer.Option(help="Goal: certify this error rate where it answers.")] = None,
    max_deferral: Annotated[float | None, typer.Option(help="Goal: defer at most this share of inputs.")] = None,
    max_cost: Annotated[
        float | None,
        typer.Option(help="Goal: all calls together cost at most this share of the large model's bill; not certified."),
    ] = None,
    margin: Annotated[
        float | None,
        typer.Option(help="Goal: certify that the system loses at most this accuracy to --large-answer alone."),
    ] = None,
    confidence_level: Annotated[float, typer.Option(help="Of the certificate.")] = 0.95,
    small: Small = None,
    prefix: Prefix = "p_",
    small_version: SmallVersion = None,
    input_column: InputColumn = "text",
    label_column: LabelColumn = "label",
    answer_column: AnswerColumn = None,
    small_cost: SmallCost = None,
    large_cost: LargeCost = None,
    large_cost_column: LargeCostColumn = None,
    calibration: Annotated[CalibrationChoice, typer.Option(help="Chosen by held-out likelihood, or named.")] = "auto",
    score: Annotated[ConfidenceScore, typer.Option(help="What the threshold acts on.")] = "max_probability",
    certification_share: Annotated[
        float | None, typer.Option(help="Share of the rows that certify; 0.9 or more, unless given.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the split.")] = 0,
) -> None:
    """Calibrate a small model, find the threshold that meets a goal, certify it, and write the policy.

    Costs go with --max-cost, which is a share of them, and with --margin, which then says what its thresholds cost.
    Ends with status 4 where no threshold reaches the goal.
    """
    console = Console()
    rows = read_rows(data)
    answers = None if answer_column is None else answers_in(rows, answer_column)
    costs = _costs(rows, small_cost, large_cost, large_cost_column)
    asked = dict(zip(GOALS, (target_risk, max_deferral, max_cost, margin), strict=True))
    goal = _goal(asked, confidence_level, answers, costs)
    inputs = column(rows, input_column)
    model = _model(small, rows, input_column, prefix, small_version)
    try:
        with _watched(model, len(inputs), console) as watched:
            policy = fitting.fit_policy(
                watched,
                inputs,
                column(rows, label_column),
                goal,
                calibration=calibration,
                confidence_score=score,
                certification_share=certification_share,
                seed=seed,
            )
    except InfeasibleTargetError as error:
        console.print(f"INFEASIBLE: {error}", style="bold red", highlight=False)
        raise typer.Exit(INFEASIBLE) from error
    policy.save(out)
    print_policy(policy, console)
    console.print(f"written to {out}", highlight=False)


def evaluate(
    data: Data,
    *,
    policy: Annotated[Path, typer.Option(help="The policy to score, as fit-policy wrote it.")] = Path("policy.json"),
    small: Small = None,
    prefix: Prefix = "p_",
    small_version: SmallVersion = None,
    input_column: InputColumn = "text",
    label_column: LabelColumn = "label",
    answer_column: AnswerColumn = None,
    group_column: Annotated[str | None, typer.Option("--group", help="Column of groups to show apart.")] = None,
    min_group_size: Annotated[int, typer.Option(min=1, help="Fewer accepted rows state no risk.")] = MIN_GROUP_SIZE,
    small_cost: SmallCost = None,
    large_cost: LargeCost = None,
    large_cost_column: LargeCostColumn = None,
    setup_cost: Annotated[float, typer.Option(min=0, help="Paid once, for labels and training.")] = 0.0,
    tolerated_loss: Annotated[float, typer.Option(help="Accuracy that may be lost, for the verdict.")] = TOLERATED_LOSS,
    json_out: Annotated[Path | None, typer.Option("--json", help="Write the figures to this file.")] = None,
    plots: Annotated[Path | None, typer.Option(help="Draw plots into this folder.")] = None,
    plot_format: Annotated[Literal["png", "svg"], typer.Option("--format", help="Of the plots.")] = "png",
) -> None:
    """Score a policy on labelled rows that had no part in it, beside every baseline, and say whether it pays."""
    console = Console()
    rows = read_rows(data)
    inputs, labels = column(rows, input_column), column(rows, label_column)
    loaded = ShuntPolicy.load(policy)
    model = _model(small, rows, input_column, prefix, small_version)
    loaded.check(class_names(model), version_of(model))
    with _watched(model, len(inputs), console) as watched:
        probabilities = probability_rows(watched.predict_proba(inputs), len(inputs), loaded.classes)
    answers = None if answer_column is None else answers_in(rows, answer_column)
    costs = _costs(rows, small_cost, large_cost, large_cost_column, setup_cost)
    evaluation = evaluate_policy(
        loaded,
        probabilities,
        labels,
        large_answers=answers,
        costs=costs,
        groups=None if group_column is None else [str(name) for name in column(rows, group_column)],
        min_group_size=min_group_size,
        tolerated_loss=tolerated_loss,
    )
    print_policy(loaded, console)
    print_evaluation(evaluation, console)
    if json_out is not None:
        json_out.write_text(json.dumps(evaluation.to_dict(), indent=2) + "\n", encoding="utf-8")
    if plots is not None:
        draw_evaluation(plots, f".{plot_format}", loaded, evaluation, Labelled(probabilities, labels, answers, costs))


def _goal(
    asked: Mapping[str, float | None], confidence_level: float, answers: list[Any] | None, costs: CallCosts | None
) -> Goal:
    given = {name: value for name, value in asked.items() if value is not None}
    if len(given) != 1:
        raise typer.BadParameter(f"give exactly one goal of {', '.join(GOALS)}; got {', '.join(given) or 'none'}")
    ((name, value),) = given.items()
    if costs is not None and name in ("--target-risk", "--max-deferral"):
        raise typer.BadParameter(f"costs go with --max-cost and --margin, not with {name}")
    try:
        match name:
            case "--target-risk":
                return TargetRisk(value, confidence_level)
            case "--max-deferral":
                return MaxDeferral(value, confidence_level, large_answers=answers)
            case "--max-cost":
                return MaxDeferral(value, large_answers=answers, costs=_needed(costs))
        return EndToEnd(_known(answers), margin=value, confidence_level=confidence_level, costs=costs)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error


def _needed(costs: CallCosts | None) -> CallCosts:
    if costs is None:
        raise typer.BadParameter(f"--max-cost needs prices: {_BOTH_COSTS}")
    return costs


def _known(answers: list[Any] | None) -> list[Any]:
    if answers is None:
        raise typer.BadParameter("--margin needs the large model's answers: name their column with --large-answer")
    return answers


def _model(
    small: str | None, rows: dict[str, list[Any]], input_column: str, prefix: str, version: str | None
) -> SmallModel:
    if small is not None:
        return import_small_model(small)
    column(rows, input_column)
    return RememberedModel(rows, input_column, prefix, version)


def _costs(
    rows: dict[str, list[Any]],
    small: float | None,
    large: float | None,
    large_column: str | None,
    setup: float = 0.0,
) -> CallCosts | None:
    if small is None and large is None and large_column is None:
        return None
    if small is None or (large is None) == (large_column is None):
        raise typer.BadParameter(f"costs come together: {_BOTH_COSTS}")
    if large_column is None:
        return CallCosts(small, large or 0.0, setup)
    return CallCosts(small, _numbers(column(rows, large_column), large_column), setup)


def _numbers(values: list[Any], name: str) -> list[float]:
    try:
        return [float(value) for value in values]
    except (TypeError, ValueError) as error:
        raise CalibrationDataError(f"column {name!r} must hold what each large call cost: {error}") from error


@contextmanager
def _watched(model: SmallModel, n: int, console: Console) -> Iterator[WatchedModel]:
    """Show a bar while the small model works."""
    columns = (TextColumn("small model"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as bars:
        task = bars.add_task("small model", total=n)
        yield WatchedModel(model, lambda done: bars.update(task, completed=done))
