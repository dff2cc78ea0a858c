"""The large side of the demo: the prompt, the chat model, and how its reply is read."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import BaseMessage
from langchain_core.outputs import ChatGeneration, LLMResult
from langchain_core.prompts import ChatPromptTemplate

from langchain_datashunt.demo.local_server import MODEL, PARALLEL_REQUESTS
from langchain_datashunt.errors import MissingExtraError
from langchain_datashunt.prompting.pruning_parser import OnInvalid, PromptPruningOutputParser

LABELS = ("negative", "positive")

QUESTION = """\
Classify the sentiment of the product review as positive or negative. Answer with one word.

Review: {text}"""

OPENING = "The sentiment of the review is"
"""The beginning of the local model's answer, which llama.cpp lets it go on with.

Question and opening were chosen on development reviews, which no run scores; docs/demo.md has what was tried.
"""


@dataclass(frozen=True, slots=True)
class LargeModel:
    """A chat model, and how it is asked and read.

    Attributes:
        name: Of the model.
        chat: It.
        by_logprobs: Whether its replies are read by first-token log-probabilities, or by their text.
        opening: The beginning of its answer, put into its mouth; None for a model that begins by itself.
        concurrency: Requests at the same time.
    """

    name: str
    chat: BaseChatModel
    by_logprobs: bool
    opening: str | None = None
    concurrency: int = PARALLEL_REQUESTS

    def prompt(self) -> ChatPromptTemplate:
        """Return the prompt, alone and in the cascade the same."""
        opening = [] if self.opening is None else [("ai", self.opening)]
        return ChatPromptTemplate.from_messages([("human", QUESTION), *opening])

    def parser(self, on_invalid: OnInvalid) -> PromptPruningOutputParser:
        """Return what reads the label off a reply."""
        return PromptPruningOutputParser(LABELS, on_invalid=on_invalid, use_logprobs=self.by_logprobs)

    def said(self, message: BaseMessage) -> str:
        """Return what a reply says, for a reader: the likeliest label with its probability, or the text."""
        if not self.by_logprobs:
            return repr(str(message.text))
        probabilities = self.parser("none").distribution(message)
        likeliest = max(probabilities, key=probabilities.__getitem__)
        return f"{likeliest} {probabilities[likeliest]:.2f}"


def local_model(base_url: str) -> LargeModel:
    """Return the model of the local server, which writes one token and tells the likelihood of the others."""
    import httpx  # noqa: PLC0415  it comes with the extra of ChatOpenAI

    told = {"temperature": 0, "max_tokens": 1, "logprobs": True, "top_logprobs": 20}
    past_proxies = httpx.Client(trust_env=False)  # a proxy's 127.0.0.1 is another machine
    chat = _chat_openai(MODEL, base_url=base_url, api_key="none", http_client=past_proxies, **told)
    return LargeModel(MODEL, chat, by_logprobs=True, opening=OPENING)


def named_model(name: str, *, by_logprobs: bool, max_tokens: int | None) -> LargeModel:
    """Return a model of the server that OPENAI_BASE_URL and OPENAI_API_KEY name.

    Nothing else is asked of it (no temperature, for example), since models differ in what they take.
    """
    told: dict[str, Any] = {"logprobs": True, "top_logprobs": 20} if by_logprobs else {}
    chat = _chat_openai(name, max_retries=6, max_tokens=max_tokens, **told)
    return LargeModel(name, chat, by_logprobs=by_logprobs)


def _chat_openai(name: str, **options: Any) -> BaseChatModel:
    try:
        from langchain_openai import ChatOpenAI  # noqa: PLC0415  an extra
    except ImportError as error:
        raise MissingExtraError("speaking to a chat model's server", "openai") from error
    return ChatOpenAI(model=name, **options)


class CallMeter(BaseCallbackHandler):
    """Counts a chat model's answers and tokens, and tells a listener of each; safe for calls at the same time."""

    def __init__(self, on_answer: Callable[[], None]) -> None:
        """Call `on_answer` after each answer."""
        self.calls = 0
        self.tokens = 0
        self._on_answer = on_answer
        self._lock = threading.Lock()

    def on_llm_end(self, response: LLMResult, **_: Any) -> None:
        """Count one answer."""
        generation = response.generations[0][0]
        usage = getattr(generation.message, "usage_metadata", None) if isinstance(generation, ChatGeneration) else None
        with self._lock:
            self.calls += 1
            self.tokens += usage["total_tokens"] if usage else 0
        self._on_answer()
