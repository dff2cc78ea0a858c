"""`PromptPruningTemplate`: a chat prompt for one label, with the small model's knowledge in it (S4L prompt pruning)."""

from __future__ import annotations

import builtins
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, get_args

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage
from langchain_core.prompts import BaseChatPromptTemplate
from pydantic import PrivateAttr
from typing_extensions import override

from langchain_datashunt.candidates import Prior
from langchain_datashunt.errors import CompositionError, InvalidInputError
from langchain_datashunt.policy.pruning_facts import Hints
from langchain_datashunt.prompting.conversations import conversation_of, hinted, is_conversation, split_opening
from langchain_datashunt.prompting.labels import AnswerStyle, Labels, LabelSpace
from langchain_datashunt.small_models import label_name

HintPosition = Literal["system", "human"]

HINT_VERDICT = "hint_verdict"
"""The variable in which a shunt tells a template without ``hints=`` what its policy says of hints."""

_HINT_VARIABLES: Mapping[str, tuple[str, ...]] = {
    "soft": ("prior",),
    "hard": ("candidates",),
    "both": ("candidates", "prior"),
    "none": (),
}


class PromptPruningTemplate(BaseChatPromptTemplate):
    """A chat prompt that asks for one label, and tells the LLM what the small model knows.

    The messages are one system message (instructions, labels, hints), the examples as turns of human and AI, and the
    text as the last human message; or the messages of a conversation. Nothing of a value is ever read as a template, so
    braces, role names or label lists inside a text change nothing in the prompt's structure.

    Behind a shunt, ``candidates`` and ``prior`` are filled for each deferred input. Used alone, with the text only, the
    sections that need them are left out. A template of your own gets the same knowledge by naming the variables
    ``{candidates}`` and ``{prior}``.

    A hint can help an LLM or anchor it on the small model's mistake: measure it on your task.

    Args:
        labels: The labels, or label -> description.
        aliases: Label -> other names; they are for the parser (`PromptPruningOutputParser.for_template`).
        answer: What the LLM is to write: the ``"label"``, or its ``"number"`` or ``"letter"`` in the list, which have
            first tokens of their own, for log-probabilities; or ``"schema"``: what a schema or a tool says.
        escape: One more option for what fits no label, for example ``"none of these"``.
        hints: ``"soft"`` tells the calibrated probabilities; ``"hard"`` lists the candidates only, and leaves out the
            examples of other labels; ``"both"`` does both, with the probabilities given that a candidate is true;
            ``"none"`` does neither. By default (None) the verdict of the policy in the shunt in front is followed
            (`PruningFacts.hints`); without one it is ``"both"`` where labels were removed, else ``"soft"``.
        hint_position: Where the hint stands: ``"system"``, or ``"human"``, in front of the text in the last message.
            The second keeps the beginning of the prompt the same for all inputs, which servers that cache prompts
            answer faster and sell cheaper (not with ``"hard"`` and examples, which then differ too).
        examples: Few-shot examples, ``(text, label)``.
        instructions: Replaces the first sentence. It is plain text: braces mean themselves.
        cues: What stands before a text and before its answer, for example ``("Review", "Sentiment")``: each turn then
            reads ``Review: ...``, ``Sentiment:``. Small LLMs answer better where a cue asks for the label.
        text_variable: The variable that takes what is to be classified: a string, content blocks (images too), or a
            conversation (messages, a prompt value), whose messages keep their roles; its opening system messages stand
            behind the prompt's own. Blocks and conversations pass through as they are, without cues.
        **kwargs: Fields of `BasePromptTemplate`, for example `partial_variables`, `metadata`, `tags`.

    Raises:
        CompositionError: The labels clash, an option does not exist, or an example's label is no label.

    Example:
        >>> template = PromptPruningTemplate(["positive", "negative"], hints="soft")
        >>> template.input_variables, template.optional_variables
        (['text'], ['prior'])
        >>> print(template.format(text="Well made.", prior={"positive": 0.7, "negative": 0.3}))
        System: Classify the text.
        <BLANKLINE>
        Labels:
        - positive
        - negative
        <BLANKLINE>
        Answer with one label and nothing else.
        <BLANKLINE>
        A small classifier estimates: positive 70 %, negative 30 %. It can be wrong.
        Human: Well made.

    Source: soft and hard prompt pruning of Data Shunt+ (arXiv 2406.15471).
    """

    labels: dict[str, str]
    """Label to description, ``""`` where there is none."""
    aliases: dict[str, list[str]]
    answer: AnswerStyle
    escape: str | None
    hints: Hints | None
    hint_position: HintPosition
    examples: list[tuple[str, str]]
    instructions: str
    cues: tuple[str, str] | None
    text_variable: str

    _space: LabelSpace = PrivateAttr()

    def __init__(
        self,
        labels: Labels,
        *,
        aliases: Mapping[Any, Iterable[str]] | None = None,
        answer: AnswerStyle = "label",
        escape: str | None = None,
        hints: Hints | None = None,
        hint_position: HintPosition = "system",
        examples: Sequence[Sequence[Any]] = (),
        instructions: str = "Classify the text.",
        cues: Sequence[str] | None = None,
        text_variable: str = "text",
        **kwargs: Any,
    ) -> None:
        """Check the options, and derive the variables from them; see the class."""
        space = LabelSpace.of(labels, aliases=aliases, answer=answer, escape=escape)
        _check_choice("hints", hints, (*get_args(Hints), None))
        _check_choice("hint_position", hint_position, get_args(HintPosition))
        if text_variable in ("candidates", "prior", "prediction", HINT_VERDICT):
            raise CompositionError(
                f"text_variable={text_variable!r} is a variable that the shunt fills; choose another"
            )
        unknown = [name for name in kwargs if name not in type(self).model_fields and not name.startswith("_")]
        if unknown:
            raise CompositionError(f"PromptPruningTemplate has no options {unknown}; it has {_own_options(type(self))}")
        bound = kwargs.get("partial_variables") or {}
        fields = {
            "labels": dict(space.descriptions),
            "aliases": {label: list(names) for label, names in space.aliases.items()},
            "answer": answer,
            "escape": escape,
            "hints": hints,
            "hint_position": hint_position,
            "examples": _checked_examples(examples, space),
            "instructions": instructions,
            "cues": _checked_cues(cues),
            "text_variable": text_variable,
            "input_variables": [name for name in (text_variable,) if name not in bound],
            "optional_variables": [*_HINT_VARIABLES[hints or "both"], *([] if hints else [HINT_VERDICT])],
            "input_types": {text_variable: Any, "candidates": list[str], "prior": dict[str, float]},
        }
        super().__init__(**{**kwargs, **fields})
        self._space = space

    @property
    def space(self) -> LabelSpace:
        """The label space that this prompt shares with its parser."""
        return self._space

    @classmethod
    @override
    def get_lc_namespace(cls) -> list[str]:
        """Return where LangChain's ``loads`` finds this class."""
        return cls.__module__.split(".")

    @property
    @override
    def lc_attributes(self) -> builtins.dict[str, Any]:
        return {}

    @property
    def _prompt_type(self) -> str:
        return "prompt_pruning"

    @override
    def format_messages(self, **kwargs: Any) -> list[BaseMessage]:
        """Return the messages for the values of `text_variable` and, where known, ``candidates`` and ``prior``.

        Raises:
            InvalidInputError: The text is neither a string nor content blocks nor messages, or a hint does not fit the
                labels.
        """
        values = self._merge_partial_and_user_variables(**kwargs)
        told = _HINT_VARIABLES[self.hints or _verdict(values)]
        options = self._options_left(values.get("candidates") if "candidates" in told else None)
        prior = self._prior_told(values.get("prior") if "prior" in told else None, options)
        asked = self._asked(values[self.text_variable])
        opening, asked = split_opening(asked)
        system, hint = [self.instructions, self._listed(options), self._answer_rule(), _told(prior)], [""]
        if self.hint_position == "human":
            varies = "candidates" in told
            hint = [self._listed(options) if varies else "", _told(prior)]
            system = [self.instructions, "" if varies else self._listed(options), self._answer_rule()]
        turns = [turn for text, label in self.examples if label in options for turn in self._turn(text, label)]
        return [SystemMessage(_joined(system)), *opening, *turns, *hinted(asked, _joined(hint), cued=bool(self.cues))]

    @override
    def pretty_repr(self, html: bool = False) -> str:
        """Return the prompt as people read it, with the text's variable in braces."""
        messages = self.format_messages(**{self.text_variable: f"{{{self.text_variable}}}"})
        return "\n\n".join(message.pretty_repr(html=html) for message in messages)

    def _asked(self, value: Any) -> list[BaseMessage]:
        """Return what is to be classified as messages: a conversation's own, else one human message."""
        if is_conversation(value):
            return conversation_of(value)
        return [HumanMessage(self._cued(_checked_content(value, self.text_variable)))]

    def _options_left(self, candidates: Any) -> tuple[str, ...]:
        """Return the options to list, in the order of the label space: all, or with hard hints the candidates."""
        if not candidates:
            return self._space.options
        if isinstance(candidates, str) or not set(candidates) <= set(self._space.labels):
            raise InvalidInputError(
                f"candidates are a list of this template's labels {list(self._space.labels)}; got {candidates!r}"
            )
        return tuple(option for option in self._space.options if option in candidates or option == self.escape)

    def _prior_told(self, prior: Any, options: tuple[str, ...]) -> Prior:
        """Return the probabilities to tell: none, all, or given that one of the options left is true."""
        if not prior:
            return Prior()
        if not isinstance(prior, Mapping) or not set(prior) <= set(self._space.labels):
            raise InvalidInputError(
                f"prior maps this template's labels {list(self._space.labels)} to probabilities; got {prior!r}"
            )
        ordered = Prior(sorted(prior.items(), key=lambda entry: -entry[1]))
        return ordered if options == self._space.options else ordered.among(options)

    def _listed(self, options: tuple[str, ...]) -> str:
        lines = []
        for option in options:
            code = f"{self._space.answers[option]}." if self.answer in ("number", "letter") else "-"
            description = self._space.descriptions.get(option)
            lines.append(f"{code} {option}: {description}" if description else f"{code} {option}")
        return "\n".join(["Labels:", *lines])

    def _answer_rule(self) -> str:
        if self.answer == "schema":
            return ""
        what = "one label" if self.answer == "label" else f"the {self.answer} of one label"
        return f"Answer with {what} and nothing else."

    def _turn(self, text: str, label: str) -> list[BaseMessage]:
        return [HumanMessage(self._cued(text)), AIMessage(self._space.answers[label])]

    def _cued(self, content: Any) -> Any:
        if self.cues is None or not isinstance(content, str):
            return content
        before, after = self.cues
        return f"{before}: {content}\n{after}:"


