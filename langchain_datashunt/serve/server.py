"""`run_server`: uvicorn, with what a server on a network needs beside an application."""

from __future__ import annotations

import uvicorn
from fastapi import FastAPI

from langchain_datashunt.errors import CompositionError
from langchain_datashunt.serve.access import is_loopback
from langchain_datashunt.serve.limits import RequestLimits
from langchain_datashunt.serve.timed_protocol import TimedH11Protocol

HEADER_BYTES = 16_384


def run_server(app: FastAPI, *, host: str = "127.0.0.1", port: int = 8000) -> None:
    """Serve an application of `create_app` until SIGTERM or SIGINT; requests in flight are then finished.

    Args:
        app: The application.
        host: The address to listen on; other than loopback only with authentication.
        port: The port; 0 takes a free one.

    Raises:
        CompositionError: The host is not loopback, and the application has no authentication.
    """
    if app.state.needs_loopback and not is_loopback(host):
        raise CompositionError(
            f"host {host!r} can be reached by others, and the application asks for no authentication: give "
            "create_app(chain, authenticate=BearerTokens(...)), or stay at 127.0.0.1"
        )
    uvicorn.Server(server_config(app, host=host, port=port)).run()


def server_config(app: FastAPI, *, host: str, port: int) -> uvicorn.Config:
    """Return uvicorn's configuration: bounded headers, connections and waits, and no trust in forwarded addresses."""
    limits: RequestLimits = app.state.limits
    return uvicorn.Config(
        app,
        host=host,
        port=port,
        http=TimedH11Protocol,
        ws="none",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        limit_concurrency=limits.connections,
        h11_max_incomplete_event_size=HEADER_BYTES,
        timeout_graceful_shutdown=int(limits.timeout_s + limits.receive_timeout_s) + 1,
    )
