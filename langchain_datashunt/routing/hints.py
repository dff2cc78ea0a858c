"""What a large branch is told of the small model's knowledge: the hint variables of a prompt template."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from langchain_core.messages import BaseMessage, SystemMessage
from langchain_core.prompt_values import ChatPromptValue
from langchain_core.prompts import BaseChatPromptTemplate, BasePromptTemplate, ChatPromptTemplate

from langchain_datashunt.candidates import CandidateLabels, Prior
from langchain_datashunt.policy.pruning_facts import Hints
from langchain_datashunt.prompting.conversations import conversation_of, split_opening
from langchain_datashunt.prompting.pruning_template import HINT_VERDICT
from langchain_datashunt.types import Decision

HINTS = ("candidates", "prior", "prediction", HINT_VERDICT)
"""The variables of a prompt template that the shunt fills."""


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


def declared_hints(template: BasePromptTemplate[Any]) -> tuple[str, ...]:
    """Return the hint variables that a template declares."""
    declared = {*template.input_variables, *optional_variables_of(template)}
    return tuple(hint for hint in HINTS if hint in declared and hint not in template.partial_variables)


def optional_variables_of(template: BasePromptTemplate[Any]) -> list[str]:
    """Return the optional variables of a template, and of the templates inside it, which LangChain leaves out."""
    found = [*template.optional_variables]
    for message in templates_inside(template):
        found += optional_variables_of(message)
    return [name for name in dict.fromkeys(found) if name not in template.input_variables]


def templates_inside(template: BasePromptTemplate[Any]) -> list[BaseChatPromptTemplate]:
    """Return the chat templates that stand as messages in a chat template."""
    messages = template.messages if isinstance(template, ChatPromptTemplate) else []
    return [message for message in messages if isinstance(message, BaseChatPromptTemplate)]


def takes_messages(template: BasePromptTemplate[Any], variable: str) -> bool:
    """Tell whether a template's variable takes messages: a `MessagesPlaceholder`'s, or a pruning template's text."""
    if variable in template.input_types:
        return True
    return any(takes_messages(inside, variable) for inside in templates_inside(template))


def hint_values(decision: Decision, classes: tuple[str, ...], verdict: Hints | None = None) -> dict[str, Any]:
    """Return the values of the hint variables.

    Without known probabilities every class is a candidate and the prior is empty; where the small model failed there is
    no prediction either. Without a verdict on hints, candidates are told where labels were removed. Where an accepted
    input is audited, a template that follows the verdict tells nothing: an LLM that heard the small model's opinion
    could not be asked for its own.
    """
    prediction = decision.prediction
    probabilities = None if prediction is None else prediction.probabilities
    prior = Prior() if probabilities is None else Prior.of(classes, probabilities)
    return {
        "candidates": CandidateLabels(decision.candidates or tuple(prior) or classes),
        "prior": prior,
        "prediction": "" if prediction is None else prediction.label,
        HINT_VERDICT: "none" if decision.route == "audit" else verdict or _told_by_default(decision),
    }


def _told_by_default(decision: Decision) -> Hints:
    return "soft" if decision.candidates is None else "both"


def with_system_hint(value: Any, decision: Decision, classes: tuple[str, ...]) -> ChatPromptValue:
    """Return a conversation with one system message more, behind those that open it."""
    messages: list[BaseMessage] = conversation_of(value)
    hints = hint_values(decision, classes)
    if not hints["prior"]:
        return ChatPromptValue(messages=messages)
    text = f"A small classifier's estimate for the last human message: {hints['prior']}. It can be wrong."
    if decision.candidates is not None:
        text += f" Possible labels: {hints['candidates']}."
    opening, rest = split_opening(messages)
    return ChatPromptValue(messages=[*opening, SystemMessage(content=text), *rest])
