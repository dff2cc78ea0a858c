"""uvicorn's HTTP protocol with limits on how long clients may take, which it has not itself."""

from __future__ import annotations

import asyncio
from typing import Any

from typing_extensions import override
from uvicorn.protocols.http.h11_impl import H11Protocol


class TimedH11Protocol(H11Protocol):
    """Closes connections whose headers do not come, or whose answers are not read, in time.

    The time is ``receive_timeout_s`` of the limits that `create_app` left in the application's state.
    """

    _closing: asyncio.TimerHandle | None = None
    _aborting: asyncio.TimerHandle | None = None

    @override
    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._watch_headers()

    @override
    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._watch_headers()

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._cancel_closing()
        self._cancel_aborting()

    @override
    def pause_writing(self) -> None:
        super().pause_writing()
        self._aborting = self.loop.call_later(self._seconds, self.transport.abort)

    @override
    def resume_writing(self) -> None:
        super().resume_writing()
        self._cancel_aborting()

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

    def _cancel_aborting(self) -> None:
        if self._aborting is not None:
            self._aborting.cancel()
            self._aborting = None
