"""What one request, and all of them together, may take of a server."""

from __future__ import annotations

from dataclasses import dataclass, fields

HEADER_BYTES = 16_384
"""Most bytes of a request's headers; more is answered 431."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestLimits:
    """Limits of a served chain; what goes beyond one is refused before a model runs.

    Attributes:
        body_bytes: Most bytes of a request's body; more is answered 413.
        batch_size: Most inputs of a batch; more is answered 422.
        text_length: Most characters of a text anywhere in an input; more is answered 422.
        concurrency: Most requests that are answered at the same time; a further one is answered 503.
        timeout_s: Seconds in which a request must be answered, with its stream to the end; else 504, or the stream ends
            without its last event.
        receive_timeout_s: Seconds in which a request's headers, and then its body, must arrive; else 408, or the
            connection is closed. With `run_server` also how long a client may not read its answer: it is cut off after
            once to twice this time.
        connections: Most open connections (`run_server` only); a further one is answered 503.

    Raises:
        ValueError: A limit is not positive, or a count is no whole number.
    """

    body_bytes: int = 1_000_000
    batch_size: int = 256
    text_length: int = 50_000
    concurrency: int = 256
    timeout_s: float = 60.0
    receive_timeout_s: float = 10.0
    connections: int = 2_000

    def __post_init__(self) -> None:
        """Refuse what would let nothing, or everything, pass."""
        for field in fields(self):
            value = getattr(self, field.name)
            allowed: tuple[type, ...] = (int,) if field.type == "int" else (int, float)
            if type(value) not in allowed or not 0 < value < float("inf"):
                whole = "whole " if field.type == "int" else ""
                raise ValueError(f"{field.name} is a positive {whole}number; got {value!r}")
