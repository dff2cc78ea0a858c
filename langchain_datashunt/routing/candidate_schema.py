"""A chat model with a schema, whose enum of labels shrinks to the candidates of each request."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from typing import Any

from langchain_core.exceptions import OutputParserException
from langchain_core.messages import BaseMessage
from langchain_core.runnables import Runnable, RunnableBinding, RunnableConfig, RunnableParallel, RunnableSequence
from langchain_core.runnables.base import RunnableBindingBase
from langchain_core.runnables.config import ensure_config
from langchain_core.runnables.fallbacks import RunnableWithFallbacks
from pydantic import BaseModel
from typing_extensions import override

from langchain_datashunt.prompting.decided import DECISION_KEY
from langchain_datashunt.prompting.label_model import as_whole
from langchain_datashunt.prompting.label_reader import raw_of
from langchain_datashunt.prompting.label_schema import LabelField, with_candidates
from langchain_datashunt.types import Decision


class CandidateSchema(RunnableBinding[Any, Any]):
    """Stands in the place of ``llm.bind(tools=...)`` or ``llm.bind(response_format=...)`` inside a large branch.

    The candidates are those of the `Decision` that travels in the config; without one, or where no labels were removed,
    the schema stays as it is. A reply that names another class all the same (a server need not enforce a schema) raises
    `OutputParserException`, at the end of a stream; or the error of a provider that validates by the cut class itself.

    Args:
        binding: The bound chat model; its arguments hold the schema.
        classes: All labels.
        field: Where a reply names its label; None where that is not known, and nothing is checked.
    """

    classes: tuple[str, ...]
    label_field: Any

    def __init__(self, binding: RunnableBinding[Any, Any], classes: tuple[str, ...], field: LabelField | None) -> None:
        """Take the binding over."""
        options: dict[str, Any] = {name: getattr(binding, name) for name in RunnableBinding.model_fields}
        options |= {"classes": classes, "label_field": field}
        super().__init__(**options)

    @override
    def invoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> Any:
        candidates = self._candidates(config)
        return self._checked(self._whole(self._cut(candidates).invoke(input, config, **kwargs)), candidates)

    @override
    async def ainvoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> Any:
        candidates = self._candidates(config)
        return self._checked(self._whole(await self._cut(candidates).ainvoke(input, config, **kwargs)), candidates)

    # Each input of a batch has its own schema, so they run side by side: what a chat model does with a batch as well.
    batch = Runnable.batch
    abatch = Runnable.abatch
    batch_as_completed = Runnable.batch_as_completed
    abatch_as_completed = Runnable.abatch_as_completed
    transform = Runnable.transform
    atransform = Runnable.atransform

    @override
    def stream(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> Iterator[Any]:
        candidates = self._candidates(config)
        whole: Any = None
        for chunk in self._cut(candidates).stream(input, config, **kwargs):
            whole = chunk if whole is None else whole + chunk
            yield self._whole(chunk)
        self._checked(whole, candidates)

    @override
    async def astream(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> AsyncIterator[Any]:
        candidates = self._candidates(config)
        whole: Any = None
        async for chunk in self._cut(candidates).astream(input, config, **kwargs):
            whole = chunk if whole is None else whole + chunk
            yield self._whole(chunk)
        self._checked(whole, candidates)

    def _candidates(self, config: RunnableConfig | None) -> tuple[str, ...] | None:
        decision = (ensure_config(config).get("configurable") or {}).get(DECISION_KEY)
        candidates = decision.candidates if isinstance(decision, Decision) else None
        return tuple(candidates) if candidates is not None and set(candidates) <= set(self.classes) else None

    def _cut(self, candidates: tuple[str, ...] | None) -> RunnableBinding[Any, Any]:
        kwargs = self.kwargs if candidates is None else with_candidates(self.kwargs, self.classes, candidates)
        return RunnableBinding(
            bound=self.bound, kwargs=kwargs, config=self.config, config_factories=self.config_factories
        )

    def _whole(self, reply: Any) -> Any:
        """Return a reply in which an object that the provider made of the cut class is one of the user's class."""
        model = self.kwargs.get("response_format")
        parsed = reply.additional_kwargs.get("parsed") if isinstance(reply, BaseMessage) else None
        if parsed is None or not isinstance(model, type) or not issubclass(model, BaseModel):
            return reply
        return reply.model_copy(
            update={"additional_kwargs": {**reply.additional_kwargs, "parsed": as_whole(parsed, model)}}
        )

    def _checked(self, reply: Any, candidates: tuple[str, ...] | None) -> Any:
        if candidates is None or self.label_field is None or not isinstance(reply, BaseMessage):
            return reply
        wrong = [
            label for label in self.label_field.named_in(reply) if label in self.classes and label not in candidates
        ]
        if wrong:
            raise OutputParserException(
                f"the reply names {wrong[0]!r}, which is not among the candidates {', '.join(candidates)}",
                observation=f"{self.label_field.name} must be one of: {', '.join(candidates)}",
                llm_output=raw_of(reply),
                send_to_llm=True,
            )
        return reply


def with_cut_schemas(runnable: Runnable[Any, Any], classes: tuple[str, ...], field: LabelField | None) -> Any:
    """Return the runnable with a `CandidateSchema` in the place of each bound schema that offers all `classes`.

    It is looked for in sequences, in dicts of runnables, behind bindings (also retries) and fallbacks.
    """
    if isinstance(runnable, CandidateSchema):
        return runnable
    if isinstance(runnable, RunnableBinding) and _offers_labels(runnable.kwargs, classes):
        return CandidateSchema(runnable, classes, field)
    if isinstance(runnable, RunnableBindingBase):
        parts: dict[str, Any] = {"bound": runnable.bound}
    elif isinstance(runnable, RunnableWithFallbacks):
        parts = {"runnable": runnable.runnable, "fallbacks": runnable.fallbacks}
    elif isinstance(runnable, RunnableParallel):
        parts = {"steps__": runnable.steps__}
    elif isinstance(runnable, RunnableSequence):
        parts = {"first": runnable.first, "middle": runnable.middle, "last": runnable.last}
    else:
        return runnable
    changed = {name: _each(part, lambda inner: with_cut_schemas(inner, classes, field)) for name, part in parts.items()}
    # A copy is made where something has changed only: what others keep of the runnable stays true.
    return runnable if changed == parts else runnable.model_copy(update=changed)


def _offers_labels(kwargs: Mapping[str, Any], classes: tuple[str, ...]) -> bool:
    return bool(with_candidates(kwargs, classes, classes[:1]) != kwargs)


def _each(part: Any, change: Callable[[Any], Any]) -> Any:
    if isinstance(part, Mapping):
        return {key: change(inner) for key, inner in part.items()}
    return [change(inner) for inner in part] if isinstance(part, list) else change(part)
