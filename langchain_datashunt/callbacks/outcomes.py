"""What became of a large model's reply: what the chain's parser made of it, and which class that is."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from langchain_core.tracers.schemas import Run

from langchain_datashunt.callbacks.teachers import ended_well, large_branch, output_of
from langchain_datashunt.errors import CompositionError
from langchain_datashunt.prompting.labels import LabelSpace
from langchain_datashunt.prompting.replies import read_label
from langchain_datashunt.routing.plain_json import plain

_STEP = re.compile(r"seq:step:(\d+)$")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a reply.

    Attributes:
        parsed: What the parser gave, as JSON; None without one.
        label: The class that it names; None where it names none, or is no answer of the large model.
        problem: Why there is no label.
        failed: Whether a parser behind the shunt failed.
        probabilities: How likely the large model found each class, by its parser; None where it did not say.
    """

    parsed: Any = None
    label: str | None = None
    problem: str | None = None
    failed: bool = False
    probabilities: tuple[float, ...] | None = None


@dataclass(frozen=True, slots=True)
class ParserReports:
    """What the parsers of a trace told of their runs, by run id.

    Attributes:
        invalid_replies: Why a fallback was given in the place of the reply.
        distributions: How likely the large model found each label.
    """

    invalid_replies: dict[Any, str] = field(default_factory=dict)
    distributions: dict[Any, Mapping[str, float]] = field(default_factory=dict)


def outcome_of(
    parsers: Sequence[Run],
    raw: str | None,
    *,
    classes: tuple[str, ...],
    candidates: Sequence[str] | None,
    reports: ParserReports,
) -> Outcome:
    """Return what became of a reply.

    Args:
        parsers: The parsers that it went through, in order.
        raw: The reply; read here where no parser did.
        classes: All labels; empty where unknown.
        candidates: The labels that were left; None where all were.
        reports: What the parsers told.
    """
    for parser in parsers:
        if not ended_well(parser):
            return Outcome(problem=parser.error or f"{parser.name} did not come to its end", failed=True)
    parsed = plain(output_of(parsers[-1])) if parsers else None
    for parser in parsers:
        if parser.id in reports.invalid_replies:
            return Outcome(parsed, problem=f"the reply cannot be read: {reports.invalid_replies[parser.id]}")
    label = class_named_by(parsed if parsers else raw, classes)
    if label is None:
        return Outcome(parsed, problem="the reply names none of the classes")
    if candidates is not None and label not in candidates:
        return Outcome(parsed, problem="the reply names a class that was not among the candidates")
    told = [reports.distributions[parser.id] for parser in parsers if parser.id in reports.distributions]
    return Outcome(parsed, label, probabilities=_row(told[-1], classes) if told else None)


def _row(probabilities: Mapping[str, float], classes: tuple[str, ...]) -> tuple[float, ...] | None:
    """Return one probability a class, 0 for those that were no candidates; None where these are other classes."""
    row = tuple(float(probabilities.get(label, 0.0)) for label in classes)
    return row if any(row) else None


def parsers_of(run: Run, large_runs: Sequence[Run], runs: Mapping[Any, Run]) -> list[Run]:
    """Return the parsers that the reply went through: behind the shunt, else the last one inside the large branch.

    Args:
        run: The shunt's run.
        large_runs: The runs of its large branch.
        runs: All runs of the trace, by id.
    """
    if behind := list(_parsers_behind(run, runs)):
        return behind
    inside = [found for large in large_runs for found in large_branch(large) if found.run_type == "parser"]
    well = [found for found in inside if ended_well(found)]
    return well[-1:] or inside[-1:]


def _parsers_behind(run: Run, runs: Mapping[Any, Run]) -> Iterator[Run]:
    """Yield the parsers that directly follow a run in its sequence, or in one around it where it is the last step."""
    while (parent := runs.get(run.parent_run_id)) is not None:
        steps = {step: child for child in parent.child_runs if (step := _step(child)) is not None}
        own = _step(run)
        if own is not None and own + 1 in steps:
            follower: Run | None = steps[own + 1]
            while follower is not None and follower.run_type == "parser":
                yield follower
                own += 1
                follower = steps.get(own + 1)
            return
        run = parent


def _step(run: Run) -> int | None:
    """Return the place of a run in its sequence."""
    found = [match for tag in run.tags or () if (match := _STEP.match(tag))]
    return int(found[-1][1]) if found else None


def class_named_by(value: Any, classes: tuple[str, ...]) -> str | None:
    """Return the one class that a reply, or what a parser made of it, names; None where it names none or two."""
    if isinstance(value, Mapping):
        named = {str(item) for item in value.values() if isinstance(item, (str, int)) and str(item) in classes}
        return named.pop() if len(named) == 1 else None
    if not isinstance(value, (str, int, float)):
        return None
    text = str(value)
    if not classes or text in classes:
        return text
    space = _space(classes)
    return None if space is None else read_label(text, space).label


@lru_cache(maxsize=64)
def _space(classes: tuple[str, ...]) -> LabelSpace | None:
    try:
        return LabelSpace.of(classes)
    except CompositionError:  # labels that differ in case only, say: nothing but the exact name will do
        return None
