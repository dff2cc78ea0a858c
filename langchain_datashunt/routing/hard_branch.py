"""What goes into the large branch for a deferred input.

Three kinds of large branch get three kinds of input, so there is a class for each: a branch that starts with a prompt
template with hint variables (`TemplateInputs`), one that starts with a chat model (`ChatModelInputs`), anything else
(`UnchangedInputs`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Protocol

from langchain_core.language_models import BaseChatModel, LanguageModelInput
from langchain_core.prompts import BasePromptTemplate
from langchain_core.runnables import Runnable, RunnableConfig, RunnableSequence
from pydantic import with_config
from typing_extensions import TypedDict

from langchain_datashunt.errors import CompositionError, InvalidInputError
from langchain_datashunt.policy.pruning_facts import Hints
from langchain_datashunt.prompting.conversations import conversation_of, is_conversation
from langchain_datashunt.routing.hints import HINTS, Offer, declared_hints, takes_messages, with_system_hint
from langchain_datashunt.routing.outputs import unwrapped
from langchain_datashunt.types import Decision


class LargeInputs(Protocol):
    """Prepares inputs for the large branch."""

    @property
    def tells_candidates(self) -> bool:
        """Whether the prompt tells the candidates whatever the policy's verdict on hints says."""

    @property
    def input_type(self) -> Any:
        """The type of input that the large branch can be given."""

    def check(self, value: Any) -> None:
        """Raise `InvalidInputError`, before any model runs, if `value` could not be given to the large branch."""

    def prepare(
        self, values: Sequence[Any], decisions: Sequence[Decision], configs: Sequence[RunnableConfig]
    ) -> list[Any]:
        """Return what the large branch gets for each deferred input; an exception where that cannot be made."""

    async def aprepare(
        self, values: Sequence[Any], decisions: Sequence[Decision], configs: Sequence[RunnableConfig]
    ) -> list[Any]:
        """Do what `prepare` does."""


def large_inputs(
    large: Runnable[Any, Any],
    *,
    classes: tuple[str, ...],
    prompt: BasePromptTemplate[Any],
    input_key: str | None,
    hint_position: Literal["system"] | None,
    verdict: Hints | None,
) -> LargeInputs:
    """Return how `large` is fed.

    Args:
        large: The large branch.
        classes: All labels.
        prompt: The template between a text and a branch that starts with a chat model.
        input_key: The template variable that takes a text input; by default the one that is no hint.
        hint_position: ``"system"`` adds one message with the hints to conversations for a bare chat model.
        verdict: What the policy says of hints.

    Raises:
        CompositionError: The options do not fit the branch, or the input variable cannot be told.
    """
    first = first_step(large)
    if isinstance(first, BasePromptTemplate) and (hints := declared_hints(first)):
        key = _input_variable(first, input_key)
        own = tuple(sorted(set(first.input_variables) - set(HINTS)))
        return TemplateInputs(Offer(classes, hints, verdict), key, own, takes_messages(first, key))
    if isinstance(first, BaseChatModel) and input_key is None:
        offer = Offer(classes, declared_hints(prompt), verdict)
        return ChatModelInputs(offer, prompt, _input_variable(prompt, None), hint_position)
    if input_key is not None:
        raise CompositionError(
            f"input_key={input_key!r} names a variable of a prompt template with hints ({', '.join(HINTS)}); the large "
            f"branch ({large.get_name()}) does not start with one"
        )
    return UnchangedInputs(large)


def first_step(runnable: Runnable[Any, Any]) -> Runnable[Any, Any]:
    """Return the first step of a sequence, looked up through bindings, fallbacks and configurable wrappers."""
    inner = unwrapped(runnable)
    return first_step(inner.first) if isinstance(inner, RunnableSequence) else inner


def _input_variable(template: BasePromptTemplate[Any], input_key: str | None) -> str:
    """Return the variable that takes a text input."""
    own = [name for name in template.input_variables if name not in HINTS]
    own = own or [name for name in template.optional_variables if name not in HINTS]  # an optional placeholder
    if input_key is not None:
        if input_key not in own:
            raise CompositionError(
                f"input_key={input_key!r} is no input variable of the prompt template beside its hints; it has {own}"
            )
        return input_key
    if len(own) != 1:
        raise CompositionError(
            f"the prompt template of the large branch has the input variables {own} beside the hints; name with "
            "input_key=... the one that takes a text input (mappings bring them all)"
        )
    return own[0]


