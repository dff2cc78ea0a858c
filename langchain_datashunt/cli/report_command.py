"""`datashunt report`: from a hard-sample log to one HTML file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from langchain_datashunt.bounds.live_bound import LiveBound
from langchain_datashunt.cli.named_models import RememberedModel, import_small_model
from langchain_datashunt.cli.policy_commands import (
    AnswerColumn,
    InputColumn,
    LabelColumn,
    Prefix,
    Small,
    SmallVersion,
)
from langchain_datashunt.cli.row_files import answers_in, column, read_rows
from langchain_datashunt.cli.samples_commands import DEFAULT_STORE, Store, Tenant, opened
from langchain_datashunt.policy.costs import Prices
from langchain_datashunt.policy.shunt_policy import ShuntPolicy
from langchain_datashunt.registry.model_registry import ModelRegistry
from langchain_datashunt.report.labelled_section import LabelledRows
from langchain_datashunt.report.writing import write_report
from langchain_datashunt.small_models import class_names, probability_rows, version_of
from langchain_datashunt.types import SmallModel


def report(
    out: Annotated[Path, typer.Argument(help="The HTML file; it is replaced.")] = Path("report.html"),
    *,
    store: Store = DEFAULT_STORE,
    tenant: Tenant = None,
    policy_id: Annotated[str | None, typer.Option(help="Only this policy's requests.")] = None,
    policy: Annotated[Path | None, typer.Option(help="The policy in use, as fit-policy wrote it.")] = None,
    input_price: Annotated[float | None, typer.Option(min=0, help="Of a million input tokens.")] = None,
    output_price: Annotated[float | None, typer.Option(min=0, help="Of a million output tokens.")] = None,
    small_cost: Annotated[float, typer.Option(min=0, help="Of one small call.")] = 0.0,
    currency: Annotated[str, typer.Option(help="Of the prices.")] = "USD",
    bound: Annotated[
        list[Path] | None, typer.Option(exists=True, help="File of a live bound; may be repeated.")
    ] = None,
    rows: Annotated[
        Path | None, typer.Option(help="Labelled rows that had no part in the policy: .csv, .jsonl or .parquet.")
    ] = None,
    small: Small = None,
    prefix: Prefix = "p_",
    small_version: SmallVersion = None,
    input_column: InputColumn = "text",
    label_column: LabelColumn = "label",
    answer_column: AnswerColumn = None,
    registry: Annotated[
        Path | None, typer.Option(exists=True, file_okay=False, help="Folder of the small model's versions.")
    ] = None,
    title: Annotated[str, typer.Option(help="Of the page.")] = "What the shunt did",
    hide_inputs: Annotated[bool, typer.Option("--hide-inputs", help="Leave the texts of users out.")] = False,
) -> None:
    """Write what the shunt did, saved and got wrong as one HTML file that needs no network and no scripts."""
    loaded = None if policy is None else ShuntPolicy.load(policy)
    labelled = None
    if rows is not None:
        if loaded is None:
            raise typer.BadParameter("labelled rows are scored with a policy: give --policy too")
        columns, inputs = read_rows(rows), input_column
        model = RememberedModel(columns, inputs, prefix, small_version) if small is None else import_small_model(small)
        answers = None if answer_column is None else answers_in(columns, answer_column)
        labelled = _labelled(loaded, model, column(columns, inputs), column(columns, label_column), answers)
    with opened(store) as log:
        write_report(
            log,
            out,
            policy=loaded,
            policy_id=policy_id,
            tenant=tenant,
            prices=_prices(input_price, output_price, small_cost, currency),
            bounds=[LiveBound.load(file) for file in bound or ()],
            labelled=labelled,
            registry=None if registry is None else ModelRegistry(registry),
            title=title,
            show_inputs=not hide_inputs,
        )
    typer.echo(f"written to {out}")


def _prices(input_price: float | None, output_price: float | None, small_cost: float, currency: str) -> Prices | None:
    if input_price is None and output_price is None and not small_cost:
        return None
    if input_price is None or output_price is None:
        raise typer.BadParameter("a bill needs --input-price and --output-price, each of a million tokens")
    return Prices(input=input_price, output=output_price, small=small_cost, currency=currency)


def _labelled(
    policy: ShuntPolicy, model: SmallModel, inputs: list[Any], labels: list[Any], answers: list[Any] | None
) -> LabelledRows:
    """Let the small model answer labelled rows; it must be the policy's."""
    policy.check(class_names(model), version_of(model))
    return LabelledRows(probability_rows(model.predict_proba(inputs), len(inputs), policy.classes), labels, answers)
