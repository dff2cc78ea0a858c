"""`datashunt serve`: a chain behind HTTP, on the command line."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated, Any

import typer

from langchain_datashunt.cli.imported import import_attribute
from langchain_datashunt.errors import CompositionError

if TYPE_CHECKING:
    from fastapi import FastAPI

TOKEN_VARIABLE = "DATASHUNT_TOKEN"  # noqa: S105  its name


def serve(
    chain: Annotated[str, typer.Argument(help="package.module:attribute; a function without arguments is called.")],
    *,
    host: Annotated[str, typer.Option(help="Another than loopback needs a token.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65_535, help="0 takes a free one.")] = 8000,
    threshold_bounds: Annotated[
        tuple[float, float] | None, typer.Option(help="Lowest and highest threshold that requests may ask for.")
    ] = None,
) -> None:
    """Serve a chain over HTTP; SIGTERM lets requests in flight finish.

    The environment variable DATASHUNT_TOKEN holds the bearer token, or several with spaces between, that requests must
    carry. Without it only this machine is answered.
    """
    from langchain_datashunt.serve import run_server  # noqa: PLC0415  an extra

    app = served_app(chain, tokens=os.environ.get(TOKEN_VARIABLE, ""), threshold_bounds=threshold_bounds)
    run_server(app, host=host, port=port)


def served_app(name: str, *, tokens: str, threshold_bounds: tuple[float, float] | None) -> FastAPI:
    """Return the application of a named chain.

    Raises:
        CompositionError: There is no such chain, or it cannot be served; or a token is too short to be a secret.
    """
    from langchain_datashunt.serve import BearerTokens, create_app  # noqa: PLC0415  an extra

    try:
        found = import_attribute(name)
    except (ImportError, AttributeError, ValueError) as error:
        raise CompositionError(f"no chain {name!r}: {error}") from error
    chain: Any = found() if callable(found) and not hasattr(found, "invoke") else found
    try:
        authenticate = BearerTokens(*tokens.split()) if tokens.split() else None
    except ValueError as error:
        raise CompositionError(f"{TOKEN_VARIABLE} holds no secret: {error}") from error
    return create_app(chain, authenticate=authenticate, threshold_bounds=threshold_bounds)
