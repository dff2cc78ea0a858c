"""Micro-batching: callers at the same time share the small model's passes."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from typing import Any

from langchain_core.load.serializable import Serializable
from pydantic import ConfigDict, Field, PrivateAttr, ValidationError

from langchain_datashunt.errors import SmallModelError
from langchain_datashunt.small_models.answers import class_names
from langchain_datashunt.small_models.fingerprints import version_of
from langchain_datashunt.small_models.pass_queue import PassQueue, called
from langchain_datashunt.types import FloatArray, SmallModel

# Exchanging a model is rare, so one lock serves all, and none must be pickled.
_EXCHANGING = threading.Lock()


class MicroBatched(Serializable):
    """A small model whose passes are shared by whoever calls at the same time: many single calls cost few passes.

    For servers, where each request is an `ainvoke` of its own. It answers like the model inside and has its identity,
    so a policy fitted for one holds for the other (but see the caveat). Any number of threads and event loops may call
    it; a pass runs in a thread of its own, one at a time.

    * A request waits at most `max_wait_ms` for company, and then for the passes before it: first come, first served.
      A caller that brings `max_batch_size` inputs or more fills a pass alone, and calls the model directly.
    * If a pass fails, it is tried in halves, so that only the request that it failed on gets the error.
    * A caller that is cancelled while it waits costs no computation, and disturbs nobody.
    * Each caller waits for its answer: that is the back-pressure. Where more than `max_waiting` inputs wait, a further
      call raises `OverloadedError`, which a shunt passes on: an overload never becomes a bill of the large model.
    * Over a `PromotedModel`, a shunt has that model's policy, and a pass is of one version: a request that began before
      a `reload` shares passes with others that did.

    Caveat: transformers round differently in batches of another size or length (about 1e-7 in float32). An input that
    lies on the threshold to the last digits may be decided otherwise; so it may in any `batch`.

    Example::

        chain = RunnableDataShunt(MicroBatched(small), policy=policy) | llm
        await asyncio.gather(*[chain.ainvoke(text) for text in texts])

    Source: the adaptive batching of Clipper (Crankshaw et al., NSDI 2017), with fixed bounds.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)

    small: Any
    """The small model. It computes in this process, or embeds remotely; Runnables batch their calls themselves."""

    max_batch_size: int = Field(default=64, ge=2)
    """Most inputs of a pass. Text models sort it by length and run it in parts of their own `batch_size`."""

    max_wait_ms: float = Field(default=2.0, ge=0, le=10_000)
    """Milliseconds that the first input of a pass waits for others. While a pass runs, inputs gather anyway."""

    max_waiting: int = Field(default=10_000, ge=1)
    """Most inputs that wait."""

    _passes: PassQueue = PrivateAttr()
    _over: MicroBatched | None = PrivateAttr(default=None)

    def __init__(self, small: SmallModel, **settings: Any) -> None:
        """Wrap a small model; the settings are the fields.

        Raises:
            SmallModelError: It is no small model, or wants a config for each input; or a setting is malformed.
        """
        class_names(small)
        if getattr(small, "takes_configs", False) or isinstance(small, MicroBatched):
            raise SmallModelError(
                f"MicroBatched wraps a model with passes to share; {type(small).__name__} batches its own calls"
            )
        try:
            super().__init__(small=small, **settings)
        except ValidationError as error:
            raise SmallModelError(f"MicroBatched({type(small).__name__}) cannot be made: {error}") from error
        self._passes = PassQueue(
            self.small.predict_proba, self.max_batch_size, self.max_wait_ms / 1000, self.max_waiting
        )

    def __getstate__(self) -> dict[Any, Any]:
        """Leave out what `over` made: a promoted version is loaded where it is needed."""
        state = super().__getstate__()
        return {**state, "__pydantic_private__": {**state["__pydantic_private__"], "_over": None}}

    @classmethod
    def is_lc_serializable(cls) -> bool:
        """Return True; it can be loaded again if the model inside can."""
        return True

    @property
    def classes_(self) -> Sequence[Any]:
        """The labels, in column order."""
        classes: Sequence[Any] = self.small.classes_
        return classes

    @property
    def version(self) -> str | None:
        """Identity of the model inside."""
        return version_of(self.small)

    @property
    def probabilities_known(self) -> bool:
        """What the model inside says."""
        return bool(getattr(self.small, "probabilities_known", True))

    def over(self, small: SmallModel) -> MicroBatched:
        """Return passes of another model under the same settings; the same object for as long as the model is the same.

        For models that are exchanged while they serve: callers of one version share passes, and those of two do not.
        """
        with _EXCHANGING:
            if self._over is None or self._over.small is not small:
                settings = {name: getattr(self, name) for name in ("max_batch_size", "max_wait_ms", "max_waiting")}
                self._over = MicroBatched(small, **settings)
            return self._over

    def predict_proba(self, inputs: Sequence[Any]) -> FloatArray:
        """Return the ``(n, k)`` probabilities of `n` inputs, from a pass shared with whoever calls now.

        Raises:
            OverloadedError: Too many inputs wait already.
            Exception: Whatever the model inside raises on these inputs.
        """
        items = list(inputs)
        if self._alone(items):
            return self.small.predict_proba(items)  # type: ignore[no-any-return]
        answer = self._passes.submit(items)
        try:
            return answer.result()
        finally:
            answer.cancel()  # the thread was interrupted: nobody waits any more

    async def apredict_proba(self, inputs: Sequence[Any]) -> FloatArray:
        """Return the same, without blocking the event loop."""
        items = list(inputs)
        if not self._alone(items):
            return await asyncio.wrap_future(self._passes.submit(items))
        if callable(getattr(self.small, "apredict_proba", None)):
            return await self.small.apredict_proba(items)  # type: ignore[no-any-return]
        return await asyncio.to_thread(called, self.small.predict_proba, items)

    def _alone(self, items: list[Any]) -> bool:
        """Tell whether a call shares no pass: it fills one, or has nothing to ask."""
        return not items or len(items) >= self.max_batch_size
