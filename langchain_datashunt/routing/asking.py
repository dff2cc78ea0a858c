"""What the large branch is asked in one batch, and the errors that stand in the places of answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from langchain_core.runnables import RunnableConfig


@dataclass(frozen=True, slots=True)
class Asked:
    """What the large branch is asked: the deferred inputs that could be prepared for it.

    Attributes:
        inputs: Of the large branch.
        configs: Theirs.
        errors: Of those that could not be prepared, by their place among the deferred ones.
        collects: Whether errors are collected, or raised.
    """

    inputs: list[Any]
    configs: list[RunnableConfig]
    errors: dict[int, Exception]
    collects: bool

    @classmethod
    def of(cls, prepared: Sequence[Any], configs: Sequence[RunnableConfig], *, collects: bool) -> Asked:
        """Return what is asked; raise the first error where they are not collected."""
        unless_interrupted(list(prepared))
        errors = {i: each for i, each in enumerate(prepared) if isinstance(each, Exception)}
        if errors and not collects:
            raise next(iter(errors.values()))
        left = [i for i in range(len(prepared)) if i not in errors]
        return cls([prepared[i] for i in left], [configs[i] for i in left], errors, collects)

    def with_errors(self, answers: Sequence[Any]) -> list[Any]:
        """Return the answers, with the errors in their places."""
        rest = iter(answers)
        return [self.errors[i] if i in self.errors else next(rest) for i in range(len(answers) + len(self.errors))]


def unless_raised(output: Any) -> Any:
    """Return the output of a batch of one; raise it if it is an exception."""
    if isinstance(output, Exception):
        raise output
    return output


def unless_interrupted(outputs: list[Any]) -> list[Any]:
    """Raise what LangChain's batches return with ``return_exceptions=True`` though it is no Exception: ctrl-C, exit."""
    for output in outputs[:1]:
        if isinstance(output, BaseException) and not isinstance(output, Exception):
            raise output
    return outputs
