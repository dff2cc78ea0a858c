"""What goes into the large branch for a deferred input.

Three kinds of large branch get three kinds of input, so there is a class for each: a branch that starts with a prompt
template with hint variables (`TemplateInputs`), a bare chat model (`ChatModelInputs`), anything else
(`UnchangedInputs`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Protocol

from langchain_core.language_models import BaseChatModel, LanguageModelInput
from langchain_core.messages import BaseMessage, SystemMessage, convert_to_messages
from langchain_core.prompt_values import ChatPromptValue, PromptValue
from langchain_core.prompts import BaseChatPromptTemplate, BasePromptTemplate, ChatPromptTemplate
from langchain_core.runnables import Runnable, RunnableConfig, RunnableSequence

from langchain_datashunt.candidates import CandidateLabels, Prior
from langchain_datashunt.errors import CompositionError, InvalidInputError
from langchain_datashunt.policy.pruning_facts import Hints
from langchain_datashunt.prompting.pruning_template import HINT_VERDICT
from langchain_datashunt.routing.outputs import unwrapped
from langchain_datashunt.types import Decision

HINTS = ("candidates", "prior", "prediction", HINT_VERDICT)
"""The variables of a prompt template that the shunt fills."""


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
        """Return what the large branch gets for each deferred input."""


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
        prompt: The template between a text and a bare chat model.
        input_key: The template variable that takes a text input; by default the one that is no hint.
        hint_position: ``"system"`` adds one message with the hints to conversations for a bare chat model.
        verdict: What the policy says of hints.

    Raises:
        CompositionError: The options do not fit the branch, or the input variable cannot be told.
    """
    first = first_step(large)
    if isinstance(first, BasePromptTemplate) and (hints := _declared_hints(first)):
        key = _input_variable(first, input_key)
        own = tuple(sorted(set(first.input_variables) - set(HINTS)))
        return TemplateInputs(Offer(classes, hints, verdict), key, own)
    if isinstance(unwrapped(large), BaseChatModel) and input_key is None:
        offer = Offer(classes, _declared_hints(prompt), verdict)
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


def optional_variables_of(template: BasePromptTemplate[Any]) -> list[str]:
    """Return the optional variables of a template, and of the templates inside it, which LangChain leaves out."""
    found = [*template.optional_variables]
    if isinstance(template, ChatPromptTemplate):
        inside = [message for message in template.messages if isinstance(message, BaseChatPromptTemplate)]
        found += [name for message in inside for name in optional_variables_of(message)]
    return [name for name in dict.fromkeys(found) if name not in template.input_variables]


def _declared_hints(template: BasePromptTemplate[Any]) -> tuple[str, ...]:
    declared = {*template.input_variables, *optional_variables_of(template)}
    return tuple(hint for hint in HINTS if hint in declared and hint not in template.partial_variables)


def _input_variable(template: BasePromptTemplate[Any], input_key: str | None) -> str:
    """Return the variable that takes a text input."""
    own = [name for name in template.input_variables if name not in HINTS]
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


def hint_values(decision: Decision, classes: tuple[str, ...], verdict: Hints | None = None) -> dict[str, Any]:
    """Return the values of the hint variables.

    Without known probabilities every class is a candidate and the prior is empty; where the small model failed there is
    no prediction either. Without a verdict on hints, candidates are told where labels were removed.
    """
    prediction = decision.prediction
    probabilities = None if prediction is None else prediction.probabilities
    prior = Prior() if probabilities is None else Prior.of(classes, probabilities)
    return {
        "candidates": CandidateLabels(decision.candidates or tuple(prior) or classes),
        "prior": prior,
        "prediction": "" if prediction is None else prediction.label,
        HINT_VERDICT: verdict or ("soft" if decision.candidates is None else "both"),
    }


@dataclass(frozen=True, slots=True)
class Offer:
    """What a template is offered of the small model's knowledge.

    Attributes:
        classes: All labels.
        hints: The hint variables that the template declares.
        verdict: What the policy says of hints.
    """

    classes: tuple[str, ...]
    hints: tuple[str, ...]
    verdict: Hints | None

    @property
    def tells_candidates(self) -> bool:
        """Whether the template tells the candidates whatever the verdict says."""
        return "candidates" in self.hints and HINT_VERDICT not in self.hints

    def values(self, decision: Decision) -> dict[str, Any]:
        """Return the values of the declared hint variables for one input."""
        offered = hint_values(decision, self.classes, self.verdict)
        return {hint: offered[hint] for hint in self.hints}


@dataclass(frozen=True, slots=True)
class TemplateInputs:
    """Feeds a branch that starts with a prompt template with hint variables: a mapping, hints included."""

    offer: Offer
    input_variable: str
    required: tuple[str, ...]

    @property
    def tells_candidates(self) -> bool:
        """See `Offer`."""
        return self.offer.tells_candidates

    @property
    def input_type(self) -> Any:
        """A text, or a mapping of the template's variables."""
        return str | dict[str, Any]

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
        elif not isinstance(value, str):
            raise InvalidInputError(
                "the large branch starts with a prompt template, which takes a text or a mapping; got "
                f"{type(value).__name__}"
            )

    def prepare(
        self,
        values: Sequence[Any],
        decisions: Sequence[Decision],
        configs: Sequence[RunnableConfig],  # noqa: ARG002
    ) -> list[Any]:
        """Return one mapping an input: its own entries, or the text under the input variable, plus the hints."""
        return [self._mapping(value, decision) for value, decision in zip(values, decisions, strict=True)]

    def _mapping(self, value: Any, decision: Decision) -> dict[str, Any]:
        own = dict(value) if isinstance(value, Mapping) else {self.input_variable: value}
        return {**own, **self.offer.values(decision)}


@dataclass(frozen=True, slots=True)
class ChatModelInputs:
    """Feeds a bare chat model: a text goes through the pruning prompt, conversations pass unchanged."""

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
                f"a mapping (keys {sorted(map(str, value))}) cannot go into a bare chat model; put a prompt template "
                "in front of it: shunt | (prompt | llm)"
            )

    def prepare(
        self, values: Sequence[Any], decisions: Sequence[Decision], configs: Sequence[RunnableConfig]
    ) -> list[Any]:
        """Return a prompt value for each text; messages and prompt values as they came, with the hints if wanted."""
        return [self._one(*each) for each in zip(values, decisions, configs, strict=True)]

    def _one(self, value: Any, decision: Decision, config: RunnableConfig) -> Any:
        if isinstance(value, str):
            return self.prompt.invoke({self.input_variable: value, **self.offer.values(decision)}, config)
        if self.hint_position is None:
            return value
        return _with_system_hint(value, decision, self.offer.classes)


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


def _with_system_hint(value: Any, decision: Decision, classes: tuple[str, ...]) -> ChatPromptValue:
    """Return the conversation with one system message more, behind those that open it."""
    messages: list[BaseMessage] = value.to_messages() if isinstance(value, PromptValue) else convert_to_messages(value)
    hints = hint_values(decision, classes)
    if not hints["prior"]:
        return ChatPromptValue(messages=messages)
    text = f"A small classifier's estimate for the last human message: {hints['prior']}. It can be wrong."
    if decision.candidates is not None:
        text += f" Possible labels: {hints['candidates']}."
    opening = next((i for i, message in enumerate(messages) if message.type != "system"), len(messages))
    return ChatPromptValue(messages=[*messages[:opening], SystemMessage(content=text), *messages[opening:]])