def _own_options(template: type[PromptPruningTemplate]) -> list[str]:
    return [name for name in template.model_fields if name not in BaseChatPromptTemplate.model_fields]


def _verdict(values: Mapping[str, Any]) -> str:
    """Return what to tell where the template was not told: what the shunt says, else what there is."""
    verdict: str = values.get(HINT_VERDICT) or ("both" if values.get("candidates") else "soft")
    if verdict not in _HINT_VARIABLES:
        raise InvalidInputError(f"{HINT_VERDICT} is one of {list(_HINT_VARIABLES)}; got {verdict!r}")
    return verdict


def _told(prior: Prior) -> str:
    if not prior:
        return ""
    return f"A small classifier estimates: {prior}. It can be wrong."


def _joined(sections: Iterable[str]) -> str:
    return "\n\n".join(section for section in sections if section)


def _checked_cues(cues: Sequence[str] | None) -> tuple[str, str] | None:
    if cues is None:
        return None
    if isinstance(cues, str) or len(cues) != 2:  # noqa: PLR2004  a pair
        raise CompositionError(f"cues are a pair, what stands before a text and before its answer; got {cues!r}")
    return str(cues[0]), str(cues[1])


def _checked_content(content: Any, variable: str) -> Any:
    is_blocks = isinstance(content, list) and all(isinstance(block, str | Mapping) for block in content)
    if not isinstance(content, str) and not is_blocks:
        raise InvalidInputError(
            f"the prompt's variable {variable!r} takes a text, a list of content blocks or messages; got "
            f"{type(content).__name__}"
        )
    return content


def _checked_examples(examples: Sequence[Sequence[Any]], space: LabelSpace) -> list[tuple[str, str]]:
    checked = []
    for example in examples:
        if isinstance(example, str) or len(example) != 2:  # noqa: PLR2004  a pair
            raise CompositionError(f"an example is a pair (text, label); got {example!r}")
        text, label = str(example[0]), label_name(example[1])
        if label not in space.options:
            raise CompositionError(
                f"the example {text!r} has the label {label!r}; the labels are {list(space.options)}"
            )
        checked.append((text, label))
    return checked


def _check_choice(name: str, value: Any, choices: tuple[Any, ...]) -> None:
    if value not in choices:
        raise CompositionError(f"{name} is one of {list(choices)}; got {value!r}")
