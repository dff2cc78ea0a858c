"""Reading a finished large branch: which model answered, what it was asked, what it said, and what it cost."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from langchain_core.tracers.schemas import Run

from langchain_datashunt.routing.plain_json import plain
from langchain_datashunt.types import TeacherKind

SMALL_TAG = "datashunt:small"

_MODEL_RUNS = ("llm", "chat_model")


class Usage(NamedTuple):
    """What the model runs of a branch cost."""

    attempts: int = 0
    input_tokens: int = 0
    output_tokens: int = 0


_NOTHING_USED = Usage()


@dataclass(frozen=True, slots=True)
class Teacher:
    """What answered in a large branch.

    Attributes:
        name: ``"provider/model"``; the one that was asked where none answered; ``""`` where none was asked.
        kind: What it is.
        prompt: What it was asked, as JSON; ``""`` where it is no language model.
        raw: Its reply.
        logprobs: As the provider gives them.
        usage: What all model runs of the branch cost.
    """

    name: str
    kind: TeacherKind
    prompt: str = ""
    raw: str | None = None
    logprobs: Any = None
    usage: Usage = _NOTHING_USED


def teacher_of(large_runs: Sequence[Run], inner_small: Mapping[Any, str]) -> Teacher:
    """Return what answered in a large branch.

    Args:
        large_runs: The runs of the branch.
        inner_small: Runs of nested shunts whose small model answered, to that model's name.
    """
    runs = [run for large_run in large_runs for run in large_branch(large_run)]
    models = [run for run in runs if run.run_type in _MODEL_RUNS]
    answered = [run for run in runs if ended_well(run) and (run.run_type in _MODEL_RUNS or run.id in inner_small)]
    used = _usage(models)
    if not answered:
        return _nobody_or_other(large_runs, models, used)
    last = max(answered, key=_end)
    if last.id in inner_small:
        return Teacher(inner_small[last.id], "small", usage=used)
    message = _message(last)
    return Teacher(
        model_name(last),
        "llm",
        prompt=_prompt(last),
        raw=_reply(last, message),
        logprobs=_logprobs(last, message),
        usage=used,
    )


def large_branch(run: Run) -> Iterator[Run]:
    """Yield a run and all below it, but for small models of nested shunts."""
    if SMALL_TAG in (run.tags or ()):
        return
    yield run
    for child in run.child_runs:
        yield from large_branch(child)


def ended_well(run: Run) -> bool:
    """Tell whether a run ended without an error."""
    return run.end_time is not None and run.error is None


def model_name(run: Run) -> str:
    """Return ``"provider/model"`` of a model's run; the class of the model where it tells no more."""
    metadata, parameters = run.extra.get("metadata") or {}, run.extra.get("invocation_params") or {}
    name = metadata.get("ls_model_name") or parameters.get("model") or parameters.get("model_name") or run.name
    provider = metadata.get("ls_provider")
    return f"{provider}/{name}" if provider else str(name)


def output_of(run: Run) -> Any:
    """Return what a run that is no model's gave."""
    outputs = run.outputs or {}
    return outputs["output"] if set(outputs) == {"output"} else outputs


def duration_ms(runs: Sequence[Run]) -> float | None:
    """Return the milliseconds from the first start to the last end; None where nothing has ended."""
    ends = [run.end_time for run in runs if run.end_time is not None]
    if not ends:
        return None
    return (max(ends) - min(run.start_time for run in runs)).total_seconds() * 1000


def _nobody_or_other(large_runs: Sequence[Run], models: Sequence[Run], used: Usage) -> Teacher:
    if models:
        return Teacher(model_name(models[-1]), "nobody", prompt=_prompt(models[-1]), usage=used)
    answered = [run for run in large_runs if ended_well(run) and run.run_type != "prompt"]
    if not answered:
        return Teacher("", "nobody")
    output = output_of(answered[-1])
    raw = output if isinstance(output, str) else json.dumps(plain(output))
    return Teacher(answered[-1].name, "other", raw=raw)


def _end(run: Run) -> Any:
    return run.end_time


def _message(run: Run) -> dict[str, Any]:
    """Return the fields of the message that a chat model gave, ``{}`` of any other."""
    message = _generation(run).get("message") or {}
    fields: dict[str, Any] = message.get("kwargs") or {}
    return fields


def _generation(run: Run) -> dict[str, Any]:
    generations = (run.outputs or {}).get("generations") or []
    return generations[0][0] if generations and generations[0] else {}


def _reply(run: Run, message: Mapping[str, Any]) -> str:
    text = _generation(run).get("text") or ""
    calls = message.get("tool_calls")
    return json.dumps(plain(calls)) if calls and not text else text


def _logprobs(run: Run, message: Mapping[str, Any]) -> Any:
    info = _generation(run).get("generation_info") or {}
    return plain((message.get("response_metadata") or {}).get("logprobs") or info.get("logprobs"))


def _prompt(run: Run) -> str:
    if "prompts" in run.inputs:
        return json.dumps(run.inputs["prompts"])
    messages = [message.get("kwargs") or {} for batch in run.inputs.get("messages", ()) for message in batch]
    return json.dumps([[message.get("type"), plain(message.get("content"))] for message in messages])


def _usage(models: Sequence[Run]) -> Usage:
    sent = received = 0
    for run in models:
        usage = _message(run).get("usage_metadata") or {}
        reported = ((run.outputs or {}).get("llm_output") or {}).get("token_usage") or {}
        sent += usage.get("input_tokens") or reported.get("prompt_tokens") or 0
        received += usage.get("output_tokens") or reported.get("completion_tokens") or 0
    return Usage(len(models), sent, received)
