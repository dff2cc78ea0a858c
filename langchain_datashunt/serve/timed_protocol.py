"""uvicorn's HTTP protocol with limits on how long clients may take, which it has not itself."""

from __future__ import annotations

import asyncio
from typing import Any

from typing_extensions import override
from uvicorn.protocols.http.h11_impl import H11Protocol

LEAST_READ = 1_000
"""Bytes a second that a client must read of what waits for it."""


class TimedH11Protocol(H11Protocol):
    """Closes connections whose headers do not come, or whose answers are not read, in time.

    The time is ``receive_timeout_s`` of the limits that `create_app` left in the application's state. Once in it the
    connection is looked at; one is cut off where less than `LEAST_READ` was read since the look before. So a client
    that has stopped to read keeps its connection for twice the time at most, and one that reads keeps it, however large
    the answer is.
    """

    _closing: asyncio.TimerHandle | None = None
    _next_look: asyncio.TimerHandle | None = None
    _waiting = 0
    """Bytes that waited to be read at the last look; 0 where the client has made room since."""

    @override
    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._watch_headers()
        self._next_look = self.loop.call_later(self._seconds, self._look)

    @override
    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._watch_headers()

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._cancel_closing()
        if self._next_look is not None:
            self._next_look.cancel()

    @override
    def resume_writing(self) -> None:
        super().resume_writing()
        self._waiting = 0

    @property
    def _seconds(self) -> float:
        app: Any = self.config.app
        return float(app.state.limits.receive_timeout_s)

    def _watch_headers(self) -> None:
        """Bound the time until the next request begins; bytes that drip in one by one do not stretch it."""
        if self.cycle is not None and not self.cycle.response_complete:
            self._cancel_closing()
        elif self._closing is None:
            self._closing = self.loop.call_later(self._seconds, self.transport.close)

    def _cancel_closing(self) -> None:
        if self._closing is not None:
            self._closing.cancel()
            self._closing = None

    def _look(self) -> None:
        before, waiting = self._waiting, self.transport.get_write_buffer_size()
        if before and waiting and self._nothing_follows() and before - waiting < LEAST_READ * self._seconds:
            self.transport.abort()
            return
        self._waiting = waiting
        self._next_look = self.loop.call_later(self._seconds, self._look)

    def _nothing_follows(self) -> bool:
        """Tell whether what waits only becomes less: no more is written until it is read, or at all."""
        written = self.cycle is None or self.cycle.response_complete or self.transport.is_closing()
        return written or bool(self.flow.write_paused)
