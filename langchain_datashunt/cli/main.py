"""The command `datashunt`. Each of its commands lives in the module that it is about."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import TYPE_CHECKING

from langchain_datashunt.errors import DataShuntError, MissingExtraError

if TYPE_CHECKING:
    import typer

COMMANDS = {
    "demo": "langchain_datashunt.demo.command",
    "distill": "langchain_datashunt.cli.learning_commands",
    "evaluate": "langchain_datashunt.cli.policy_commands",
    "fit-policy": "langchain_datashunt.cli.policy_commands",
    "loop": "langchain_datashunt.cli.learning_commands",
    "report": "langchain_datashunt.cli.report_command",
    "serve": "langchain_datashunt.cli.serve_command",
}
"""Name to the module with a function of that name, whose signature and docstring typer reads."""

GROUPS = {
    "audits": "langchain_datashunt.cli.audits_commands",
    "models": "langchain_datashunt.cli.models_commands",
    "samples": "langchain_datashunt.cli.samples_commands",
}
"""Name to the module with a typer application of that name, which holds commands of its own."""


def build_app() -> typer.Typer:
    """Return the application with all commands.

    Raises:
        MissingExtraError: typer or rich is not installed.
    """
    try:
        import rich  # noqa: F401, PLC0415  an extra
        import typer  # noqa: PLC0415  an extra
    except ImportError as error:
        raise MissingExtraError("the command datashunt", "cli") from error
    app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
    for name, module in COMMANDS.items():
        app.command(name)(getattr(import_module(module), name.replace("-", "_")))
    for name, module in GROUPS.items():
        app.add_typer(getattr(import_module(module), name), name=name)

    @app.callback()
    def describe() -> None:
        """Ask a small model first and a large one only where that helps."""

    return app


def main() -> None:
    """Run the command line; an error of this package, or of the file system, ends it with one message and status 1."""
    try:
        build_app()()
    except (DataShuntError, OSError) as error:
        sys.exit(f"datashunt: {error}")


if __name__ == "__main__":
    main()
