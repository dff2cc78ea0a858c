"""How callback handlers learn what a shunt decided.

LangChain's callbacks show runs, their inputs and outputs; a `Decision` is none of these. So a shunt tells it to every
handler of its run that has the method of `DecisionListener`.
"""

from __future__ import annotations

from typing import Any, Protocol
from uuid import UUID

from langchain_datashunt.types import Decision


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


def tell(run_manager: Any, decision: Decision, *, answered: bool) -> None:
    """Tell a decision to the handlers of a shunt's run that listen."""
    for handler in run_manager.handlers:
        listener = getattr(handler, "on_datashunt_decision", None)
        if listener is not None:
            listener(decision, run_id=run_manager.run_id, answered=answered)
