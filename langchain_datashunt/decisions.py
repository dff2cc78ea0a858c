"""A chain with a shunt, or a small model alone, as a LangChain decision model (langchain-core 1.8)."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from langchain_core.messages import BaseMessage
from langchain_core.runnables import Runnable, RunnableConfig, RunnableSequence
from langchain_core.runnables.config import ensure_config, get_config_list, merge_configs
from pydantic import ConfigDict
from typing_extensions import override

from langchain_datashunt.errors import CompositionError, InvalidInputError, MissingExtraError, SmallModelError
from langchain_datashunt.policy.shunt_policy import ShuntPolicy
from langchain_datashunt.routing.construction import rule_for, served_by
from langchain_datashunt.routing.deciding import NO_PRUNING, Decider
from langchain_datashunt.routing.inputs import select_input
from langchain_datashunt.routing.listening import DecisionCollector
from langchain_datashunt.routing.outputs import unwrapped
from langchain_datashunt.routing.router import RunnableDataShunt
from langchain_datashunt.small_models import class_names
from langchain_datashunt.types import Decision

try:
    from langchain_core.decisions import BaseDecisionModel, Choice, ChoiceAnswer, ClassifierRequest, ClassifierResponse
except ImportError as error:
    raise MissingExtraError("a decision model (langchain_core.decisions)", "decisions") from error


@dataclass(frozen=True, slots=True)
class _Answered:
    """What a model says about one state: the label, the probability of each label, and who said so."""

    label: str
    probabilities: Mapping[str, float]
    by: str


class _LabelDecisions(BaseDecisionModel):
    """Answers ``Choice`` questions whose labels are the classes of a small model."""

    model_config = ConfigDict(arbitrary_types_allowed=True)

    labels: tuple[str, ...]
    """The labels, in column order."""

    @property
    def _provider(self) -> str:
        return "datashunt"

    @abstractmethod
    def _answers(self, inputs: list[Any], configs: list[RunnableConfig]) -> list[_Answered | Exception]:
        """Answer all, with one pass of the small model."""

    @abstractmethod
    async def _aanswers(self, inputs: list[Any], configs: list[RunnableConfig]) -> list[_Answered | Exception]:
        """Do the same."""

    @override
    def _classify(self, state: Any, questions: dict[str, Any]) -> ClassifierResponse:
        request = ClassifierRequest(state=state, questions=questions)
        return _unless_raised(self._responses([request], [ensure_config()])[0])

    @override
    async def _aclassify(self, state: Any, questions: dict[str, Any]) -> ClassifierResponse:
        request = ClassifierRequest(state=state, questions=questions)
        return _unless_raised((await self._aresponses([request], [ensure_config()]))[0])

    @override
    def batch(
        self, inputs: list[ClassifierRequest], config: Any = None, *, return_exceptions: bool = False, **_: Any
    ) -> list[Any]:
        """Answer requests with one pass of the small model, and one batch of those that it defers."""

        def run(requests: list[Any], run_manager: list[Any], config: list[RunnableConfig]) -> list[Any]:  # noqa: ARG001  as LangChain calls it
            return self._responses(requests, config)

        configs = [self._traced_config(each) for each in get_config_list(config, len(inputs))]
        return self._batch_with_config(run, inputs, configs, return_exceptions=return_exceptions, run_type="llm")

    @override
    async def abatch(
        self, inputs: list[ClassifierRequest], config: Any = None, *, return_exceptions: bool = False, **_: Any
    ) -> list[Any]:
        """Do what `batch` does."""

        async def run(requests: list[Any], run_manager: list[Any], config: list[RunnableConfig]) -> list[Any]:  # noqa: ARG001
            return await self._aresponses(requests, config)

        configs = [self._traced_config(each) for each in get_config_list(config, len(inputs))]
        return await self._abatch_with_config(run, inputs, configs, return_exceptions=return_exceptions, run_type="llm")

    def _responses(self, requests: Sequence[ClassifierRequest], configs: Sequence[RunnableConfig]) -> list[Any]:
        inputs = [self._checked(request) for request in requests]
        asked = [i for i, each in enumerate(inputs) if not isinstance(each, Exception)]
        answers = self._answers([inputs[i] for i in asked], [configs[i] for i in asked]) if asked else []
        return self._filled(requests, inputs, dict(zip(asked, answers, strict=True)))

    async def _aresponses(self, requests: Sequence[ClassifierRequest], configs: Sequence[RunnableConfig]) -> list[Any]:
        inputs = [self._checked(request) for request in requests]
        asked = [i for i, each in enumerate(inputs) if not isinstance(each, Exception)]
        answers = await self._aanswers([inputs[i] for i in asked], [configs[i] for i in asked]) if asked else []
        return self._filled(requests, inputs, dict(zip(asked, answers, strict=True)))

    def _checked(self, request: ClassifierRequest) -> Any:
        """Return what the small model is to see, or why there can be no answer."""
        for name, question in request["questions"].items():
            if not isinstance(question, Choice) or set(question.criteria) != set(self.labels):
                given = list(question.criteria) if isinstance(question, Choice) else type(question).__name__
                return InvalidInputError(
                    f"question {name!r}: this decision model answers a Choice among {list(self.labels)}, the labels "
                    f"that its small model was trained on; got {given}"
                )
        try:
            return select_input(request["state"])
        except InvalidInputError as error:
            return error

    def _filled(
        self, requests: Sequence[ClassifierRequest], inputs: Sequence[Any], answers: Mapping[int, Any]
    ) -> list[Any]:
        found = [answers.get(i, each) for i, each in enumerate(inputs)]
        return [
            each if isinstance(each, Exception) else self._response(request, each)
            for request, each in zip(requests, found, strict=True)
        ]

    def _response(self, request: ClassifierRequest, answered: _Answered) -> ClassifierResponse:
        answer = ChoiceAnswer(
            type="choice",
            choice=answered.label,
            probabilities=dict(answered.probabilities),
            confidence=answered.probabilities[answered.label],
        )
        return ClassifierResponse(model=answered.by, answers=dict.fromkeys(request["questions"], answer))


class SmallModelDecisions(_LabelDecisions):
    """A small model as a decision model: one that you have trained, that runs here, and that costs nothing a call.

    It answers ``Choice`` questions among exactly its own labels. Instructions and descriptions are not read: what a
    label means, the small model has learned. `confidence` is the calibrated probability of the label.

    Args:
        small: A small model.
        policy: Calibrates its probabilities; the threshold is not used. Without one they are as the model gives them.
        model: The name in responses and traces.

    Raises:
        MissingExtraError: langchain-core is older than 1.8 (on importing the module).
        PolicyMismatchError: The policy was fitted for another model or other classes.
        CompositionError: `small` is a `PromotedModel`, which a shunt follows through its versions.

    Example:
        .. code-block:: python

            from langchain.agents.middleware import ModelChoice, ModelRouterMiddleware

            router = ModelRouterMiddleware(
                choices={"fast": ModelChoice(small_llm, "Lookups."), "strong": ModelChoice(large_llm, "Reasoning.")},
                instructions="Choose the least costly model suited to the task.",
                classifier=SmallModelDecisions(small, policy=policy),  # trained to tell "fast" from "strong"
            )
    """

    decider: Any

    def __init__(self, small: Any, *, policy: ShuntPolicy | None = None, model: str = "small model") -> None:
        """Take a small model; see the class."""
        if served_by(small) is not None:
            raise CompositionError(
                "SmallModelDecisions takes no PromotedModel, whose versions it would not follow: put the model into a "
                "shunt, ShuntDecisions(RunnableDataShunt(promoted) | llm | parser)"
            )
        rule, version = rule_for(small, policy, 0.0 if policy is None else None)
        decider = Decider(small, rule, "large", NO_PRUNING, version)  # the rows that fail are told one by one
        fields: dict[str, Any] = {"model": model, "labels": rule.classes, "decider": decider}
        super().__init__(**fields)

    @override
    def _answers(self, inputs: list[Any], configs: list[RunnableConfig]) -> list[_Answered | Exception]:
        return self._read(self.decider.decide(inputs, configs=configs))

    @override
    async def _aanswers(self, inputs: list[Any], configs: list[RunnableConfig]) -> list[_Answered | Exception]:
        return self._read(await self.decider.adecide(inputs, configs=configs))

    def _read(self, decisions: Any) -> list[_Answered | Exception]:
        answered = (
            _Answered(label, dict(zip(self.labels, row, strict=True)), self.model)
            for label, row in zip(decisions.labels.tolist(), decisions.probabilities.tolist(), strict=True)
        )
        return [decisions.errors.get(i, each) for i, each in enumerate(answered)]


class ShuntDecisions(_LabelDecisions):
    """A bound shunt as a decision model: the small model decides where it is sure, the large branch the rest.

    It answers ``Choice`` questions among exactly the small model's labels. `probabilities` are the small model's
    calibrated ones, always: nobody knows those of the large model. Where the large model chose, the response's `model`
    ends in its route (``datashunt/large``), and `confidence` is what the *small* model gives that label: do not
    threshold it there.

    Args:
        chain: ``shunt | llm | parser``, or a bound shunt whose large branch ends in a parser.
        model: The name in responses and traces, in front of the route.

    Raises:
        MissingExtraError: langchain-core is older than 1.8 (on importing the module).
        CompositionError: There is no shunt in `chain`, or it gives no text.

    Example:
        .. code-block:: python

            chain = RunnableDataShunt(small, policy=policy) | llm | PromptPruningOutputParser(["fast", "strong"])
            router = ModelRouterMiddleware(choices=choices, instructions="...", classifier=ShuntDecisions(chain))
    """

    chain: Any

    def __init__(self, chain: Runnable[Any, Any], *, model: str = "datashunt") -> None:
        """Take a chain; see the class."""
        fields: dict[str, Any] = {"model": model, "labels": class_names(_shunt_in(chain).small), "chain": chain}
        super().__init__(**fields)

    @override
    def _answers(self, inputs: list[Any], configs: list[RunnableConfig]) -> list[_Answered | Exception]:
        heard, listening = _listeners(configs)
        outputs = self.chain.batch(inputs, listening, return_exceptions=True)
        return self._read(outputs, heard)

    @override
    async def _aanswers(self, inputs: list[Any], configs: list[RunnableConfig]) -> list[_Answered | Exception]:
        heard, listening = _listeners(configs)
        outputs = await self.chain.abatch(inputs, listening, return_exceptions=True)
        return self._read(outputs, heard)

    def _read(self, outputs: Sequence[Any], heard: Sequence[DecisionCollector]) -> list[_Answered | Exception]:
        return [
            output if isinstance(output, Exception) else self._answered(output, collector)
            for output, collector in zip(outputs, heard, strict=True)
        ]

    def _answered(self, output: Any, collector: DecisionCollector) -> _Answered | Exception:
        decision = next(iter(collector.decisions.values()), None)  # of the outermost shunt
        label = output.text if isinstance(output, BaseMessage) else output
        if decision is None or label not in self.labels:
            return SmallModelError(
                f"the chain of a ShuntDecisions answers with one of {list(self.labels)}; got {label!r}: put a "
                "PromptPruningOutputParser of these labels behind the large model"
            )
        return _Answered(label, _small_probabilities(decision, self.labels), f"{self.model}/{decision.route}")


def _listeners(configs: Sequence[RunnableConfig]) -> tuple[list[DecisionCollector], list[RunnableConfig]]:
    heard = [DecisionCollector() for _ in configs]
    return heard, [
        merge_configs(config, {"callbacks": [collector]}) for config, collector in zip(configs, heard, strict=True)
    ]


def _small_probabilities(decision: Decision, labels: Sequence[str]) -> dict[str, float]:
    """Return what the small model says of each label; where it knows less than that, the rest is spread evenly."""
    prediction = decision.prediction
    if prediction is None:
        return dict.fromkeys(labels, 1 / len(labels))
    if prediction.probabilities is not None:
        return dict(zip(labels, prediction.probabilities.tolist(), strict=True))
    others = (1 - prediction.confidence) / (len(labels) - 1)
    return {label: prediction.confidence if label == prediction.label else others for label in labels}


def _shunt_in(chain: Runnable[Any, Any]) -> RunnableDataShunt:
    inner = unwrapped(chain)
    steps = [unwrapped(step) for step in inner.steps] if isinstance(inner, RunnableSequence) else [inner]
    found = [step for step in steps if isinstance(step, RunnableDataShunt)]
    if len(found) != 1:
        raise CompositionError(
            f"ShuntDecisions takes one chain with one bound shunt, such as shunt | llm | parser; got {chain!r:.200}"
        )
    return found[0]


def _unless_raised(found: Any) -> ClassifierResponse:
    if isinstance(found, Exception):
        raise found
    response: ClassifierResponse = found
    return response
