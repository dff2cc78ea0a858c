"""Records from JSONL files: exports of another log, labelled texts, and logs of chat completions."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from langchain_datashunt.errors import HardSampleStoreError
from langchain_datashunt.prompting.labels import LabelSpace
from langchain_datashunt.prompting.replies import read_label
from langchain_datashunt.store.rows import with_tuples
from langchain_datashunt.types import HardSample

_FIELDS = {f.name for f in fields(HardSample)}
_COMPUTED = {"target"}


def jsonl_samples(path: Path) -> Iterator[HardSample]:
    """Yield the samples of a JSONL file: an export, or lines with ``input`` and ``gold`` or ``label``.

    A line without more than that counts as deferred and complete; with a ``teacher`` its label is a language model's.

    Raises:
        HardSampleStoreError: A line is no such object; it names the line.
    """
    for number, line in _lines(path):
        unknown = sorted(set(line) - _FIELDS - _COMPUTED)
        if unknown or "input" not in line:
            raise HardSampleStoreError(
                f"{path.name}:{number}: a line has 'input' and fields of HardSample; it lacks 'input' or has {unknown}"
            )
        given = with_tuples({name: value for name, value in line.items() if name in _FIELDS})
        defaults = {
            "route": "large",
            "reason": "below_threshold",
            "created_at": time.time(),
            "complete": given.get("label") is not None,
            "teacher_kind": "llm" if given.get("teacher") else "other",
        }
        yield HardSample(**{**defaults, **given})


def chat_samples(path: Path, labels: Sequence[str], text_of: Callable[[str], str] | None) -> Iterator[HardSample]:
    """Yield a sample for each chat completion of a JSONL log.

    A line holds the conversation in ``messages`` (in itself or under ``request``) and the reply in ``choices`` (in
    itself or under ``response``), or as the last of the messages.

    Args:
        path: The file.
        labels: All labels; the reply is read as the parser reads it.
        text_of: Takes the input out of the last user message; by default all of it is the input.

    Raises:
        HardSampleStoreError: A line is no chat completion; it names the line.
    """
    space = LabelSpace.of(labels)
    for number, line in _lines(path):
        request, response = line.get("request", line), line.get("response", line)
        messages = list(request.get("messages") or ())
        reply = _reply(response, messages)
        asked = next((m.get("content") for m in reversed(messages) if m.get("role") == "user"), None)
        if not isinstance(reply, str) or not isinstance(asked, str):
            raise HardSampleStoreError(
                f"{path.name}:{number}: a chat completion has a user message and a reply, both texts; got the keys "
                f"{sorted(line)}"
            )
        reading = read_label(reply, space)
        usage = response.get("usage") or {}
        yield HardSample(
            input=asked if text_of is None else text_of(asked),
            route="large",
            reason="below_threshold",
            classes=space.labels,
            teacher=str(response.get("model") or request.get("model") or "unknown"),
            teacher_kind="llm",
            prompt=json.dumps([[message.get("role"), message.get("content")] for message in messages]),
            raw=reply,
            label=reading.label,
            complete=True,
            problem=reading.problem,
            attempts=1,
            input_tokens=usage.get("prompt_tokens") or 0,
            output_tokens=usage.get("completion_tokens") or 0,
            created_at=float(response.get("created") or time.time()),
        )


def _reply(response: Mapping[str, Any], messages: list[Mapping[str, Any]]) -> Any:
    """Return the reply's text; where it is the last of the messages, take it off them."""
    choices = response.get("choices")
    if choices:
        return (choices[0].get("message") or {}).get("content")
    if messages and messages[-1].get("role") == "assistant":
        return messages.pop().get("content")
    return None


def _lines(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    with path.open(encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            try:
                value = json.loads(line)
            except json.JSONDecodeError as error:
                raise HardSampleStoreError(f"{path.name}:{number}: no JSON: {error}") from error
            if not isinstance(value, dict):
                raise HardSampleStoreError(f"{path.name}:{number}: a line is a JSON object; got {type(value).__name__}")
            yield number, value
