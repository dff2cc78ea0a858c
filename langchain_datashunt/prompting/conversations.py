"""Conversations as inputs: telling them from texts and content blocks, and taking them apart."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from langchain_core.messages import BaseMessage, convert_to_messages
from langchain_core.prompt_values import PromptValue

from langchain_datashunt.errors import InvalidInputError


def is_conversation(value: Any) -> bool:
    """Tell whether a value is a prompt value, a message, or a list of messages (also tuples or dicts with a role)."""
    if isinstance(value, PromptValue | BaseMessage):
        return True
    return isinstance(value, list) and bool(value) and all(map(_is_message, value))


def conversation_of(value: Any) -> list[BaseMessage]:
    """Return the messages of a conversation.

    Raises:
        InvalidInputError: It is none.
    """
    if isinstance(value, PromptValue):
        return value.to_messages()
    try:
        return convert_to_messages([value] if isinstance(value, BaseMessage) else value)
    except (ValueError, TypeError, NotImplementedError) as error:
        raise InvalidInputError(f"a list of messages holds something else: {error}") from error


def _is_message(value: Any) -> bool:
    return isinstance(value, BaseMessage | tuple) or (isinstance(value, Mapping) and "role" in value)
