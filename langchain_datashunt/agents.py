"""`DataShuntMiddleware`: a small model in front of the model of a LangChain agent."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextvars import ContextVar
from dataclasses import replace
from typing import Any, Literal

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage
from langchain_core.runnables import RunnableLambda

from langchain_datashunt.errors import CompositionError, InvalidInputError, MissingExtraError
from langchain_datashunt.policy.shunt_policy import ShuntPolicy
from langchain_datashunt.prompting.decided import METADATA_KEY
from langchain_datashunt.routing.inputs import Selector
from langchain_datashunt.routing.router import RunnableDataShunt
from langchain_datashunt.types import Decision, Prediction

try:
    from langchain.agents.middleware import AgentMiddleware, ExtendedModelResponse, ModelRequest, ModelResponse
except ImportError as error:
    raise MissingExtraError("DataShuntMiddleware", "agents") from error

_MODEL_CALL: ContextVar[Callable[[], Any]] = ContextVar("datashunt_model_call")
"""The agent's own call of its model, for the run that is going on."""


class DataShuntMiddleware(AgentMiddleware[Any, Any, Any]):
    """Lets a small model answer an agent's plain human turns where it is sure; the agent's model gets everything else.

    A turn is plain if the last message is a person's text and nothing else hangs on the answer. The agent's model is
    called as always, and the small model not asked, in a tool loop (the last message is a tool's, or a tool call waits
    for its result), with a response format, with a forced tool choice, and for content that is no text.

    An answer of the small model ends the agent's loop. It carries the decision in ``response_metadata["datashunt"]``,
    and so does the agent's model's answer to a turn that was deferred. `HardSampleCallbackHandler`, given to the agent,
    keeps the deferred ones. ``config["configurable"]`` takes ``datashunt_threshold`` and ``datashunt_route``, as for
    `RunnableDataShunt`.

    The small model sees the last human message only: a turn that means something else after what went before ("yes,
    that one") needs an `input` that looks at the whole conversation, or a small model that was trained on such turns
    and is unsure of them.

    Args:
        small: As in `RunnableDataShunt`.
        policy: As there. Exactly one of `policy` and `threshold` is required.
        threshold: As there.
        input: What the small model sees, a function of the messages; by default the text of the last one.
        answer: Makes the reply, a text or an `AIMessage`, from the small model's `Prediction`; by default its label.
        on_small_error: As in `RunnableDataShunt`.
        audit_rate: Share of the accepted turns that the agent's model answers all the same, as there.

    Raises:
        MissingExtraError: langchain is not installed (on importing the module).
        CompositionError: As in `RunnableDataShunt`.

    Example:
        .. code-block:: python

            from langchain.agents import create_agent
            from langchain_datashunt.agents import DataShuntMiddleware

            replies = {"opening hours": "We are open from 9 to 17.", "order status": "You find it under My orders."}
            shunt = DataShuntMiddleware(small, policy=policy, answer=lambda prediction: replies[prediction.label])
            agent = create_agent(model, tools, middleware=[shunt])
    """

    def __init__(
        self,
        small: Any,
        *,
        policy: ShuntPolicy | None = None,
        threshold: float | None = None,
        input: Selector | None = None,  # noqa: A002  as in RunnableDataShunt
        answer: Callable[[Prediction], str | AIMessage] | None = None,
        on_small_error: Literal["large", "raise"] = "large",
        audit_rate: float = 0.0,
    ) -> None:
        """Put the small model in front; see the class."""
        super().__init__()
        self._shunt = RunnableDataShunt(
            small,
            large=RunnableLambda(_call_model, _acall_model, name="agent model"),
            policy=policy,
            threshold=threshold,
            input=input,
            answer=_responder(answer),
            on_small_error=on_small_error,
            audit_rate=audit_rate,
        )

    def wrap_model_call(self, request: ModelRequest[Any], handler: Callable[[ModelRequest[Any]], Any]) -> Any:
        """Answer a plain human turn, or have the agent's model called."""
        if not is_plain_turn(request):
            return handler(request)
        token = _MODEL_CALL.set(lambda: handler(request))
        try:
            return _stamped(*self._shunt.invoke_with_decision(list(request.messages)))
        finally:
            _MODEL_CALL.reset(token)

    async def awrap_model_call(
        self, request: ModelRequest[Any], handler: Callable[[ModelRequest[Any]], Awaitable[Any]]
    ) -> Any:
        """Do what `wrap_model_call` does."""
        if not is_plain_turn(request):
            return await handler(request)
        token = _MODEL_CALL.set(lambda: handler(request))
        try:
            return _stamped(*await self._shunt.ainvoke_with_decision(list(request.messages)))
        finally:
            _MODEL_CALL.reset(token)


def is_plain_turn(request: ModelRequest[Any]) -> bool:
    """Tell whether a model call answers a person's text and nothing else: no tool loop, no format, no forced tool."""
    if request.response_format is not None or request.tool_choice is not None or not request.messages:
        return False
    last = request.messages[-1]
    return isinstance(last, HumanMessage) and _is_text(last.content) and not _awaits_tools(request.messages)


def _is_text(content: Any) -> bool:
    return isinstance(content, str) or all(isinstance(block, str) or block.get("type") == "text" for block in content)


def _awaits_tools(messages: Sequence[BaseMessage]) -> bool:
    called = {call["id"] for message in messages if isinstance(message, AIMessage) for call in message.tool_calls}
    return not called <= {message.tool_call_id for message in messages if isinstance(message, ToolMessage)}


def _responder(answer: Callable[[Prediction], str | AIMessage] | None) -> Callable[[Prediction], ModelResponse[Any]]:
    if answer is not None and not callable(answer):
        raise CompositionError(f"answer= is a function of the prediction; got {type(answer).__name__}: {answer!r}")

    def respond(prediction: Prediction) -> ModelResponse[Any]:
        given = prediction.label if answer is None else answer(prediction)
        if not isinstance(given, str | AIMessage):
            raise InvalidInputError(f"answer= returns a text or an AIMessage; got {type(given).__name__}: {given!r}")
        return ModelResponse(result=[AIMessage(given) if isinstance(given, str) else given])

    return respond


def _call_model(_: Any) -> Any:
    return _MODEL_CALL.get()()


async def _acall_model(_: Any) -> Any:
    return await _MODEL_CALL.get()()


def _stamped(response: Any, decision: Decision) -> Any:
    """Return the response, its last message of a model with the record of the decision."""
    if isinstance(response, ExtendedModelResponse):
        return replace(response, model_response=_stamped(response.model_response, decision))
    if isinstance(response, AIMessage):
        record = {**response.response_metadata, METADATA_KEY: decision.metadata()}
        return response.model_copy(update={"response_metadata": record})
    result = list(response.result)
    for i in reversed(range(len(result))):
        if isinstance(result[i], AIMessage):
            result[i] = _stamped(result[i], decision)
            break
    return replace(response, result=result)
