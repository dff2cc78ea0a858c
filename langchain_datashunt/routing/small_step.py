"""The small model as a child run: one vectorised call, one traced run an input."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from langchain_core.runnables import Runnable, RunnableConfig
from langchain_core.runnables.config import set_config_context
from langchain_core.runnables.utils import coro_with_context
from typing_extensions import override

from langchain_datashunt.routing.deciding import Decider, Decisions
from langchain_datashunt.routing.per_request import Requests
from langchain_datashunt.types import ShuntMetadata


class SmallStep(Runnable[Any, Any]):
    """Shows the small model's part to callbacks; its output is the decision's record."""

    def __init__(self, decider: Decider) -> None:
        """Wrap a decider."""
        self.decider = decider
        self.name = type(decider.small).__name__

    def decide(
        self, selected: list[Any], requests: Requests, configs: list[RunnableConfig], made: Decisions | None
    ) -> Decisions:
        """Return the decisions about a batch.

        Args:
            selected: What the small model sees.
            requests: What the callers asked for.
            configs: The child configs, one an input.
            made: Decisions made before; they are then only shown to callbacks.
        """
        if not _watched(configs):
            return self.decider.decide(selected, requests, configs) if made is None else made
        box: list[Decisions] = []

        def run(inputs: list[Any], run_manager: list[Any], config: list[RunnableConfig]) -> list[Any]:  # noqa: ARG001
            box.append(self._decided(inputs, requests, config) if made is None else made)
            return _shown(box[0])

        outputs = self._batch_with_config(run, selected, configs, return_exceptions=True)
        return _taken(box, outputs)

    async def adecide(
        self, selected: list[Any], requests: Requests, configs: list[RunnableConfig], made: Decisions | None
    ) -> Decisions:
        """Do what `decide` does; a model without ``apredict_proba`` runs in a thread."""
        if not _watched(configs):
            return await self.decider.adecide(selected, requests, configs) if made is None else made
        box: list[Decisions] = []

        async def run(inputs: list[Any], run_manager: list[Any], config: list[RunnableConfig]) -> list[Any]:  # noqa: ARG001
            box.append(await self._adecided(inputs, requests, config) if made is None else made)
            return _shown(box[0])

        outputs = await self._abatch_with_config(run, selected, configs, return_exceptions=True)
        return _taken(box, outputs)

    def _decided(self, inputs: list[Any], requests: Requests, configs: list[RunnableConfig]) -> Decisions:
        if len(configs) > 1:
            return self.decider.decide(inputs, requests, configs)
        with set_config_context(configs[0]) as context:  # else LangChain hangs a bound model's runs below the shunt's
            return context.run(self.decider.decide, inputs, requests, configs)

    async def _adecided(self, inputs: list[Any], requests: Requests, configs: list[RunnableConfig]) -> Decisions:
        deciding = self.decider.adecide(inputs, requests, configs)
        if len(configs) > 1:
            return await deciding
        with set_config_context(configs[0]) as context:
            return await coro_with_context(deciding, context)

    @override
    def invoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> ShuntMetadata:
        def run(value: Any, run_manager: Any, config: RunnableConfig) -> ShuntMetadata:  # noqa: ARG001
            return self.decider.decide([value], configs=[config])[0].metadata()

        record: ShuntMetadata = self._call_with_config(run, input, config)
        return record


def _watched(configs: Sequence[RunnableConfig]) -> bool:
    """Tell whether anybody listens; runs that nobody sees are not worth half the time of an easy batch."""
    return any(getattr(config.get("callbacks"), "handlers", None) for config in configs)


def _shown(decisions: Decisions) -> list[Any]:
    return [decisions.errors.get(i) or decision.metadata() for i, decision in enumerate(decisions)]


def _taken(box: list[Decisions], outputs: list[Any]) -> Decisions:
    if not box:  # LangChain returns what was raised, once an input
        raise outputs[0]
    return box[0]
