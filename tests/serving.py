"""Served chains for tests: the same application over a real socket, and clients that behave badly."""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import uvicorn
from fastapi import FastAPI

from langchain_datashunt.serve.limits import RequestLimits
from langchain_datashunt.serve.server import GracefulServer, server_config


@dataclass
class Running:
    """A server in a thread of this process."""

    server: uvicorn.Server
    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def connect(self) -> socket.socket:
        """Return a bare connection, for what no client library would send."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=20)


@contextmanager
def running(app: FastAPI) -> Iterator[Running]:
    """Serve an application until the block ends."""
    if not hasattr(app.state, "limits"):  # an application of somebody else's making, such as LangServe's
        app.state.limits = RequestLimits()
    server = GracefulServer(server_config(app, host="127.0.0.1", port=0))
    for name in ("uvicorn", "uvicorn.access"):  # they would write to what pytest has captured and closed since
        logging.getLogger(name).handlers.clear()
    thread = threading.Thread(target=lambda: asyncio.run(server.serve()), daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive(), "the server did not start"
        time.sleep(0.01)
    yield Running(server, server.servers[0].sockets[0].getsockname()[1])
    server.should_exit = True
    thread.join(20)
    assert not thread.is_alive(), "the server did not stop"


def received(connection: socket.socket) -> str:
    """Return what comes until the server closes the connection."""
    parts: list[bytes] = []
    while part := connection.recv(65536):
        parts.append(part)
    return b"".join(parts).decode("latin-1")


def posted(path: str, body: Any, *, headers: str = "") -> bytes:
    """Return a request as bytes."""
    head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n{headers}"
    return f"{head}Content-Length: {len(body)}\r\n\r\n{body}".encode()
