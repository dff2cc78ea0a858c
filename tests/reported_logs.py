"""Small logs whose report can be worked out by hand, and what the report says of them."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from hard_samples import sample

from langchain_datashunt import Prices, write_report
from langchain_datashunt.store import HardSampleStore

PRICES = Prices(input=1_000_000.0, output=0.0, small=0.0, currency="EUR")
"""One euro a token."""


def fill(
    store: HardSampleStore,
    *,
    small: int = 600,
    deferred: int = 300,
    audits: int = 100,
    disagreeing: int = 10,
    gold: int = 0,
    wrong: int = 0,
) -> None:
    """Fill a log: deferred calls cost 30 tokens each, audited ones 20.

    Args:
        store: The log.
        small: Requests that the small model answered alone.
        deferred: Deferred requests.
        audits: Audited requests.
        disagreeing: Audits in which the LLM says otherwise.
        gold: Audits with a person's label.
        wrong: Those of them in which the small model is wrong.
    """
    for route, n in (("small", small), ("large", deferred), ("audit", audits)):
        for _ in range(n):
            store.count_request("", "policy", route)
    paid: dict[str, Any] = {"input_tokens": 30, "latency_ms": 250.0}
    store.append([sample(f"deferred {i}", confidence=0.5 + 0.3 * i / deferred, **paid) for i in range(deferred)])
    given: dict[str, Any] = {"route": "audit", "reason": "accepted", "sampling_probability": 1 / 7, "input_tokens": 20}
    ids = store.append(
        [
            sample(
                f"audited {i}",
                **given,
                confidence=0.8 + 0.2 * i / audits,
                label="negative" if i < disagreeing else "positive",
            )
            for i in range(audits)
        ]
    )
    for i, id_ in enumerate(ids[:gold]):
        store.label(id_, "negative" if i < wrong else "positive")


class _Texts(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.parts: list[str] = []
        self._hidden = False

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self._hidden = tag == "style"

    def handle_data(self, data: str) -> None:
        if not self._hidden:
            self.parts.append(data)


def told(store: HardSampleStore, path: Path, **options: Any) -> str:
    """Write the report, and return its text with single spaces."""
    write_report(store, path, **options)
    texts = _Texts()
    texts.feed(path.read_text(encoding="utf-8"))
    return plain(" ".join(texts.parts))


def plain(text: str) -> str:
    """Return a text without narrow spaces, and with single plain ones."""
    return re.sub(r"\s+", " ", text.replace("\u202f", ""))
