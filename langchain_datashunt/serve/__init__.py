"""A chain behind HTTP, by FastAPI (extra ``serve``): `create_app` makes the application, `run_server` serves it."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from langchain_datashunt.errors import MissingExtraError

if TYPE_CHECKING:
    from langchain_datashunt.serve.access import BearerTokens
    from langchain_datashunt.serve.app import create_app
    from langchain_datashunt.serve.limits import RequestLimits
    from langchain_datashunt.serve.server import run_server

__all__ = ["BearerTokens", "RequestLimits", "create_app", "run_server"]

_HOME = {"BearerTokens": "access", "RequestLimits": "limits", "create_app": "app", "run_server": "server"}


def __getattr__(name: str) -> Any:
    """Load a public name from its module at its first use, and keep it."""
    if name not in _HOME:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    try:
        value = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    except ModuleNotFoundError as error:
        raise MissingExtraError(f"langchain_datashunt.serve.{name}", "serve") from error
    globals()[name] = value
    return value
