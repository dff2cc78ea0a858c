"""`run_server`: uvicorn, with what a server on a network needs beside an application."""

from __future__ import annotations

import asyncio
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import uvicorn
from fastapi import FastAPI
from typing_extensions import override

from langchain_datashunt.errors import CompositionError
from langchain_datashunt.serve.access import is_loopback
from langchain_datashunt.serve.limits import HEADER_BYTES, RequestLimits
from langchain_datashunt.serve.timed_protocol import TimedH11Protocol

KEEP_ALIVE_S = 75
"""Seconds that a connection may be idle between two requests: more than the 60 of common proxies, which else send
requests on connections that are just being closed."""


STOPPING_S = 0.05
"""Seconds in which what has arrived is taken in before the server stops."""


class GracefulServer(uvicorn.Server):
    """Answers, when it stops, all that had arrived by then, and nothing else.

    uvicorn closes connections in which a request lies unread; and one that it has accepted but not yet met stays open
    while its client goes on asking, until the time is up and the last of its requests is cancelled.
    """

    @override
    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await asyncio.sleep(STOPPING_S)
        for server in self.servers:
            server.close()
        await asyncio.sleep(STOPPING_S)
        await super().shutdown(sockets)


def run_server(app: FastAPI, *, host: str = "127.0.0.1", port: int = 8000) -> None:
    """Serve an application of `create_app` until SIGTERM or SIGINT; requests in flight are then finished.

    It returns when the server has stopped, so a program that ends with it has status 0.

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
            "create_app(chain, authenticate=BearerTokens(...)), or `datashunt serve` the variable DATASHUNT_TOKEN; or "
            "stay at 127.0.0.1"
        )
    server = GracefulServer(server_config(app, host=host, port=port))
    with _stopping_by_signal(server):
        server.run()


@contextmanager
def _stopping_by_signal(server: uvicorn.Server) -> Iterator[None]:
    """Let SIGTERM and SIGINT stop the server, and nothing else.

    When uvicorn has shut down, it raises the signal once more for whoever listened before it; by default that kills the
    process on the spot, and what was registered with atexit, such as the last counts of a log, is lost.
    """
    if threading.current_thread() is not threading.main_thread():  # elsewhere signals cannot be listened to
        yield
        return

    def stop(_: int, __: FrameType | None) -> None:
        server.should_exit = True

    before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


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
        timeout_keep_alive=KEEP_ALIVE_S,
        h11_max_incomplete_event_size=HEADER_BYTES,
        timeout_graceful_shutdown=int(limits.timeout_s + limits.receive_timeout_s) + 1,
    )
