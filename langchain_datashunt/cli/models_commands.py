"""`datashunt models`: the versions of a small model on the command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from langchain_datashunt.cli.evaluation_report import print_policy
from langchain_datashunt.cli.named_models import import_small_model
from langchain_datashunt.cli.samples_commands import AsJson
from langchain_datashunt.errors import RegistryError
from langchain_datashunt.policy.shunt_policy import ShuntPolicy
from langchain_datashunt.registry.model_registry import ModelRegistry
from langchain_datashunt.registry.model_versions import ModelVersion
from langchain_datashunt.registry.promotions import Promotion

models = typer.Typer(no_args_is_help=True, help="Versions of the small model: which there are, which one serves.")

DEFAULT_REGISTRY = Path("models")

Registry = Annotated[Path, typer.Option("--registry", envvar="DATASHUNT_REGISTRY", help="The registry's folder.")]
TrustedTypes = Annotated[
    list[str] | None,
    typer.Option("--trusted-type", help="A type that a scikit-learn model may hold; `show` names them."),
]
Number = Annotated[int, typer.Argument(help="Of the version.")]
Reason = Annotated[str, typer.Option(help="For the journal.")]


@models.command("list")
def list_models(*, registry: Registry = DEFAULT_REGISTRY, as_lines: AsJson = False) -> None:
    """List all versions, the oldest first."""
    opened = opened_registry(registry)
    promoted = opened.promoted()
    serving = None if promoted is None else promoted.version
    if as_lines:
        for version in opened.versions():
            typer.echo(json.dumps({"serves": version.number == serving, **_as_json(version)}))
        return
    table = Table("", "version", "made", "parents", "small model", "policy", "threshold", "certified")
    for version in opened.versions():
        certificate = version.policy.certificate
        table.add_row(
            "serves" if version.number == serving else "",
            str(version.number),
            version.card.created,
            ", ".join(map(str, version.card.parents)),
            version.card.small_model_version or "",
            version.card.policy_id,
            f"{version.policy.threshold:.4f}",
            "" if certificate is None else f"{certificate.quantity} <= {certificate.target:g}",
        )
    Console().print(table)


@models.command()
def show(number: Number, *, registry: Registry = DEFAULT_REGISTRY, as_lines: AsJson = False) -> None:
    """Print a version's card and policy, and when it was promoted."""
    opened = opened_registry(registry)
    version = opened.version(number)
    entries = [entry for entry in opened.history() if number in (entry.version, entry.before)]
    if as_lines:
        typer.echo(json.dumps(_as_json(version), indent=2))
        return
    console = Console()
    card = version.card.to_dict()
    table = Table("", "", title=f"version {number}", title_justify="left", show_header=False)
    for name in ("created", "parents", "untrusted_types"):
        table.add_row(name.replace("_", " "), ", ".join(map(str, card[name])) if name != "created" else card[name])
    for name in ("data", "metrics"):
        table.add_row(name, json.dumps(card[name], indent=2))
    console.print(table)
    print_policy(version.policy, console)
    for entry in entries:
        console.print(_told(entry), highlight=False)


@models.command()
def add(
    *,
    small: Annotated[str, typer.Option(help="The small model, as package.module:attribute.")],
    policy: Annotated[Path, typer.Option(help="Its policy, as fit-policy wrote it.")] = Path("policy.json"),
    registry: Registry = DEFAULT_REGISTRY,
) -> None:
    """Keep a model with its policy as a new version; the registry is made where there is none."""
    version = ModelRegistry(registry).add(import_small_model(small), ShuntPolicy.load(policy))
    typer.echo(f"kept as version {version.number}")
    for name in version.card.untrusted_types:
        typer.echo(f"it holds {name}, which whoever loads it must trust by name")


@models.command()
def promote(
    number: Number,
    *,
    replacing: Annotated[int | None, typer.Option(help="Only if this version still serves.")] = None,
    reason: Reason = "",
    registry: Registry = DEFAULT_REGISTRY,
) -> None:
    """Let a version serve from now on."""
    typer.echo(_told(opened_registry(registry).promote(number, replacing=replacing, reason=reason)))


@models.command()
def rollback(*, reason: Reason = "", registry: Registry = DEFAULT_REGISTRY) -> None:
    """Let the version serve again that served before the last promotion."""
    typer.echo(_told(opened_registry(registry).rollback(reason=reason)))


def opened_registry(folder: Path, trusted_types: list[str] | None = None) -> ModelRegistry:
    """Return the registry that a command names.

    Raises:
        RegistryError: There is none.
    """
    if not folder.is_dir():
        raise RegistryError(f"there is no registry at {str(folder)!r}; name it with --registry")
    return ModelRegistry(folder, trusted_types=trusted_types or ())


def _as_json(version: ModelVersion) -> dict[str, Any]:
    return {"version": version.number, "card": version.card.to_dict(), "policy": version.policy.to_dict()}


def _told(entry: Promotion) -> str:
    before = "" if entry.before is None else f", version {entry.before} until then"
    reason = f": {entry.reason}" if entry.reason else ""
    return f"{entry.at} {entry.action}: version {entry.version} serves{before}{reason}"
