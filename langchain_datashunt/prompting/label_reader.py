"""Reading one label out of a reply, by its text or by first-token log-probabilities, among the possible ones."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Literal

from langchain_core.messages import BaseMessage

from langchain_datashunt.errors import InvalidInputError, PolicyMismatchError
from langchain_datashunt.prompting.label_logprobs import LabelPrior, distribution, goes_on, label_logprobs
from langchain_datashunt.prompting.labels import LabelSpace
from langchain_datashunt.prompting.replies import Reading, read_label, read_tool_calls

UseLogprobs = Literal["auto"] | bool

_CUT_OFF = ("length", "max_tokens", "MAX_TOKENS")
_NO_LOGPROBS = (
    "it carries no log-probabilities that tell the labels apart; ask the model with logprobs=True and top_logprobs=20"
)


@dataclass(frozen=True, slots=True)
class LabelReader:
    """Reads replies of one label space; see `PromptPruningOutputParser` for what the fields do."""

    space: LabelSpace
    use_logprobs: UseLogprobs
    label_prior: LabelPrior | None

    def read(self, reply: str | BaseMessage, candidates: tuple[str, ...] | None = None) -> Reading:
        """Return the label that `reply` names among `candidates` (None: all labels), or why it names none."""
        options = self.possible(candidates)
        if self.use_logprobs is True:
            return self._likeliest(reply, options) or Reading(None, _NO_LOGPROBS)
        reading = self._stated(reply)
        if reading.label is None:
            return reading
        if self.use_logprobs == "auto":
            reading = self._likeliest(reply, options, begins_with=self.space.answers[reading.label]) or reading
        if reading.label in options:
            return reading
        return Reading(None, f"it names {reading.label!r}, which is not among the candidates {', '.join(options)}")

    def _stated(self, reply: str | BaseMessage) -> Reading:
        """Return what the reply says in words, or in tool calls where it has no words."""
        text = text_of(reply)
        calls = getattr(reply, "tool_calls", None)
        if calls and not text.strip():
            return read_tool_calls([call["args"] for call in calls], self.space)
        cut_off = isinstance(reply, BaseMessage) and reply.response_metadata.get("finish_reason") in _CUT_OFF
        return read_label(text, self.space, truncated=cut_off)

    def distribution(self, reply: BaseMessage, candidates: tuple[str, ...] | None = None) -> dict[str, float]:
        """Return how likely the model found each option that is possible, by the first tokens of its answer.

        Raises:
            InvalidInputError: The reply carries no log-probabilities that tell the options apart.
        """
        options = self.possible(candidates)
        found = label_logprobs(reply, {option: self.space.answers[option] for option in options})
        if found is None:
            raise InvalidInputError(f"no distribution can be read off this reply: {_NO_LOGPROBS}")
        return distribution(found.values, self.label_prior)

    def possible(self, candidates: tuple[str, ...] | None) -> tuple[str, ...]:
        """Return the options an answer can be, in the order of the label space.

        Raises:
            PolicyMismatchError: A candidate is no label of this space.
        """
        if candidates is None:
            return self.space.options
        if not candidates or not set(candidates) <= set(self.space.labels):
            raise PolicyMismatchError(
                f"the candidates {list(candidates)} are not among this parser's labels {list(self.space.labels)}; give "
                "the parser the small model's classes"
            )
        return tuple(option for option in self.space.options if option in candidates or option == self.space.escape)

    def small_answer(self, label: str) -> str:
        """Return a label that the small model gave.

        Raises:
            PolicyMismatchError: It is no label of this space.
        """
        if label not in self.space.options:
            raise PolicyMismatchError(
                f"the small model answered {label!r}, which is no label of this parser: {list(self.space.options)}; "
                "give the parser the small model's classes"
            )
        return label

    def instruction(self, candidates: tuple[str, ...] | None = None) -> str:
        """Return the sentence that tells an LLM how to answer."""
        options = self.possible(candidates)
        if self.space.answer in ("label", "schema"):
            return f"Answer with exactly one of these labels and nothing else: {', '.join(options)}"
        listed = ", ".join(f"{self.space.answers[option]} ({option})" for option in options)
        return f"Answer with exactly one {self.space.answer} and nothing else: {listed}"

    def _likeliest(
        self, reply: str | BaseMessage, options: tuple[str, ...], *, begins_with: str | None = None
    ) -> Reading | None:
        """Return the likeliest option by first tokens; None where the reply gives none, or begins otherwise."""
        if not isinstance(reply, BaseMessage):
            return None
        found = label_logprobs(reply, {option: self.space.answers[option] for option in options})
        if found is None or (begins_with is not None and not goes_on(found.reply, begins_with)):
            return None
        probabilities = distribution(found.values, self.label_prior)
        return Reading(max(probabilities, key=probabilities.__getitem__), probabilities=probabilities)


def raw_of(reply: Any) -> str:
    """Return a reply as it came: its text, or its tool calls as JSON where it has none."""
    text = text_of(reply)
    calls = getattr(reply, "tool_calls", None)
    if text.strip() or not calls:
        return text
    return json.dumps([{"name": call["name"], "args": call["args"]} for call in calls], default=repr)


def text_of(reply: Any) -> str:
    """Return the text of a reply.

    Raises:
        InvalidInputError: It is neither a message nor a text.
    """
    if isinstance(reply, BaseMessage):
        return str(reply.text)
    if isinstance(reply, str):
        return reply
    raise InvalidInputError(f"the parser reads a message or a text; got {type(reply).__name__}")
