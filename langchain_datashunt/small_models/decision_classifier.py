"""A LangChain decision model as a small model."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

from langchain_core.runnables import Runnable, RunnableConfig

from langchain_datashunt.errors import MissingExtraError, SmallModelError
from langchain_datashunt.small_models.runnable_classifier import RunnableClassifier
from langchain_datashunt.types import FloatArray

_QUESTION = "datashunt"
"""The name of the one question that is asked."""

NO, YES = "no", "yes"


class DecisionClassifier:
    """A decision model that answers one question about each input, as a small model.

    Any ``BaseDecisionModel`` of ``langchain_core.decisions`` (langchain-core 1.8), and ``OpenAIDecisions`` of
    langchain-openai with its own question types. Its probabilities are those of a hosted model that was never
    calibrated on your data: fit a policy.

    A batch is the decision model's own `batch`, which is one request an input.

    Args:
        model: The decision model.
        question: A ``Choice``, whose labels are the classes in their order; or a ``Noul`` (of OpenAI: a
            ``Predicate``), whose classes are ``"no"`` and ``"yes"``.
        version: The identity that policies are tied to: change it whenever model or question change.

    Raises:
        SmallModelError: `model` is no decision model, or `question` none of these.
        MissingExtraError: `model` is none of OpenAI's, and langchain-core has no decision models yet.

    Example:
        .. code-block:: python

            from langchain_core.decisions import Choice

            team = Choice(instructions="Which team?", criteria={"billing": "Payments.", "technical": "Bugs."})
            small = DecisionClassifier(decision_model, team, version="decisions-2026-11")
            policy = fit_policy(small, texts, labels, TargetRisk(0.02))
    """

    takes_configs = True
    probabilities_known = True

    def __init__(self, model: Runnable[Any, Any], question: Any, *, version: str) -> None:
        """Ask `model` `question`; see the class."""
        self.model = model
        self.question = question
        self._input_key = _input_key(model)
        self._classifier = RunnableClassifier(model, classes=_classes(question), version=version, output=_probabilities)

    @property
    def classes_(self) -> tuple[str, ...]:
        """The labels, in column order."""
        return self._classifier.classes

    @property
    def version(self) -> str:
        """The identity that policies are tied to."""
        return self._classifier.version

    def __repr__(self) -> str:
        return (
            f"DecisionClassifier({type(self.model).__name__}, classes={list(self.classes_)}, version={self.version!r})"
        )

    def predict_proba(self, inputs: Sequence[Any], *, configs: Sequence[RunnableConfig] | None = None) -> FloatArray:
        """Return the ``(n, k)`` probabilities of `n` inputs, from one `batch`; no input, no call.

        Raises:
            SmallModelError: An answer is missing (a refusal), or its probabilities do not sum to 1.
        """
        return self._classifier.predict_proba(self._requests(inputs), configs=configs)

    async def apredict_proba(
        self, inputs: Sequence[Any], *, configs: Sequence[RunnableConfig] | None = None
    ) -> FloatArray:
        """Return the same, from one `abatch`."""
        return await self._classifier.apredict_proba(self._requests(inputs), configs=configs)

    def _requests(self, inputs: Sequence[Any]) -> list[dict[str, Any]]:
        return [{self._input_key: each, "questions": {_QUESTION: self.question}} for each in inputs]


def _input_key(model: Any) -> str:
    openai = sys.modules.get("langchain_openai.decisions")
    if openai is not None and isinstance(model, openai.OpenAIDecisions):
        return "input"
    try:
        from langchain_core.decisions import BaseDecisionModel  # noqa: PLC0415  langchain-core 1.8
    except ImportError as error:
        raise MissingExtraError("a decision model (langchain_core.decisions)", "decisions") from error
    if isinstance(model, BaseDecisionModel):
        return "state"
    raise SmallModelError(
        f"DecisionClassifier takes a BaseDecisionModel or OpenAIDecisions; got {type(model).__name__}: for another "
        "Runnable use RunnableClassifier"
    )


def _classes(question: Any) -> Sequence[Any]:
    match getattr(question, "type", None):
        case "choice":
            return list(question.criteria if hasattr(question, "criteria") else question.choices)
        case "noul" | "predicate":
            return [NO, YES]
    raise SmallModelError(f"DecisionClassifier asks a Choice, a Noul or a Predicate; got {question!r}")


def _probabilities(response: Any) -> Mapping[Any, float]:
    answer = response.answers.get(_QUESTION)
    match getattr(answer, "type", None):
        case "choice":
            return dict(answer.probabilities)
        case "noul":
            return {NO: 1 - answer.noul, YES: answer.noul}
        case "predicate":
            return {NO: 1 - answer.probability, YES: answer.probability}
    raise SmallModelError(f"the decision model {response.model!r} gave no answer to the question; it gave {answer!r}")
