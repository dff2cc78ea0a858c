"""Who fills which variable of a prompt with subtasks: the caller, the shunt in front, or a subtask."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from langchain_core.prompts import BaseChatPromptTemplate, ChatPromptTemplate

from langchain_datashunt.errors import CompositionError
from langchain_datashunt.routing.hints import HINTS
from langchain_datashunt.routing.inputs import Selector
from langchain_datashunt.transfer.subtasks import Subtask
from langchain_datashunt.transfer.template_lines import check_lines


def original_variable(variable: str) -> str:
    """Return where the template finds what stood in a variable before it was rewritten."""
    return f"original_{variable}"


def filled_variables(subtasks: Sequence[Subtask]) -> set[str]:
    """Return the variables that are none of the caller's."""
    return {subtask.name if subtask.rewrite is None else original_variable(subtask.rewrite) for subtask in subtasks}


def caller_variables(template: BaseChatPromptTemplate, subtasks: Sequence[Subtask]) -> list[str]:
    """Return the input variables of `template` that the subtasks do not fill."""
    filled = filled_variables(subtasks)
    return [name for name in template.input_variables if name not in filled]


def selector_for(subtask: Subtask, own: Sequence[str]) -> Selector:
    """Return what a subtask reads: what it says, what it rewrites, or the only input variable."""
    selector: Selector | None = subtask.input or subtask.rewrite
    if selector is not None:
        return selector
    texts = [name for name in own if name not in HINTS]
    if len(texts) != 1:
        raise CompositionError(
            f"the template has the input variables {texts}; name with input= the one that the subtask "
            f"{subtask.name!r} reads"
        )
    return texts[0]


def check_subtasks(template: Any, subtasks: Sequence[Any]) -> None:
    """Raise `CompositionError` where the subtasks do not fit the template."""
    if not isinstance(template, BaseChatPromptTemplate):
        raise CompositionError(f"the template is a ChatPromptTemplate; got {type(template).__name__}")
    if not subtasks or not all(isinstance(subtask, Subtask) for subtask in subtasks):
        raise CompositionError(f"subtasks= is a list of at least one Subtask; got {subtasks!r}")
    named = [subtask.name for subtask in subtasks]
    rewritten = [subtask.rewrite for subtask in subtasks if subtask.rewrite is not None]
    if repeated := sorted({name for name in (*named, *rewritten) if [*named, *rewritten].count(name) > 1}):
        raise CompositionError(f"each subtask has a name, and rewrites a variable, of its own; repeated: {repeated}")
    filling = frozenset(subtask.name for subtask in subtasks if subtask.rewrite is None)
    if hints := sorted(filling & set(HINTS)):
        raise CompositionError(f"the shunt fills {hints}; give the subtasks other names")
    if unknown := sorted({*filling, *rewritten} - set(template.input_variables)):
        raise CompositionError(
            f"the template has no variables {unknown} for the subtasks to fill; it has {template.input_variables}"
        )
    if read := sorted(
        {subtask.input for subtask in subtasks if isinstance(subtask.input, str)} & filled_variables(subtasks)
    ):
        raise CompositionError(f"all subtasks run at once, on the caller's input: none can read {read}")
    if filling and not isinstance(template, ChatPromptTemplate):
        raise CompositionError(
            f"{sorted(filling)} can be left out of a ChatPromptTemplate only; got {type(template).__name__}, which can "
            "stand inside one, as a message"
        )
    if filling and isinstance(template, ChatPromptTemplate):
        check_lines(template, filling)
