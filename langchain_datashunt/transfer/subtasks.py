"""Subtasks: the easy parts of a task, which small models solve before the large one is asked (S4L prompt transfer)."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from string import Formatter
from typing import Any, Literal

from langchain_core.load.serializable import Serializable
from langchain_core.messages import BaseMessage
from langchain_core.runnables import Runnable
from pydantic import ConfigDict, PrivateAttr
from typing_extensions import override

from langchain_datashunt.candidates import Prior
from langchain_datashunt.errors import CompositionError, SmallModelError
from langchain_datashunt.policy.shunt_policy import ShuntPolicy
from langchain_datashunt.routing.construction import policy_of, rule_for
from langchain_datashunt.routing.deciding import NO_PRUNING, Decider, describe
from langchain_datashunt.routing.inputs import Selector
from langchain_datashunt.routing.per_request import check_threshold

LeftOut = Literal["unsure", "empty", "error"]
"""Why a subtask's section is not in the prompt: not confident enough, nothing to say, or failed."""


@dataclass(frozen=True, slots=True)
class SubtaskAnswer:
    """What a subtask's model says about one input.

    Attributes:
        value: The small model's label, or the Runnable's answer.
        confidence: In [0, 1]; None where a Runnable tells none.
        sure: Whether that is enough for the prompt.
        prior: The small model's probabilities; empty where unknown.
    """

    value: Any
    confidence: float | None
    sure: bool
    prior: Prior = field(default_factory=Prior)


@dataclass(frozen=True, slots=True, eq=False)
class SubtaskOutcome:
    """What a subtask contributes to the prompt of one input.

    Attributes:
        subtask: Its name.
        text: What goes into the prompt; None where it is left out.
        answer: What its model said; None where it failed.
        left_out: Why it is left out; None where it is not.
        error: The failure behind ``left_out="error"``.
    """

    subtask: str
    text: str | None = None
    answer: SubtaskAnswer | None = None
    left_out: LeftOut | None = None
    error: Exception | None = None

    def record(self) -> dict[str, Any]:
        """Return the outcome as plain JSON: ``subtask``, ``left_out``, ``answer``, ``confidence`` and ``error``."""
        return {
            "subtask": self.subtask,
            "left_out": self.left_out,
            "answer": None if self.answer is None else str(self.answer.value),
            "confidence": None if self.answer is None else self.answer.confidence,
            "error": None if self.error is None else describe(self.error),
        }


Render = str | Callable[[SubtaskAnswer], str]


class Subtask(Serializable):
    """An easy part of a task, and the small model that solves it.

    Args:
        name: The template's variable that takes what comes out; also its name in traces.
        model: A `SmallModel`, or a Runnable, whose answer is a text, a message or a number, or a mapping with the keys
            ``label`` and ``confidence``; for any other answer say with `render` what the prompt gets.
        min_confidence: In [0, 1]; an answer below it is left out. A small model needs this or a `policy`. A Runnable
            with it must tell a confidence.
        policy: A `ShuntPolicy` fitted for the small model: its calibration and threshold say what is sure enough.
        input: What the model sees: a key of the template's input, or a function of that mapping. By default the
            variable that `rewrite` names, or the only input variable. Of a conversation it is the last human text.
        render: What the prompt gets: a text with the fields ``{label}`` and ``{confidence}``, for example
            ``"{label} ({confidence:.0%})"``, or a function of the `SubtaskAnswer`. By default the answer's text.
        rewrite: The input variable that the answer replaces. The template finds what stood there before under
            ``{original_<variable>}``, and where the subtask is left out the input stays as it is.

    Raises:
        CompositionError: The options do not fit each other.
        InvalidInputError: `min_confidence` is no number in [0, 1].
        PolicyMismatchError: The policy was fitted for another model.

    The confidence of a classifier that was not calibrated is seldom the share of its answers that are right: fit a
    policy where a wrong hint is worse than none.

    Example:
        .. code-block:: python

            aspect = Subtask("aspect", aspect_model, policy=aspect_policy, render="{label} ({confidence:.0%} sure)")
            translation = Subtask("translation", to_english, rewrite="text")
    """

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)

    name: str
    model: Any
    min_confidence: float | None = None
    policy: Any = None
    input: Any = None
    render: Any = None
    rewrite: str | None = None

    _decider: Decider | None = PrivateAttr(default=None)

    def __init__(
        self,
        name: str,
        model: Any,
        *,
        min_confidence: float | None = None,
        policy: ShuntPolicy | Mapping[str, Any] | None = None,
        input: Selector | None = None,  # noqa: A002  the word a user looks for
        render: Render | None = None,
        rewrite: str | None = None,
    ) -> None:
        """Check the options; see the class."""
        if not isinstance(name, str) or not name.isidentifier() or name == "stop":
            raise CompositionError(f"a subtask's name is that of a template variable, such as 'language'; got {name!r}")
        policy = policy_of(policy)
        if min_confidence is not None:
            check_threshold(min_confidence, f"min_confidence of the subtask {name!r}")
        decider = _decider(name, model, min_confidence, policy)
        if isinstance(render, str):
            _check_fields(name, render, confidence_known=decider is not None or min_confidence is not None)
        super().__init__(
            name=name,
            model=model,
            min_confidence=min_confidence,
            policy=policy,
            input=input,
            render=render,
            rewrite=rewrite,
        )
        self._decider = decider

    @property
    def decider(self) -> Decider | None:
        """The small model with its rule; None where the model is a Runnable."""
        return self._decider

    @classmethod
    @override
    def is_lc_serializable(cls) -> bool:
        return True

    @property
    @override
    def lc_attributes(self) -> dict[str, Any]:
        """The policy as JSON."""
        return {} if self.policy is None else {"policy": self.policy.to_dict()}

    def outcome(self, answered: Any) -> SubtaskOutcome:
        """Return what an answer, or the exception in its place, contributes to the prompt."""
        if isinstance(answered, Exception):
            return SubtaskOutcome(self.name, left_out="error", error=answered)
        try:
            answer = answered if isinstance(answered, SubtaskAnswer) else self._read(answered)
        except SmallModelError as error:
            return SubtaskOutcome(self.name, left_out="error", error=error)
        if not answer.sure:
            return SubtaskOutcome(self.name, answer=answer, left_out="unsure")
        try:
            text = self._rendered(answer)
        except Exception as error:  # noqa: BLE001  the user's render= failed, on this answer only
            return SubtaskOutcome(self.name, answer=answer, left_out="error", error=error)
        if not text.strip():
            return SubtaskOutcome(self.name, answer=answer, left_out="empty")
        return SubtaskOutcome(self.name, text, answer)

    def _read(self, answered: Any) -> SubtaskAnswer:
        """Return a Runnable's answer with its confidence, where it tells one."""
        if isinstance(answered, Mapping) and {"label", "confidence"} <= answered.keys():
            value, confidence = answered["label"], _as_confidence(answered["confidence"], self.name)
            return SubtaskAnswer(value, confidence, self.min_confidence is None or confidence >= self.min_confidence)
        if self.min_confidence is not None:
            raise SmallModelError(
                f"the subtask {self.name!r} has min_confidence={self.min_confidence}, so its Runnable must answer with "
                f"a mapping that has the keys 'label' and 'confidence'; got {_shown(answered)}"
            )
        return SubtaskAnswer(answered, None, sure=True)

    def _rendered(self, answer: SubtaskAnswer) -> str:
        if isinstance(self.render, str):
            return self.render.format(label=_text(answer.value, self.name), confidence=answer.confidence)
        if self.render is None:
            return _text(answer.value, self.name)
        text = self.render(answer)
        if not isinstance(text, str):
            raise SmallModelError(f"render= of the subtask {self.name!r} returns a text; got {_shown(text)}")
        return text


