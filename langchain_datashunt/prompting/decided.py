"""What the shunt decided about the input of a reply, as a parser finds it: on the message, or in the config."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from langchain_core.messages import BaseMessage
from langchain_core.runnables import RunnableConfig

from langchain_datashunt.types import Decision

METADATA_KEY = "datashunt"
"""Where the record of a decision stands in a message's ``response_metadata``."""

DECISION_KEY = "datashunt_decision"
"""Where the large branch finds its item's `Decision`, in ``config["configurable"]``."""


@dataclass(frozen=True, slots=True)
class Decided:
    """What a parser needs of a decision.

    Attributes:
        by_small: Whether the small model gave this reply, which is then a label.
        candidates: The labels left for the large model, most probable first; None where none were removed.
        best: The small model's best candidate; None where it is not known.
    """

    by_small: bool
    candidates: tuple[str, ...] | None
    best: str | None


NOTHING_DECIDED = Decided(by_small=False, candidates=None, best=None)


def decided(reply: Any, config: RunnableConfig) -> Decided:
    """Return what was decided about the input that `reply` answers; `NOTHING_DECIDED` where nothing says so.

    The record on the message comes first. Where both are there, it is that of a shunt nested in the large branch of the
    one whose decision the config carries, and so the one that this reply answers; of nested records the innermost.
    """
    record = reply.response_metadata.get(METADATA_KEY) if isinstance(reply, BaseMessage) else None
    if record is not None:
        while record.get("inner") is not None:
            record = record["inner"]
        by_small = record.get("route") in ("small", "small_on_error")
        return _of(record.get("candidates"), record.get("label"), by_small=by_small)
    decision = (config.get("configurable") or {}).get(DECISION_KEY)
    if isinstance(decision, Decision):
        label = None if decision.prediction is None else decision.prediction.label
        return _of(decision.candidates, label, by_small=False)
    return NOTHING_DECIDED


def _of(candidates: Iterable[str] | None, label: str | None, *, by_small: bool) -> Decided:
    left = None if candidates is None else tuple(candidates)
    return Decided(by_small, left, left[0] if left else label)
