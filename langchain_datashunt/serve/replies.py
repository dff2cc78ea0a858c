"""What goes out: any output as JSON, and what the shunts of a run decided."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from typing import Any

from langchain_core.messages import BaseMessage
from pydantic_core import to_jsonable_python
from starlette.responses import Response
from typing_extensions import override

from langchain_datashunt.errors import InvalidInputError, OverloadedError
from langchain_datashunt.routing.listening import DecisionCollector
from langchain_datashunt.routing.plain_json import plain
from langchain_datashunt.types import Decision, ShuntMetadata

logger = logging.getLogger(__name__)


def public_records(collector: DecisionCollector) -> list[ShuntMetadata]:
    """Return what was decided as plain JSON; without what a failing model said, which may hold secrets."""
    return [public_record(decision) for decision in collector.decisions.values()]


def public_record(decision: Decision) -> ShuntMetadata:
    """Return a decision's record with the type of an error in the place of its text."""
    record = decision.metadata()
    if "error" in record:
        record["error"] = record["error"].partition(":")[0]
    return record


class JsonReply(Response):
    """A response that any content goes into."""

    media_type = "application/json"

    @override
    def render(self, content: Any) -> bytes:
        return as_json(content).encode("ascii")


def as_json(value: Any) -> str:
    """Return any value as JSON in ASCII.

    Messages give their type, text and tool calls; numpy values and sets become numbers and lists, bytes Base64,
    decimals texts, numbers that are not finite ``"nan"`` and the like. Of what has no form in JSON the type is
    named: its `repr` may hold secrets.
    """
    return json.dumps(plain(value, _other))


def plain_output(output: Any) -> Any:
    """Return an output in the types that JSON has; as the last step of a chain, for LangServe.

    Messages and their chunks pass: LangServe can send them.
    """
    return output if isinstance(output, BaseMessage) else plain(output, _other)


def _other(value: Any) -> Any:
    return to_jsonable_python(
        value, bytes_mode="base64", inf_nan_mode="strings", fallback=lambda each: f"<{type(each).__name__}>"
    )


def shown(output: Any) -> Any:
    """Return an output for a reply; a message keeps the tokens that it took.

    Of what runs in a circle, or is nested or long beyond what JSON is written for, the type is named.
    """
    usage = getattr(output, "usage_metadata", None) if isinstance(output, BaseMessage) else None
    seen = output if not usage else {**plain(output, _other), "usage_metadata": usage}
    try:
        as_json(seen)
    except (RecursionError, ValueError):
        return f"<{type(output).__name__}>"
    return seen


def failure(error: BaseException) -> tuple[int, str]:
    """Return the status and the words for an error of a run.

    An error of a model behind the chain is named by its type only: its text may hold keys or inputs.
    """
    if isinstance(error, InvalidInputError):
        return 422, str(error)
    if isinstance(error, OverloadedError):
        return 503, str(error)
    logger.warning("The chain failed: %s", type(error).__name__)
    return 502, f"the chain failed: {type(error).__name__}"


def result(output: Any, collector: DecisionCollector) -> Mapping[str, Any]:
    """Return what is told about one input: its output and decisions, or its error."""
    if isinstance(output, BaseException):
        status, why = failure(output)
        return {"error": {"status": status, "detail": why}, "decisions": public_records(collector)}
    return {"output": shown(output), "decisions": public_records(collector)}
