"""`datashunt audits`: what audits say of the accepted inputs, on the command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from langchain_datashunt.bounds.live_bound import LiveBound
from langchain_datashunt.cli.samples_commands import DEFAULT_STORE, AsJson, Store, Tenant, opened

audits = typer.Typer(no_args_is_help=True, help="Is the small model still as good as it was? What audits say.")

ALARM_STATUS = 3
"""Exit status of `check` where an alarm has gone off; 1 is an error, 2 a wrong command line."""


@audits.command()
def estimate(
    *,
    policy: Annotated[str, typer.Option(help="The policy's id; empty for a shunt without one.")],
    store: Store = DEFAULT_STORE,
    tenant: Tenant = None,
    confidence_level: Annotated[float, typer.Option(help="Of each interval.")] = 0.95,
    as_lines: AsJson = False,
) -> None:
    """Estimate disagreement with the LLM, and error, among the inputs that a policy accepts."""
    with opened(store) as log:
        estimates = log.estimate(policy_id=policy, tenant=tenant, confidence_level=confidence_level)
    typer.echo(json.dumps(estimates.to_dict()) if as_lines else str(estimates))


@audits.command()
def check(
    files: Annotated[list[Path], typer.Argument(exists=True, dir_okay=False, help="Files of live bounds.")],
    *,
    as_lines: AsJson = False,
) -> None:
    """Print live bounds; end with status 3 if an alarm has gone off."""
    bounds = [LiveBound.load(file) for file in files]
    for bound in bounds:
        typer.echo(json.dumps(bound.summary()) if as_lines else str(bound))
    if any(bound.alarm for bound in bounds):
        raise typer.Exit(ALARM_STATUS)
