"""What the small model sees of an input: the text in it, or what ``input=`` selects."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from langchain_core.messages import BaseMessage, convert_to_messages
from langchain_core.prompt_values import PromptValue, StringPromptValue

from langchain_datashunt.errors import InvalidInputError

Selector = str | Callable[[Any], Any]


def select_input(value: Any, selector: Selector | None = None) -> Any:
    """Return what the small model sees of `value`.

    Args:
        value: A text, a mapping, a prompt value, a message, or a list of messages.
        selector: A key of a mapping, or a function of the input. Without one the text itself, the one text among a
            mapping's values, or the last human text of messages.

    Raises:
        InvalidInputError: `value` is None or bytes, or holds no text or more than one.
    """
    if selector is None:
        return value if isinstance(value, str) else _text_of(value)
    _refuse_unsupported(value)
    selected = selector(value) if callable(selector) else _at_key(value, selector)
    _refuse_unsupported(selected)
    is_conversation = isinstance(selected, (PromptValue, BaseMessage)) or (
        isinstance(selected, list) and any(isinstance(item, BaseMessage) for item in selected)
    )
    return _text_of(selected) if is_conversation else selected


def check_several(inputs: Any) -> None:
    """Raise `InvalidInputError` if one input came in the place of several: its characters would be asked one by one."""
    if isinstance(inputs, (str, bytes, Mapping)):
        raise InvalidInputError(
            f"a batch takes a list of inputs; got one input, {_shown(inputs)}: put it into a list, or call invoke"
        )


def last_human_text(messages: Sequence[Any]) -> str:
    """Return the text of the last human message.

    Args:
        messages: Messages, or what LangChain turns into messages (tuples, dicts, texts).

    Raises:
        InvalidInputError: These are no messages, or none of them is a human one.
    """
    try:
        converted = convert_to_messages(messages)
    except (ValueError, TypeError, NotImplementedError) as error:
        raise InvalidInputError(f"a list must hold messages; {_shown(messages)} does not: {error}") from error
    for message in reversed(converted):
        if message.type == "human":
            return str(message.text)
    roles = [message.type for message in converted]
    raise InvalidInputError(f"the small model reads the last human message, and there is none among {roles}")


def gathered(chunks: Iterable[Any]) -> Any:
    """Return the input that a stream of chunks makes: their sum, or the last of those that cannot be added.

    Raises:
        InvalidInputError: There is no chunk.
    """
    parts = iter(chunks)
    try:
        whole = next(parts)
    except StopIteration:
        raise InvalidInputError("cannot route an empty stream: no input came") from None
    for part in parts:
        try:
            whole = whole + part
        except TypeError:
            whole = part
    return whole


def _text_of(value: Any) -> str:
    _refuse_unsupported(value)
    if isinstance(value, StringPromptValue):
        return value.text
    if isinstance(value, PromptValue):
        return last_human_text(value.to_messages())
    if isinstance(value, BaseMessage):
        return last_human_text([value])
    if isinstance(value, Mapping):
        return _only_text(value)
    if isinstance(value, (list, tuple)):
        return last_human_text(value)
    raise InvalidInputError(
        f"an input is a text, a mapping, a prompt value or messages; got {_shown(value)}; "
        "for anything else say with input= (a function) what the small model sees"
    )


def _only_text(value: Mapping[Any, Any]) -> str:
    texts = {key: item for key, item in value.items() if isinstance(item, str)}
    if len(texts) != 1:
        raise InvalidInputError(
            f"the small model reads the one text among a mapping's values; the keys {sorted(map(str, value))} hold "
            f"{len(texts)} texts; name the key with input=..."
        )
    return next(iter(texts.values()))


def _at_key(value: Any, key: str) -> Any:
    if not isinstance(value, Mapping):
        raise InvalidInputError(f"input={key!r} names a key of a mapping; got {_shown(value)}")
    if key not in value:
        raise InvalidInputError(f"input={key!r} is not among the keys {sorted(map(str, value))}")
    return value[key]


def _refuse_unsupported(value: Any) -> None:
    if value is None or isinstance(value, (bytes, bytearray, memoryview)):
        raise InvalidInputError(
            f"cannot route {_shown(value)}: an input is a text, a mapping, a prompt value or messages; "
            "decode bytes and leave out missing values before the shunt"
        )


def _shown(value: Any) -> str:
    text = repr(value)
    return f"{type(value).__name__} {text if len(text) <= 80 else text[:77] + '...'}"  # noqa: PLR2004  one line of an error