@dataclass(frozen=True, slots=True)
class TemplateInputs:
    """Feeds a branch that starts with a prompt template with hint variables: a mapping, hints included."""

    offer: Offer
    input_variable: str
    required: tuple[str, ...]
    takes_messages: bool

    @property
    def tells_candidates(self) -> bool:
        """See `Offer`."""
        return self.offer.tells_candidates

    @property
    def input_type(self) -> Any:
        """A text or a conversation where the template takes one, or a mapping of the template's variables, by name."""
        text = Any if self.takes_messages else str
        types = {name: text if name == self.input_variable else Any for name in self.required}
        variables: Any = with_config(extra="allow")(TypedDict("Variables", types))  # type: ignore[operator]
        return LanguageModelInput | variables if self.takes_messages else str | variables

    def check(self, value: Any) -> None:
        """Refuse what is no text or mapping, and a mapping with a hint's name among its keys or a variable missing."""
        if isinstance(value, Mapping):
            if taken := [hint for hint in self.offer.hints if hint in value]:
                raise InvalidInputError(
                    f"the input has the keys {taken}, which the shunt fills for the prompt template; rename them, or "
                    "take them out of the template"
                )
            if missing := [name for name in self.required if name not in value]:
                raise InvalidInputError(
                    f"the prompt template needs {list(self.required)}; the input has {sorted(map(str, value))} and "
                    f"lacks {missing}"
                )
        elif not isinstance(value, str) and not (self.takes_messages and is_conversation(value)):
            wanted = "a text, messages or a mapping" if self.takes_messages else "a text or a mapping"
            raise InvalidInputError(
                f"the large branch starts with a prompt template, which takes {wanted}; got {type(value).__name__}"
            )

    def prepare(
        self,
        values: Sequence[Any],
        decisions: Sequence[Decision],
        configs: Sequence[RunnableConfig],  # noqa: ARG002
    ) -> list[Any]:
        """Return one mapping an input: its own entries, or the text under the input variable, plus the hints."""
        return [self._mapping(value, decision) for value, decision in zip(values, decisions, strict=True)]

    async def aprepare(
        self, values: Sequence[Any], decisions: Sequence[Decision], configs: Sequence[RunnableConfig]
    ) -> list[Any]:
        """Do what `prepare` does."""
        return self.prepare(values, decisions, configs)

    def _mapping(self, value: Any, decision: Decision) -> dict[str, Any]:
        if isinstance(value, Mapping):
            own = dict(value)
        else:
            own = {self.input_variable: value if isinstance(value, str) else conversation_of(value)}
        return {**own, **self.offer.values(decision)}


@dataclass(frozen=True, slots=True)
class ChatModelInputs:
    """Feeds a branch that starts with a chat model: a text goes into the prompt, conversations pass unchanged."""

    offer: Offer
    prompt: BasePromptTemplate[Any]
    input_variable: str
    hint_position: Literal["system"] | None

    @property
    def tells_candidates(self) -> bool:
        """See `Offer`."""
        return self.offer.tells_candidates

    @property
    def input_type(self) -> Any:
        """What chat models take."""
        return LanguageModelInput

    def check(self, value: Any) -> None:
        """Refuse a mapping: a chat model cannot read one."""
        if isinstance(value, Mapping):
            raise InvalidInputError(
                f"a mapping (keys {sorted(map(str, value))}) cannot go into a chat model; put a prompt template "
                "in front of it: shunt | (prompt | llm)"
            )

    def prepare(
        self, values: Sequence[Any], decisions: Sequence[Decision], configs: Sequence[RunnableConfig]
    ) -> list[Any]:
        """Return a prompt value for each text; messages and prompt values as they came, with the hints if wanted."""
        texts = [i for i, value in enumerate(values) if isinstance(value, str)]
        variables, own = self._variables(texts, values, decisions), [configs[i] for i in texts]
        if type(self.prompt).batch is Runnable.batch:  # a thread an input would cost more than its prompt
            prompts = [_formatted(self.prompt, *each) for each in zip(variables, own, strict=True)]
        else:
            prompts = self.prompt.batch(variables, own, return_exceptions=True) if texts else []
        return self._prepared(dict(zip(texts, prompts, strict=True)), values, decisions)

    async def aprepare(
        self, values: Sequence[Any], decisions: Sequence[Decision], configs: Sequence[RunnableConfig]
    ) -> list[Any]:
        """Do what `prepare` does."""
        texts = [i for i, value in enumerate(values) if isinstance(value, str)]
        if not texts or type(self.prompt).abatch is Runnable.abatch:
            return self.prepare(values, decisions, configs)
        variables, own = self._variables(texts, values, decisions), [configs[i] for i in texts]
        prompts = await self.prompt.abatch(variables, own, return_exceptions=True)
        return self._prepared(dict(zip(texts, prompts, strict=True)), values, decisions)

    def _variables(
        self, texts: Sequence[int], values: Sequence[Any], decisions: Sequence[Decision]
    ) -> list[dict[str, Any]]:
        return [{self.input_variable: values[i], **self.offer.values(decisions[i])} for i in texts]

    def _prepared(self, prompts: Mapping[int, Any], values: Sequence[Any], decisions: Sequence[Decision]) -> list[Any]:
        conversations = zip(values, decisions, strict=True)
        return [prompts[i] if i in prompts else self._conversation(*each) for i, each in enumerate(conversations)]

    def _conversation(self, value: Any, decision: Decision) -> Any:
        if self.hint_position is None:
            return value
        return with_system_hint(value, decision, self.offer.classes)


def _formatted(prompt: BasePromptTemplate[Any], variables: dict[str, Any], config: RunnableConfig) -> Any:
    try:
        return prompt.invoke(variables, config)
    except Exception as error:  # noqa: BLE001  of the user's template, on this input only
        return error


@dataclass(frozen=True, slots=True)
class UnchangedInputs:
    """Feeds any other branch: the caller's input, unchanged."""

    large: Runnable[Any, Any]
    tells_candidates: ClassVar[bool] = False

    @property
    def input_type(self) -> Any:
        """What the branch declares."""
        try:
            return self.large.InputType
        except TypeError:  # it declares nothing
            return Any

    def check(self, value: Any) -> None:
        """Accept everything."""

    def prepare(
        self,
        values: Sequence[Any],
        decisions: Sequence[Decision],  # noqa: ARG002
        configs: Sequence[RunnableConfig],  # noqa: ARG002
    ) -> list[Any]:
        """Return the inputs."""
        return list(values)

    async def aprepare(
        self, values: Sequence[Any], decisions: Sequence[Decision], configs: Sequence[RunnableConfig]
    ) -> list[Any]:
        """Return the inputs."""
        return self.prepare(values, decisions, configs)
