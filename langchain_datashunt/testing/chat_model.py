"""A chat model that keeps its requests and answers as it was told."""

from __future__ import annotations

import asyncio
import re
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel, LanguageModelInput
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.messages.ai import UsageMetadata
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.runnables import Runnable, RunnableConfig
from langchain_core.tools import BaseTool
from langchain_core.utils.function_calling import convert_to_openai_tool
from pydantic import PrivateAttr
from typing_extensions import override

_COUNTING = threading.Lock()  # of the module, since a lock on an instance could not be pickled
_CONFIG: ContextVar[RunnableConfig | None] = ContextVar("recording_chat_model_config", default=None)


@dataclass(frozen=True, slots=True)
class RecordedCall:
    """One request that reached a `RecordingChatModel`: what it was sent, with which arguments and config."""

    messages: list[BaseMessage]
    kwargs: dict[str, Any] = field(default_factory=dict)
    config: RunnableConfig = field(default_factory=RunnableConfig)

    @property
    def text(self) -> str:
        """The text of the last message."""
        return self.messages[-1].text


class RecordingChatModel(BaseChatModel):
    """A real chat model, without network, that keeps every request and answers as it was told.

    It streams token by token (a word or a space each), works in sync and async code, supports `bind_tools`,
    caches and rate limiters, and reports usage in words. A request that a cache answers is not recorded.

    Example:
        >>> model = RecordingChatModel(answers={"Paris": "city"}, default="unknown")
        >>> model.invoke("Where is Paris?").content, model.invoke("Hm.").content
        ('city', 'unknown')
        >>> [call.text for call in model.calls]
        ['Where is Paris?', 'Hm.']
    """

    answers: Any = "large answer"
    """The answer of every request, or a function of the messages, or a mapping, of which the first key that occurs in
    the last message's text names the answer."""

    default: str = "large answer"
    """The answer where a mapping has no key that fits."""

    raise_on: Any = ()
    """A request whose last text contains one of these raises `error`."""

    error: Any = ValueError
    """The exception type of `raise_on`."""

    break_stream_after: int | None = None
    """While streaming, raise `error` after this many tokens."""

    delay: float = 0.0
    """Seconds that a request takes, and each streamed token."""

    _calls: list[RecordedCall] = PrivateAttr(default_factory=list)
    _running: int = PrivateAttr(default=0)
    _peak: int = PrivateAttr(default=0)

    @property
    def calls(self) -> list[RecordedCall]:
        """The requests so far, in the order of their arrival."""
        return self._calls

    @property
    def peak_concurrency(self) -> int:
        """The largest number of requests that ran at the same time."""
        return self._peak

    @property
    @override
    def _llm_type(self) -> str:
        return "recording-chat-model"

    @property
    @override
    def _identifying_params(self) -> dict[str, Any]:
        return {"answers": str(self.answers), "default": self.default}

    @override
    def bind_tools(
        self,
        tools: Sequence[dict[str, Any] | type | Callable[..., Any] | BaseTool],
        *,
        tool_choice: str | None = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """Bind tools as OpenAI-style functions; answer them with a function that returns `tool_calls`."""
        specifications = [convert_to_openai_tool(tool) for tool in tools]
        return self.bind(tools=specifications, tool_choice=tool_choice, **kwargs)

    @override
    def invoke(
        self,
        input: LanguageModelInput,
        config: RunnableConfig | None = None,
        *,
        stop: list[str] | None = None,
        **kwargs: Any,
    ) -> AIMessage:
        token = _CONFIG.set(config)
        try:
            return super().invoke(input, config, stop=stop, **kwargs)
        finally:
            _CONFIG.reset(token)

    @override
    async def ainvoke(
        self,
        input: LanguageModelInput,
        config: RunnableConfig | None = None,
        *,
        stop: list[str] | None = None,
        **kwargs: Any,
    ) -> AIMessage:
        token = _CONFIG.set(config)
        try:
            return await super().ainvoke(input, config, stop=stop, **kwargs)
        finally:
            _CONFIG.reset(token)

    @override
    def stream(
        self,
        input: LanguageModelInput,
        config: RunnableConfig | None = None,
        *,
        stop: list[str] | None = None,
        **kwargs: Any,
    ) -> Iterator[AIMessageChunk]:
        token = _CONFIG.set(config)
        try:
            chunks = super().stream(input, config, stop=stop, **kwargs)
            first = next(chunks)  # the request is recorded here, within the config
        finally:
            _CONFIG.reset(token)
        yield first
        yield from chunks

    @override
    async def astream(
        self,
        input: LanguageModelInput,
        config: RunnableConfig | None = None,
        *,
        stop: list[str] | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[AIMessageChunk]:
        token = _CONFIG.set(config)
        try:
            chunks = super().astream(input, config, stop=stop, **kwargs)
            first = await anext(chunks)
        finally:
            _CONFIG.reset(token)
        yield first
        async for chunk in chunks:
            yield chunk

    @override
    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        self._start(messages, stop, kwargs)
        try:
            time.sleep(self.delay)
            return ChatResult(generations=[ChatGeneration(message=self._answer(messages))])
        finally:
            self._finish()

    @override
    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        self._start(messages, stop, kwargs)
        try:
            await asyncio.sleep(self.delay)
            return ChatResult(generations=[ChatGeneration(message=self._answer(messages))])
        finally:
            self._finish()

    @override
    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        self._start(messages, stop, kwargs)
        try:
            for chunk in self._chunks(messages):
                time.sleep(self.delay)
                yield chunk
        finally:
            self._finish()

    @override
    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        self._start(messages, stop, kwargs)
        try:
            for chunk in self._chunks(messages):
                await asyncio.sleep(self.delay)
                yield chunk
        finally:
            self._finish()

    def _start(self, messages: list[BaseMessage], stop: list[str] | None, kwargs: dict[str, Any]) -> None:
        kwargs = kwargs if stop is None else {**kwargs, "stop": stop}
        with _COUNTING:
            self._calls.append(RecordedCall(list(messages), kwargs, _CONFIG.get() or RunnableConfig()))
            self._running += 1
            self._peak = max(self._peak, self._running)

    def _finish(self) -> None:
        with _COUNTING:
            self._running -= 1

    def _answer(self, messages: list[BaseMessage]) -> AIMessage:
        text = messages[-1].text
        for part in self.raise_on:
            if part in text:
                raise self.error(f"this chat model was told to raise on {part!r}")
        if callable(self.answers):
            answer = self.answers(messages)
        elif isinstance(self.answers, Mapping):
            answer = next((value for key, value in self.answers.items() if key in text), self.default)
        else:
            answer = self.answers
        message = answer if isinstance(answer, AIMessage) else AIMessage(answer)
        words_in = sum(len(message.text.split()) for message in messages)
        words_out = len(message.text.split())
        usage = UsageMetadata(input_tokens=words_in, output_tokens=words_out, total_tokens=words_in + words_out)
        metadata = {"model_name": "recording", **message.response_metadata}
        return message.model_copy(update={"usage_metadata": usage, "response_metadata": metadata})

    def _chunks(self, messages: list[BaseMessage]) -> Iterator[ChatGenerationChunk]:
        answer = self._answer(messages)
        tokens = [token for token in re.split(r"(\s)", answer.text) if token]
        for position, token in enumerate(tokens):
            if position == self.break_stream_after:
                raise self.error(f"this chat model was told to break after {position} tokens")
            yield ChatGenerationChunk(message=AIMessageChunk(content=token))
        last = AIMessageChunk(
            content="",
            usage_metadata=answer.usage_metadata,
            response_metadata=answer.response_metadata,
            tool_calls=answer.tool_calls,
            chunk_position="last",
        )
        yield ChatGenerationChunk(message=last)
