"""What stands in front of the application: who may ask, how much at once, how large, how long."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Mapping

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from langchain_datashunt.serve.access import Authenticate, comes_from_here
from langchain_datashunt.serve.limits import HEADER_BYTES, RequestLimits

OPEN_PATHS = frozenset({"/health", "/ready"})
"""For probes, which carry no token; they tell nothing but yes or no."""


class Guard:
    """ASGI middleware that reads a request's body, within the limits, before the application sees the request.

    Args:
        app: What answers.
        limits: What a request may take.
        authenticate: Tells whether a request may be answered; None answers this machine only.
    """

    def __init__(self, app: ASGIApp, *, limits: RequestLimits, authenticate: Authenticate | None) -> None:
        self._app = app
        self._limits = limits
        self._authenticate = authenticate
        self._running = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or refuse it."""
        if scope["type"] == "lifespan" or scope.get("path") in OPEN_PATHS:
            await self._app(scope, receive, send)
        elif scope["type"] == "http":
            refusal = await self._refusal(scope) or await self._guarded(scope, receive, send)
            if refusal is not None:
                await refusal(scope, receive, send)
        else:  # a websocket, which nothing here speaks
            await send({"type": "websocket.close", "code": 1008})

    async def _refusal(self, scope: Scope) -> JSONResponse | None:
        if sum(len(name) + len(value) for name, value in scope["headers"]) > HEADER_BYTES:
            return refused(431, f"headers have at most {HEADER_BYTES} bytes", CLOSE)
        if self._authenticate is None:
            if comes_from_here(dict(scope)):
                return None
            return refused(
                403, "without authentication this server answers its own machine only, at a loopback address"
            )
        try:
            async with asyncio.timeout(self._limits.timeout_s):
                allowed = self._authenticate(Request(scope))
                if inspect.isawaitable(allowed):
                    allowed = await allowed
        except TimeoutError:
            return refused(504, f"who asks was not known within {self._limits.timeout_s:g} s")
        if allowed is True:
            return None
        return refused(401, "this server asks for: Authorization: Bearer <token>", {"WWW-Authenticate": "Bearer"})

    async def _guarded(self, scope: Scope, receive: Receive, send: Send) -> JSONResponse | None:
        if {b"content-length", b"transfer-encoding"} <= {name for name, _ in scope["headers"]}:
            return refused(400, "a body has a length or comes in chunks, and not both", CLOSE)  # else proxies disagree
        try:
            async with asyncio.timeout(self._limits.receive_timeout_s):
                body = await _body(scope, receive, self._limits.body_bytes)
        except TimeoutError:
            return refused(408, f"the body did not arrive within {self._limits.receive_timeout_s:g} s", CLOSE)
        except _TooLargeError:
            return refused(413, f"a body has at most {self._limits.body_bytes} bytes", CLOSE)
        except _GoneError:
            return refused(400, "the connection was closed before the body had come", CLOSE)
        if self._running >= self._limits.concurrency:
            return refused(503, f"{self._running} requests are being answered; try again", {"Retry-After": "1"})
        self._running += 1
        try:
            return await self._timed(scope, _replayed(body, receive), send)
        finally:
            self._running -= 1

    async def _timed(self, scope: Scope, receive: Receive, send: Send) -> JSONResponse | None:
        started = False

        async def noticed(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            async with asyncio.timeout(self._limits.timeout_s) as limit:
                await self._app(scope, receive, noticed)
        except TimeoutError:
            if not limit.expired():
                raise
            if started:  # the client knows an unfinished stream by its missing last event
                return None
            return refused(504, f"no answer within {self._limits.timeout_s:g} s")
        return None


CLOSE = {"Connection": "close"}


class _TooLargeError(Exception):
    """The body is larger than allowed."""


class _GoneError(Exception):
    """The client went away."""


def refused(status: int, why: str, headers: Mapping[str, str] | None = None) -> JSONResponse:
    """Return an answer that refuses a request."""
    return JSONResponse({"detail": why}, status, headers)


async def _body(scope: Scope, receive: Receive, most: int) -> bytes:
    announced = [value for name, value in scope["headers"] if name == b"content-length"]
    if any(not each.isdigit() or int(each[:20]) > most for each in announced):
        raise _TooLargeError
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise _GoneError
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > most:
            raise _TooLargeError
        if not message.get("more_body", False):
            return b"".join(parts)


def _replayed(body: bytes, receive: Receive) -> Receive:
    """Return a `receive` that gives the body once, and then what comes after it: that the client went away."""
    given = False

    async def replay() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replay
