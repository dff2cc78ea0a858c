"""What comes out of the shunt: one type from both branches, and the record of the decision on every message."""

from __future__ import annotations

import types
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.runnables import Runnable, RunnableLambda, RunnableSequence
from langchain_core.runnables.base import RunnableBindingBase
from langchain_core.runnables.configurable import DynamicRunnable
from langchain_core.runnables.fallbacks import RunnableWithFallbacks

from langchain_datashunt.errors import CompositionError
from langchain_datashunt.prompting.chunks import as_chunk
from langchain_datashunt.prompting.decided import METADATA_KEY
from langchain_datashunt.types import Decision, Prediction, ShuntMetadata

OutputKind = Literal["message", "text"]
Answer = Callable[[Prediction], Any]


def unwrapped(runnable: Runnable[Any, Any]) -> Runnable[Any, Any]:
    """Return the runnable inside bindings (also retries), fallbacks and configurable wrappers."""
    while True:
        if isinstance(runnable, RunnableBindingBase):
            runnable = runnable.bound
        elif isinstance(runnable, RunnableWithFallbacks):
            runnable = runnable.runnable
        elif isinstance(runnable, DynamicRunnable):
            runnable = runnable.default
        else:
            return runnable


def output_kind(large: Runnable[Any, Any]) -> OutputKind | None:
    """Tell what the large branch returns: a message, a text, or None for anything else or unknown."""
    if isinstance(large, RunnableBindingBase) and large.custom_output_type is not None:
        return _kind_of_type(large.custom_output_type)
    inner = unwrapped(large)
    if isinstance(inner, RunnableSequence):
        return output_kind(inner.last)
    if isinstance(inner, BaseChatModel):
        return "message"
    own_kind = getattr(inner, "output_kind", None)  # a nested shunt
    if own_kind is not None:
        return own_kind if own_kind in get_args(OutputKind) else None
    try:
        return _kind_of_type(_declared_output(inner))
    except (TypeError, NameError):  # the runnable does not declare its output, or with a name that cannot be found
        return None


def _declared_output(runnable: Runnable[Any, Any]) -> Any:
    declared = runnable.OutputType
    if isinstance(declared, str) and isinstance(
        runnable, RunnableLambda
    ):  # annotations of a module that postpones them
        function = getattr(runnable, "func", None) or runnable.afunc
        return get_type_hints(function)["return"]
    return declared


def _kind_of_type(declared: Any) -> OutputKind | None:
    if get_origin(declared) in (Union, types.UnionType):
        kinds = {_kind_of_type(member) for member in get_args(declared) if member is not types.NoneType}
        return kinds.pop() if len(kinds) == 1 else None
    declared = get_origin(declared) or declared
    if not isinstance(declared, type):
        # LangChain's AnyMessage is a union of annotated message classes
        members = get_args(declared)
        return _kind_of_type(members[0]) if members else None
    if issubclass(declared, BaseMessage):
        return "message"
    return "text" if issubclass(declared, str) else None


@dataclass(frozen=True, slots=True)
class Answerer:
    """Turns a decision into the small model's output, and stamps the large model's.

    Attributes:
        kind: The type of the large branch's output.
        answer: The user's ``answer=``; makes the small model's output from its prediction.
    """

    kind: OutputKind | None
    answer: Answer | None

    @classmethod
    def for_branch(cls, large: Runnable[Any, Any], answer: Answer | None) -> Answerer:
        """Return the answerer that gives `large`'s type.

        Raises:
            CompositionError: `large` returns neither a message nor a text, and there is no ``answer=``.
        """
        kind = output_kind(large)
        if kind is None and answer is None:
            raise CompositionError(
                f"the large branch ({large.get_name()}) returns neither a message nor a text, as far as its declared "
                "output type tells, so the small model's answer cannot be given the same type; say how with "
                "answer=lambda prediction: ... (or declare the type: large.with_types(output_type=str); a schema of "
                "with_structured_output whose only required field is a Literal or Enum of all labels needs neither)"
            )
        return cls(kind, answer)

    def small_output(self, decision: Decision) -> Any:
        """Return the small model's answer in the type of the large branch."""
        prediction = decision.prediction
        if prediction is None:  # the callers never route such a decision to the small model
            raise ValueError(f"the small model has no answer: {decision.error}")
        if self.answer is not None:
            return self.answer(prediction)
        if self.kind == "text":
            return prediction.label
        return AIMessage(content=prediction.label, response_metadata={METADATA_KEY: decision.metadata()})

    def small_chunk(self, decision: Decision) -> Any:
        """Return the small model's answer as the only chunk of a stream."""
        return as_chunk(self.small_output(decision))

    def stamped(self, output: Any, decision: Decision) -> Any:
        """Return the large branch's output; a message carries the record, above that of a shunt inside the branch."""
        if not isinstance(output, BaseMessage):
            return output
        record = recorded(decision, output.response_metadata.get(METADATA_KEY))
        return output.model_copy(update={"response_metadata": {**output.response_metadata, METADATA_KEY: record}})


def recorded(decision: Decision, inner: ShuntMetadata | None) -> ShuntMetadata:
    """Return the record of `decision`, with that of a shunt nested in the large branch inside."""
    record = decision.metadata()
    if inner is not None:
        record["inner"] = inner
    return record


class StreamStamp:
    """Takes the record off the chunks of a nested shunt, so that one chunk, the last, carries the outer one."""

    def __init__(self, decision: Decision) -> None:
        """Prepare the last chunk of a stream that `decision` sent to the large branch."""
        self._decision = decision
        self._inner: ShuntMetadata | None = None
        self._id: str | None = None
        self._saw_message = False
        self.began = False
        """Whether a chunk has passed; from then on no other answer can take the stream's place."""

    def passing(self, chunk: Any) -> Any:
        """Return a chunk as it may pass: an `AIMessageChunk` without a record."""
        self.began = True
        chunk = as_chunk(chunk)
        if not isinstance(chunk, BaseMessage):
            return chunk
        self._saw_message, self._id = True, chunk.id or self._id
        inner = chunk.response_metadata.get(METADATA_KEY)
        if inner is None:
            return chunk
        self._inner = inner
        rest = {key: value for key, value in chunk.response_metadata.items() if key != METADATA_KEY}
        return chunk.model_copy(update={"response_metadata": rest})

    def last(self) -> AIMessageChunk | None:
        """Return the empty chunk that carries the record; None for a stream that is not of messages."""
        if not self._saw_message:
            return None
        record = recorded(self._decision, self._inner)
        return AIMessageChunk(content="", id=self._id, response_metadata={METADATA_KEY: record})
