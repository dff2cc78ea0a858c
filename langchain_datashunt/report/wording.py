"""How numbers and texts are written in the report."""

from __future__ import annotations

import json
import unicodedata
from dataclasses import dataclass
from datetime import UTC, datetime
from math import floor, inf, log10
from typing import Any

LONGEST_TEXT = 240
"""Characters of an input that are shown."""

_INVISIBLE = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
"""Controls, marks that turn a line's direction around, breaks; lone surrogates, which UTF-8 has no form for."""

_JOINERS = "\u200c\u200d"
"""Invisible too, but scripts and emojis need them, and they do no harm."""

_PERCENT = "\u00a0%"
_THOUSANDTH = 0.001
_TENTH = 0.1


def number(value: float) -> str:
    """Return a count, with thousands set apart by a narrow space that does not break."""
    return f"{value:,.0f}".replace(",", "\u202f")


def percent(share: float) -> str:
    """Return a share in percent: one digit after the point, two below one percent."""
    digits = 1 if share == 0 or abs(share) >= 0.01 else 2  # noqa: PLR2004  see above
    if 0 < abs(share) < _THOUSANDTH * _TENTH:
        return f"under 0.01{_PERCENT}"
    return f"{100 * share:.{digits}f}{_PERCENT}".replace("-", "\u2212")


def span(low: float, high: float) -> str:
    """Return an interval of shares."""
    if low == high:
        return percent(low)
    if low == 0:
        return f"0 to {percent(high)}"
    return f"{percent(low).removesuffix(_PERCENT)} to {percent(high)}"


def decimal(value: float) -> str:
    """Return a threshold or a confidence."""
    return f"{value:.3f}" if value < 0.9995 else f"{value:.5f}"  # noqa: PLR2004  where three digits would round to 1


def seconds(value: float) -> str:
    """Return a duration."""
    return f"{value * 1000:.0f}\u00a0ms" if value < 1 else f"{value:.1f}\u00a0s"


@dataclass(frozen=True, slots=True)
class Unit:
    """What the bill is counted in: money, or tokens where there are no prices."""

    currency: str | None

    def __str__(self) -> str:
        return self.currency or "tokens"

    def amount(self, value: float) -> str:
        """Return an amount; of money, with two digits after the point, or three significant ones of small sums."""
        if value == inf:
            return "unbounded"
        if self.currency is None:
            return f"{number(value)}\u00a0tokens"
        digits = 2 if value == 0 or abs(value) >= 1 else min(2 - floor(log10(abs(value))), 9)
        return f"{self.currency}\u00a0{value:,.{digits}f}".replace(",", "\u202f").replace("-", "\u2212")

    def interval(self, low: float, high: float) -> str:
        """Return an interval of amounts."""
        if low == high:
            return self.amount(low)
        if high == inf:
            return f"{self.amount(low)} or more"
        unit = "\u00a0tokens" if self.currency is None else f"{self.currency}\u00a0"
        if self.currency is None:
            return f"{self.amount(low).removesuffix(unit)} to {self.amount(high)}"
        return f"{self.amount(low)} to {self.amount(high).removeprefix(unit)}"


def visible(value: Any, longest: int = LONGEST_TEXT) -> str:
    """Return any value as one visible line, cut: what cannot be seen is shown as its code."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    shown = "".join(map(_visible_character, text[:longest]))
    return shown if len(text) <= longest else f"{shown} \u2026"


def _visible_character(char: str) -> str:
    """Return a character as it is, white space as a space, and what cannot be seen as its code."""
    if char.isspace():
        return " "
    if unicodedata.category(char) not in _INVISIBLE or char in _JOINERS:
        return char
    return f"\\u{ord(char):04x}"


def day(seconds_since_1970: float) -> str:
    """Return a day in UTC."""
    return datetime.fromtimestamp(seconds_since_1970, UTC).date().isoformat()
