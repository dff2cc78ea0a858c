"""`datashunt samples`: the hard-sample log on the command line."""

from __future__ import annotations

import json
import re
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from langchain_datashunt.errors import HardSampleStoreError
from langchain_datashunt.store import HardSampleStore, StoreStats
from langchain_datashunt.store.databases import location_of
from langchain_datashunt.store.exporting import as_json
from langchain_datashunt.types import HardSample

samples = typer.Typer(no_args_is_help=True, help="Look into the hard-sample log, label it, take it along.")

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]+")
_SECONDS_A_DAY = 86_400

Store = Annotated[
    str, typer.Option("--store", envvar="DATASHUNT_STORE", help="The log: a SQLite file or a postgresql:// URL.")
]
Tenant = Annotated[str | None, typer.Option(help="Only this tenant's.")]
Policy = Annotated[str | None, typer.Option(help="Only of this policy.")]
Route = Annotated[str | None, typer.Option(help="Only those that this route answered.")]
Tag = Annotated[str | None, typer.Option(help="Only those with this tag.")]
Trainable = Annotated[bool, typer.Option("--trainable", help="Only those with a label to train on.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
DEFAULT_STORE = "hard-samples.db"


@samples.command("list")
def list_samples(
    *,
    store: Store = DEFAULT_STORE,
    tenant: Tenant = None,
    policy: Policy = None,
    route: Route = None,
    tag: Tag = None,
    trainable: Trainable = False,
    nearest: Annotated[
        float | None, typer.Option(min=0, max=1, help="Those nearest to this confidence, which a label helps most.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many.")] = 20,
    as_lines: AsJson = False,
) -> None:
    """List records, the first to arrive first."""
    with opened(store) as log:
        if nearest is None:
            found: Iterator[HardSample] = log.iter_samples(
                tenant=tenant, policy_id=policy, route=route, tag=tag, trainable_only=trainable
            )
        elif policy or route or tag or trainable:
            raise HardSampleStoreError("--nearest goes with --tenant only")
        else:
            found = iter(log.nearest(nearest, limit=limit, tenant=tenant or ""))
        shown = list(islice(found, limit))
    if as_lines:
        for sample in shown:
            typer.echo(json.dumps(as_json(sample)))
    else:
        _print_samples(shown)


@samples.command()
def show(id: str, *, store: Store = DEFAULT_STORE) -> None:  # noqa: A002  the word of the records
    """Print all that is known about one record, as JSON."""
    with opened(store) as log:
        sample = log.get(id)
    if sample is None:
        raise HardSampleStoreError(f"the hard-sample log has no sample with the id {id!r}")
    typer.echo(json.dumps(as_json(sample), indent=2))


@samples.command()
def label(
    id: str,  # noqa: A002  likewise
    gold: Annotated[str | None, typer.Argument(help="The true label; without one, the label is taken back.")] = None,
    *,
    store: Store = DEFAULT_STORE,
) -> None:
    """Set the true label of a record."""
    with opened(store) as log:
        log.label(id, gold)


@samples.command()
def export(
    file: Annotated[Path, typer.Argument(help="A .jsonl or .parquet file; it is replaced.")],
    *,
    store: Store = DEFAULT_STORE,
    tenant: Tenant = None,
    policy: Policy = None,
    route: Route = None,
    tag: Tag = None,
    trainable: Trainable = False,
) -> None:
    """Write records to a file."""
    with opened(store) as log:
        n = log.export(file, tenant=tenant, policy_id=policy, route=route, tag=tag, trainable_only=trainable)
    typer.echo(f"{n} records written to {file}")


@samples.command("import")
def import_samples(
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="A JSONL file.")],
    *,
    store: Store = DEFAULT_STORE,
    labels: Annotated[
        list[str] | None, typer.Option("--label", help="The file is a log of chat completions; one label each.")
    ] = None,
) -> None:
    """Add the records of an export, labelled texts, or a log of chat completions."""
    with opened(store, must_exist=False) as log:
        n = log.import_chat_logs(file, labels) if labels else log.import_jsonl(file)
        if not log.flush(60):
            raise HardSampleStoreError("the server does not answer; nothing says how many records reached it")
    typer.echo(f"{n} records added")


