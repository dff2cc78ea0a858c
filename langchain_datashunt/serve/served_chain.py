"""A chain with a shunt in it, as a server runs it: one call a request, with what its shunts decided."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from langchain_core.runnables import Runnable, RunnableConfig, RunnableSequence

from langchain_datashunt.errors import CompositionError
from langchain_datashunt.routing.listening import DecisionCollector
from langchain_datashunt.routing.outputs import unwrapped
from langchain_datashunt.routing.per_request import THRESHOLD_KEY
from langchain_datashunt.routing.router import RunnableDataShunt
from langchain_datashunt.types import Decision


@dataclass(frozen=True, slots=True)
class ServedChain:
    """A chain and the shunt in it.

    Attributes:
        chain: What answers.
        before: The steps in front of the shunt, which make its input.
        shunt: The outermost shunt.
    """

    chain: Runnable[Any, Any]
    before: Sequence[Runnable[Any, Any]]
    shunt: RunnableDataShunt

    @classmethod
    def of(cls, chain: Any) -> ServedChain:
        """Find the shunt in a chain, looking through bindings, retries and fallbacks.

        Raises:
            CompositionError: There is none among its steps.
        """
        inner = unwrapped(chain) if isinstance(chain, Runnable) else chain
        steps = [unwrapped(step) for step in inner.steps] if isinstance(inner, RunnableSequence) else [inner]
        for position, step in enumerate(steps):
            if isinstance(step, RunnableDataShunt):
                return cls(chain, steps[:position], step)
        raise CompositionError(
            "a served chain has a RunnableDataShunt among its steps, with its large model: shunt | llm, or "
            "prompt | (shunt | llm) | parser; "
            f"got {chain!r:.300}"
        )

    async def decide(self, inputs: list[Any], threshold: float | None) -> list[Decision]:
        """Return the decisions about inputs, with one small pass and without the large model."""
        for step in self.before:
            inputs = await step.abatch(inputs)
        return list(await asyncio.to_thread(self.shunt.decide_batch, inputs, threshold=threshold))


def run_config(collector: DecisionCollector, threshold: float | None) -> RunnableConfig:
    """Return the config of one run."""
    config = RunnableConfig(callbacks=[collector])
    if threshold is not None:
        config["configurable"] = {THRESHOLD_KEY: threshold}
    return config


class ClientGoneError(Exception):
    """Nobody waits for the answer any more."""


async def while_connected(receive: Callable[[], Awaitable[Any]], answer: Awaitable[Any]) -> Any:
    """Return an answer; if the client goes away first, cancel what makes it, with the large model's calls.

    Args:
        receive: Returns when the client goes away.
        answer: Makes the answer.

    Raises:
        ClientGoneError: The client went away.
    """
    answering, leaving = asyncio.ensure_future(answer), asyncio.ensure_future(receive())
    try:
        await asyncio.wait({answering, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if not answering.done():
            raise ClientGoneError
        return answering.result()
    finally:
        for task in (answering, leaving):
            task.cancel()
            task.add_done_callback(_unheard)


def _unheard(task: asyncio.Future[Any]) -> None:
    """Take a task's error, which nobody waits for: asyncio would log it, with whatever its text holds."""
    if not task.cancelled():
        task.exception()
