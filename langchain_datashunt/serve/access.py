"""Who may ask: bearer tokens, or any function of the request; without either, this machine only."""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable
from hashlib import sha256
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from starlette.requests import Request

Authenticate = Callable[["Request"], bool | Awaitable[bool]]
"""Tells whether a request may be answered; it may look at headers, not at the body, which has not been read yet."""

_SHORTEST = 16


class BearerTokens:
    """Lets requests pass that carry one of some tokens: ``Authorization: Bearer <token>``.

    Tokens are kept as hashes and compared in constant time; none is shown by `repr` or an error.

    Args:
        tokens: At least one, each of 16 printable ASCII characters or more, as ``secrets.token_urlsafe()`` makes them.

    Raises:
        ValueError: There is none, or one is too short to be a secret.
    """

    def __init__(self, *tokens: str) -> None:
        if not tokens:
            raise ValueError("BearerTokens needs a token: BearerTokens(os.environ['DATASHUNT_TOKEN'])")
        if not all(isinstance(each, str) and len(each) >= _SHORTEST and _is_plain(each) for each in tokens):
            raise ValueError(f"a token has {_SHORTEST} printable ASCII characters or more, without spaces")
        self._hashes = [_hash(token) for token in tokens]

    def __call__(self, request: Request) -> bool:
        """Tell whether a request carries one of the tokens."""
        given = request.headers.getlist("authorization")
        scheme, _, token = (given[0] if len(given) == 1 else "").partition(" ")
        found = _hash(token)
        matches = [hmac.compare_digest(found, each) for each in self._hashes]  # all of them: time tells nothing
        return scheme.lower() == "bearer" and any(matches)

    def __repr__(self) -> str:
        return f"BearerTokens({len(self._hashes)} of them)"


def is_loopback(host: str | None) -> bool:
    """Tell whether a host name or address means this machine only."""
    if host is None:
        return False
    if host.lower() == "localhost":
        return True
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def comes_from_here(scope: dict[str, Any]) -> bool:
    """Tell whether a request was made to this machine's own address, and names it so.

    The name in ``Host`` is looked at too: a page in a browser on this machine could otherwise reach the server under
    a name of its own (DNS rebinding). So is ``Origin``, where browsers name the page that asks: one of another site
    cannot read the answer, but could run up a bill.
    """
    server = scope.get("server")
    hosts, origins = _headers(scope, b"host"), _headers(scope, b"origin")
    reached = server is None or server[1] is None or is_loopback(server[0])  # a Unix socket is on this machine
    named = len(hosts) == 1 and is_loopback(_without_port(hosts[0]))
    return reached and named and all(is_loopback(_host_of(origin)) for origin in origins)


def _headers(scope: dict[str, Any], wanted: bytes) -> list[str]:
    return [value.decode("latin-1") for name, value in scope["headers"] if name == wanted]


def _host_of(origin: str) -> str | None:
    try:
        return urlsplit(origin).hostname
    except ValueError:
        return None


def _without_port(host: str) -> str:
    return host.rpartition("]")[0] + "]" if host.startswith("[") else host.partition(":")[0]


def _is_plain(token: str) -> bool:
    return token.isascii() and token.isprintable() and " " not in token


def _hash(token: str) -> bytes:
    return sha256(token.encode("utf-8", "surrogatepass")).digest()
