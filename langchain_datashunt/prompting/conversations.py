"""Conversations as inputs: telling them from texts and content blocks, and taking them apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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


def split_opening(messages: Sequence[BaseMessage]) -> tuple[list[BaseMessage], list[BaseMessage]]:
    """Return the system messages that open a conversation, and the rest."""
    opening = next((i for i, message in enumerate(messages) if message.type != "system"), len(messages))
    return list(messages[:opening]), list(messages[opening:])


def hinted(messages: Sequence[BaseMessage], hint: str, *, cued: bool) -> list[BaseMessage]:
    """Return the messages with a hint in front of the last human one's content; an empty hint changes nothing.

    Args:
        messages: A conversation.
        hint: The text; between it and a text that has no cue of its own stands the word "Text".
        cued: Whether texts have cues.

    Raises:
        InvalidInputError: There is no human message.
    """
    if not hint:
        return list(messages)
    last = next((i for i in reversed(range(len(messages))) if messages[i].type == "human"), None)
    if last is None:
        roles = [message.type for message in messages]
        raise InvalidInputError(f"hint_position='human' needs a human message, and there is none among {roles}")
    content = messages[last].content
    if isinstance(content, str):
        text = content if cued else f"Text:\n{content}"
        changed: Any = f"{hint}\n\n{text}" if text else hint
    else:
        changed = [{"type": "text", "text": hint}, *content]
    return [*messages[:last], messages[last].model_copy(update={"content": changed}), *messages[last + 1 :]]


def _is_message(value: Any) -> bool:
    return isinstance(value, BaseMessage | tuple) or (isinstance(value, Mapping) and "role" in value)
