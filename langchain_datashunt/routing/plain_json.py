"""Making plain JSON of what runs carry: messages, numpy values, models, and whatever else users put into a chain."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from enum import Enum
from typing import Any

import numpy as np
from langchain_core.messages import BaseMessage
from langchain_core.prompt_values import PromptValue
from pydantic import BaseModel

_LONGEST_REPR = 1000


def refuse(value: Any) -> Any:
    """Raise TypeError: `value` has no form in JSON."""
    raise TypeError(f"{type(value).__name__} has no form in JSON")


def shorten(value: Any) -> str:
    """Return the repr of `value`, cut."""
    return repr(value)[:_LONGEST_REPR]


def plain(value: Any, other: Callable[[Any], Any] = shorten) -> Any:
    """Return `value` as plain JSON.

    Args:
        value: Anything.
        other: Makes JSON of what has no form in it; `shorten` keeps the repr, `refuse` raises.
    """
    if value is None or isinstance(value, (str, bool, int)):
        return value.value if isinstance(value, Enum) else value
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else str(value)
    if isinstance(value, Mapping):
        return {str(key): plain(item, other) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item, other) for item in value]
    if isinstance(value, AbstractSet):
        return sorted((plain(item, other) for item in value), key=repr)
    return _object(value, other)


def _object(value: Any, other: Callable[[Any], Any]) -> Any:  # noqa: PLR0911  one kind a line
    if isinstance(value, (np.generic, np.ndarray)):
        return plain(value.tolist(), other)
    if isinstance(value, BaseMessage):
        message = {"type": value.type, "content": plain(value.content, other)}
        calls = getattr(value, "tool_calls", None)
        return {**message, "tool_calls": plain(calls, other)} if calls else message
    if isinstance(value, PromptValue):
        return [plain(message, other) for message in value.to_messages()]
    if isinstance(value, BaseModel):
        return plain(value.model_dump(), other)
    if isinstance(value, Enum):
        return plain(value.value, other)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return plain(dataclasses.asdict(value), other)
    return other(value)