@samples.command()
def stats(*, store: Store = DEFAULT_STORE, tenant: Tenant = None, as_lines: AsJson = False) -> None:
    """Count records, requests, tokens, and what was lost."""
    with opened(store) as log:
        counted = log.stats(tenant=tenant)
    if as_lines:
        typer.echo(json.dumps(asdict(counted)))
    else:
        _print_stats(counted)


@samples.command()
def prune(
    *,
    older_than: Annotated[float, typer.Option(min=0, help="Days since a record was last seen.")],
    include_gold: Annotated[bool, typer.Option("--include-gold", help="Also those with a true label.")] = False,
    store: Store = DEFAULT_STORE,
) -> None:
    """Delete old records."""
    with opened(store) as log:
        n = log.prune(before=time.time() - older_than * _SECONDS_A_DAY, keep_gold=not include_gold)
    typer.echo(f"{n} records deleted")


@samples.command()
def erase(
    *,
    tag: Annotated[str | None, typer.Option(help="Those whose runs had this tag.")] = None,
    text: Annotated[str | None, typer.Option(help="Those of this input, in a log without salt and redaction.")] = None,
    tenant: Tenant = None,
    store: Store = DEFAULT_STORE,
) -> None:
    """Delete the records of a person."""
    with opened(store) as log:
        n = log.erase(tag=tag, input=text, tenant=tenant)
    typer.echo(f"{n} records deleted")


@contextmanager
def opened(url: str, *, must_exist: bool = True) -> Iterator[HardSampleStore]:
    """Open the log that a command names, and close it."""
    location = location_of(url)
    if isinstance(location, Path):
        if must_exist and not location.is_file():
            raise HardSampleStoreError(f"there is no hard-sample log at {url!r}; name it with --store")
        with HardSampleStore(location) as store:
            yield store
    else:
        with tempfile.TemporaryDirectory() as folder, HardSampleStore(url, spool=Path(folder) / "spool.db") as store:
            yield store


def _print_samples(shown: list[HardSample]) -> None:
    whole = max((len(sample.id) for sample in shown), default=0)  # it is there to be copied
    headers = "last seen", "route", "small model", "answers", "gold", "input"
    table = Table(Column("id", no_wrap=True, min_width=whole), *headers)
    for sample in shown:
        confidence = "" if sample.confidence is None else f" {sample.confidence:.2f}"
        answers = ", ".join(f"{name} x{n}" for name, n in sample.answers.items()) or sample.problem or ""
        table.add_row(
            sample.id,
            _when(sample.last_seen),
            sample.route,
            _clean((sample.small_label or "failed") + confidence),
            _clean(answers),
            _clean(sample.gold or ""),
            _clean(sample.input if isinstance(sample.input, str) else json.dumps(sample.input)),
        )
    Console().print(table)


def _print_stats(counted: StoreStats) -> None:
    console = Console()
    routes = Table("tenant", "policy", "route", "records", "complete", "incomplete", "trainable", "gold", "tokens")
    for row in counted.routes:
        numbers = (row.samples, row.complete, row.incomplete, row.trainable, row.gold)
        tokens = f"{row.input_tokens} + {row.output_tokens}"
        routes.add_row(_clean(row.tenant), _clean(row.policy_id), row.route, *map(str, numbers), tokens)
    console.print(routes)
    if counted.traffic:
        traffic = Table("day", "tenant", "policy", "route", "requests")
        for count in counted.traffic:
            traffic.add_row(count.day, _clean(count.tenant), _clean(count.policy_id), count.route, str(count.requests))
        console.print(traffic)
    for loss in counted.losses:
        console.print(_clean(f"LOST {loss.records} records, {_when(loss.since)} to {_when(loss.until)}: {loss.reason}"))


def _clean(text: str, longest: int = 200) -> Text:
    """Return a text for a terminal: no markup, no control characters, one line, cut."""
    return Text(_CONTROL.sub(" ", text[:longest]), overflow="fold")


def _when(seconds: float | None) -> str:
    return "" if seconds is None else datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M")
