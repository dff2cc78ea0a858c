"""A shunt as a LangGraph node."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from langchain_core.runnables import RunnableConfig, RunnableLambda

from langchain_datashunt.errors import InvalidInputError
from langchain_datashunt.types import Decision

if TYPE_CHECKING:
    from langchain_datashunt.routing.router import RunnableDataShunt


def shunt_node(
    shunt: RunnableDataShunt, output_key: str, input_key: str | None, decision_key: str | None
) -> RunnableLambda[Any, dict[str, Any]]:
    """Return a node that reads `input_key` of the state (or all of it) and writes `output_key`.

    Raises:
        InvalidInputError: At run time, if the state has no `input_key`.
    """

    def update(output: Any, decision: Decision) -> dict[str, Any]:
        record = {} if decision_key is None else {decision_key: decision.metadata()}
        return {output_key: output, **record}

    def run(state: Any, config: RunnableConfig) -> dict[str, Any]:
        return update(*shunt.invoke_with_decision(_selected(state, input_key), config))

    async def arun(state: Any, config: RunnableConfig) -> dict[str, Any]:
        return update(*await shunt.ainvoke_with_decision(_selected(state, input_key), config))

    return RunnableLambda(run, arun, name=shunt.get_name())


def _selected(state: Any, key: str | None) -> Any:
    if key is None:
        return state
    if isinstance(state, Mapping) and key in state:
        return state[key]
    if not isinstance(state, Mapping) and hasattr(state, key):
        return getattr(state, key)
    keys = sorted(map(str, state)) if isinstance(state, Mapping) else sorted(vars(state))
    raise InvalidInputError(f"as_node(input_key={key!r}): the state has no such key; it has {keys}")
