"""`datashunt audits`: what audits say of the accepted inputs, on the command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from langchain_datashunt.bounds.live_bound import LiveBound
from langchain_datashunt.cli.samples_commands import DEFAULT_STORE, AsJson, Store, Tenant, opened
from langchain_datashunt.errors import AuditError
from langchain_datashunt.store.error_monitor import ErrorMonitor

audits = typer.Typer(no_args_is_help=True, help="Is the small model still as good as it was? What audits say.")

ALARM_STATUS = 3
"""Exit status of `check` and `feed` where an alarm has gone off; 1 is an error, 2 a wrong command line."""


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
        stats = log.stats(tenant=tenant)
        known = {each.policy_id for each in stats.routes} | {each.policy_id for each in stats.traffic}
        if policy not in known:
            raise AuditError(f"the log has nothing of policy {policy!r}, tenant {tenant!r}; it has {sorted(known)}")
        estimates = log.estimate(policy_id=policy, tenant=tenant, confidence_level=confidence_level)
    typer.echo(json.dumps(estimates.to_dict()) if as_lines else str(estimates))


@audits.command()
def feed(
    file: Annotated[Path, typer.Argument(dir_okay=False, help="The file of a live bound on error; made if missing.")],
    *,
    policy: Annotated[str, typer.Option(help="The policy's id; empty for a shunt without one.")],
    store: Store = DEFAULT_STORE,
    target: Annotated[float | None, typer.Option(help="Of a new bound: the error rate not to be passed.")] = None,
    lowest_audit_rate: Annotated[float | None, typer.Option(help="Of a new bound: the shunt's audit rate.")] = None,
    confidence_level: Annotated[float, typer.Option(help="Of a new bound.")] = 0.95,
) -> None:
    """Add people's labels of audits to a live bound on error; end with status 3 if the alarm has gone off."""
    with opened(store) as log:
        if file.exists():
            if target is not None or lowest_audit_rate is not None:
                raise AuditError(f"{str(file)!r} has its target already; name --target for a new file only")
            monitor = ErrorMonitor.load(file, log)
        elif target is None or lowest_audit_rate is None:
            raise AuditError(f"there is no {str(file)!r}; a new bound needs --target and --lowest-audit-rate")
        else:
            bound = LiveBound("error", target, lowest_audit_rate=lowest_audit_rate, confidence_level=confidence_level)
            monitor = ErrorMonitor(log, bound, policy_id=policy, path=file)
        if monitor.policy_id != policy:
            raise AuditError(f"{str(file)!r} watches the policy {monitor.policy_id!r}, not {policy!r}")
        monitor.update()
    typer.echo(str(monitor.bound))
    if monitor.bound.alarm:
        raise typer.Exit(ALARM_STATUS)


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
