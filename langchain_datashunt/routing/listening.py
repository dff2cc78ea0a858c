"""How callback handlers learn what a shunt decided.

LangChain's callbacks show runs, their inputs and outputs; a `Decision` is none of these. So a shunt tells it to every
handler of its run that has the method of `DecisionListener`. The runs of all other tracers, LangSmith's for one, get
tags and metadata that say what was decided, but neither input nor answer, so that they may stay where these are hidden.
"""

from __future__ import annotations

from typing import Any, Protocol
from uuid import UUID

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.tracers.base import BaseTracer

from langchain_datashunt.types import Decision

ROUTE_TAG = "datashunt:route:"

_NOTED = (
    "route",
    "reason",
    "confidence",
    "threshold",
    "certified",
    "policy_id",
    "small_model_version",
    "sampling_probability",
)


class DecisionListener(Protocol):
    """A callback handler that wants to know what shunts decide. It must not raise, and must be quick."""

    def on_datashunt_decision(self, decision: Decision, *, run_id: UUID, answered: bool) -> None:
        """Take the decision about the input of a shunt's run.

        Args:
            decision: The decision; where the shunt falls back, a later call brings the one that replaces it.
            run_id: The shunt's run.
            answered: Whether the answer is there, to its end. A run may end without: it failed, or its stream was
                closed early.
        """


class DecisionCollector(BaseCallbackHandler):
    """Keeps what the shunts of one run decide.

    Attributes:
        decisions: By the shunt's run, the outermost shunt first; the last decision about a run holds.
    """

    run_inline = True
    ignore_chain = ignore_llm = ignore_chat_model = ignore_retriever = ignore_agent = True
    ignore_retry = ignore_custom_event = True

    def __init__(self) -> None:
        """Start with none."""
        self.decisions: dict[UUID, Decision] = {}

    def on_datashunt_decision(self, decision: Decision, *, run_id: UUID, answered: bool) -> None:  # noqa: ARG002  see DecisionListener
        """Take a decision."""
        self.decisions[run_id] = decision


def tell(run_manager: Any, decision: Decision, *, answered: bool) -> None:
    """Tell a decision to the handlers of a shunt's run that listen, and note it on the runs of other tracers."""
    for handler in run_manager.handlers:
        listener = getattr(handler, "on_datashunt_decision", None)
        if listener is not None:
            listener(decision, run_id=run_manager.run_id, answered=answered)
        elif isinstance(handler, BaseTracer):
            _note(handler.run_map.get(str(run_manager.run_id)), decision)


def _note(run: Any, decision: Decision) -> None:
    """Put the decision's tag and metadata on a run, in the place of those of an earlier decision."""
    if run is None:
        return
    run.tags = [*(tag for tag in run.tags or () if not tag.startswith(ROUTE_TAG)), f"{ROUTE_TAG}{decision.route}"]
    run.add_metadata(noted_metadata(decision))


def noted_metadata(decision: Decision) -> dict[str, Any]:
    """Return what tracers note of a decision: no input, no label, of an error its type only."""
    record = decision.metadata()
    noted = {f"datashunt_{name}": record[name] for name in _NOTED}  # type: ignore[literal-required]
    if decision.error is not None:
        noted["datashunt_error"] = decision.error.split(":", 1)[0]
    return noted