def _decider(name: str, model: Any, min_confidence: float | None, policy: ShuntPolicy | None) -> Decider | None:
    """Return a small model with its rule, or None for a Runnable."""
    if callable(getattr(model, "predict_proba", None)):
        if (min_confidence is None) == (policy is None):
            given = "neither" if policy is None else "both"
            raise CompositionError(
                f"the subtask {name!r} has a small model, so it needs exactly one of min_confidence= and policy=, got "
                f"{given}; min_confidence=0 tells every answer"
            )
        rule, version = rule_for(model, policy, min_confidence)
        return Decider(model, rule, on_small_error="large", pruning=NO_PRUNING, version=version)
    if not isinstance(model, Runnable):
        raise CompositionError(
            f"a subtask's model is a small model (classes_ and predict_proba) or a Runnable; got "
            f"{type(model).__name__}; wrap a function by RunnableLambda"
        )
    if policy is not None:
        raise CompositionError(
            f"the policy of the subtask {name!r} needs probabilities: wrap the Runnable by RunnableClassifier"
        )
    return None


def _check_fields(name: str, render: str, *, confidence_known: bool) -> None:
    allowed = {"label", "confidence"} if confidence_known else {"label"}
    try:
        fields = {found for _, found, _, _ in Formatter().parse(render) if found is not None}
    except ValueError as error:
        raise CompositionError(f"render={render!r} of the subtask {name!r} cannot be read: {error}") from error
    if not fields <= allowed:
        why = "" if confidence_known else " (a Runnable tells a confidence where min_confidence is given)"
        raise CompositionError(
            f"render= of the subtask {name!r} has the fields {sorted(fields)}; known are {sorted(allowed)}{why}"
        )


def _as_confidence(value: Any, name: str) -> float:
    try:
        confidence = float(value)
    except (TypeError, ValueError):
        confidence = math.nan
    if not 0 <= confidence <= 1:
        raise SmallModelError(f"the confidence of the subtask {name!r} is a number in [0, 1]; got {value!r}")
    return confidence


def _text(value: Any, name: str) -> str:
    if isinstance(value, BaseMessage):
        return str(value.text)
    if isinstance(value, str | int | float):
        return str(value)
    raise SmallModelError(
        f"the subtask {name!r} answered {_shown(value)}, which is no text; say with render= what the prompt gets"
    )


def _shown(value: Any) -> str:
    text = repr(value)
    return f"{type(value).__name__} {text if len(text) <= 80 else text[:77] + '...'}"  # noqa: PLR2004  one line of an error
