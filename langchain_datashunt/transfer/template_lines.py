"""Leaving lines out of a chat template: a line that names an absent variable goes, and no half sentence stays.

The template's own text is edited, never a value that was filled in, so no value can change which lines there are.
"""

from __future__ import annotations

from collections.abc import Iterator
from string import Formatter
from typing import Any

from langchain_core.prompts import ChatPromptTemplate, PromptTemplate

from langchain_datashunt.errors import CompositionError


def check_lines(template: ChatPromptTemplate, names: frozenset[str]) -> None:
    """Raise `CompositionError` where a line could not be left out together with a variable of `names`.

    Such a line stands in an f-string template, and names no other variables, which would be lost with it.
    """
    for message in template.messages:
        if isinstance(message, ChatPromptTemplate):
            check_lines(message, names)
            continue
        for part in _parts(message):
            if named := names & set(part.input_variables):
                _check_part(part, named)
    if not without_lines(template, names).messages:
        raise CompositionError(
            f"the template has nothing but lines with {sorted(names)}; where all of these are left out, no message is"
        )


def without_lines(template: ChatPromptTemplate, absent: frozenset[str]) -> ChatPromptTemplate:
    """Return the template without the lines that name a variable of `absent`.

    With a line goes one of the blank lines around it; a message, or a content block of one, that has nothing but such
    lines goes as a whole.
    """
    messages = [reduced for message in template.messages if (reduced := _reduced(message, absent)) is not None]
    left = [name for name in template.input_variables if name not in absent]
    return template.model_copy(update={"messages": messages, "input_variables": left})


def _check_part(part: Any, named: frozenset[str]) -> None:
    if not isinstance(part, PromptTemplate) or part.template_format != "f-string":
        raise CompositionError(
            f"the variables {sorted(named)} are left out of the template with their lines, which can be done in text "
            f"in f-string format only; they stand in {_kind(part)}"
        )
    for line in part.template.split("\n"):
        others = _variables(line) - named
        if others and others != _variables(line):
            raise CompositionError(
                f"the line {line!r} is left out together with {sorted(named & _variables(line))}, so it must not name "
                f"{sorted(others)} too: give each a line of its own"
            )


def _reduced(message: Any, absent: frozenset[str]) -> Any:
    """Return a message template without the lines that name an absent variable; None where nothing is left."""
    if not absent & set(getattr(message, "input_variables", ())):
        return message
    if isinstance(message, ChatPromptTemplate):
        shorter = without_lines(message, absent)
        return shorter if shorter.messages else None
    if not isinstance(message.prompt, list):
        prompt = _reduced_part(message.prompt, absent)
        return None if prompt is None else message.model_copy(update={"prompt": prompt})
    parts = [reduced for part in message.prompt if (reduced := _reduced_part(part, absent)) is not None]
    return message.model_copy(update={"prompt": parts}) if parts else None


def _reduced_part(part: Any, absent: frozenset[str]) -> Any:
    if not absent & set(part.input_variables):
        return part
    text = "\n".join(_lines_left(part.template, absent))
    left = [name for name in part.input_variables if name not in absent]
    return part.model_copy(update={"template": text, "input_variables": left}) if text.strip() else None


def _lines_left(text: str, absent: frozenset[str]) -> list[str]:
    left: list[str] = []
    gap = False  # whether lines were left out since the last one that stays
    for line in text.split("\n"):
        if absent & _variables(line):
            gap = True
        elif not (gap and not line.strip() and (not left or not left[-1].strip())):
            left.append(line)
            gap = False
    while gap and left and not left[-1].strip():
        left.pop()
    return left


def _variables(line: str) -> frozenset[str]:
    return frozenset(name for _, name, _, _ in Formatter().parse(line) if name)


def _parts(message: Any) -> Iterator[Any]:
    """Yield the templates that a message template is made of: its prompt, its content blocks, or itself."""
    if not getattr(message, "input_variables", ()):
        return
    prompt = getattr(message, "prompt", message)
    if isinstance(prompt, list):
        yield from prompt
    else:
        yield prompt


def _kind(part: Any) -> str:
    return f"a template in {part.template_format} format" if isinstance(part, PromptTemplate) else type(part).__name__
