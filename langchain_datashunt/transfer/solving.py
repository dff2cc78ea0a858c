"""Runs subtasks: all of them at once, each vectorised over the batch, each a child run of the prompt's."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from langchain_core.runnables import Runnable, RunnableConfig
from langchain_core.runnables.config import get_config_list, get_executor_for_config, patch_config, set_config_context
from langchain_core.runnables.utils import coro_with_context
from typing_extensions import override

from langchain_datashunt.callbacks.teachers import SMALL_TAG
from langchain_datashunt.candidates import Prior
from langchain_datashunt.errors import InvalidInputError
from langchain_datashunt.prompting.decided import DECISION_KEY
from langchain_datashunt.routing.deciding import Decider, Decisions
from langchain_datashunt.routing.inputs import Selector, select_input
from langchain_datashunt.transfer.subtasks import Subtask, SubtaskAnswer, SubtaskOutcome

Values = Mapping[str, Any]


class SolvingStep:
    """One subtask with its selector; answers for a whole batch in one call."""

    def __init__(self, subtask: Subtask, selector: Selector) -> None:
        """Prepare a subtask."""
        self.subtask = subtask
        self._selector = selector
        decider = subtask.decider
        self._runnable: Runnable[Any, Any] = subtask.model if decider is None else SmallModelStep(decider)

    def solve(
        self, values: Sequence[Values], configs: Sequence[RunnableConfig], run_managers: Sequence[Any]
    ) -> list[SubtaskOutcome]:
        """Return the outcome for each input of a batch."""
        selected, errors = self._select(values)
        answers: list[Any] = []
        if selected:
            children = [self._child_config(configs[i], run_managers[i]) for i in selected]
            answers = self._runnable.batch(list(selected.values()), children, return_exceptions=True)
        return self._outcomes(len(values), dict(zip(selected, answers, strict=True)), errors)

    async def asolve(
        self, values: Sequence[Values], configs: Sequence[RunnableConfig], run_managers: Sequence[Any]
    ) -> list[SubtaskOutcome]:
        """Do what `solve` does."""
        selected, errors = self._select(values)
        answers: list[Any] = []
        if selected:
            children = [self._child_config(configs[i], run_managers[i]) for i in selected]
            answers = await self._runnable.abatch(list(selected.values()), children, return_exceptions=True)
        return self._outcomes(len(values), dict(zip(selected, answers, strict=True)), errors)

    def _select(self, values: Sequence[Values]) -> tuple[dict[int, Any], dict[int, Exception]]:
        """Return what the model sees, by index; an input on which that fails has an error instead."""
        selected: dict[int, Any] = {}
        errors: dict[int, Exception] = {}
        for i, each in enumerate(values):
            try:
                self._check_rewritten(each)
                selected[i] = select_input(each, self._selector)
            except Exception as error:  # noqa: BLE001  no text there, or the user's input= failed, for this input only
                errors[i] = error
        return selected, errors

    def _check_rewritten(self, values: Values) -> None:
        variable = self.subtask.rewrite
        if variable is not None and not isinstance(values[variable], str):
            raise InvalidInputError(
                f"the subtask {self.subtask.name!r} rewrites texts; {variable!r} is a {type(values[variable]).__name__}"
            )

    def _child_config(self, config: RunnableConfig, run_manager: Any) -> RunnableConfig:
        callbacks = None if run_manager is None else run_manager.get_child(SMALL_TAG)
        child = patch_config(config, callbacks=callbacks, run_name=self.subtask.name)
        # A subtask is another task than the one that a shunt around it has decided about.
        child["configurable"] = {key: value for key, value in child["configurable"].items() if key != DECISION_KEY}
        return child

    def _outcomes(self, n: int, answers: Mapping[int, Any], errors: Mapping[int, Exception]) -> list[SubtaskOutcome]:
        settled = {**answers, **errors}
        for answer in settled.values():
            if isinstance(answer, BaseException) and not isinstance(answer, Exception):  # ctrl-C, exit
                raise answer
        return [self.subtask.outcome(settled[i]) for i in range(n)]


def solve_all(
    steps: Sequence[SolvingStep],
    values: Sequence[Values],
    configs: Sequence[RunnableConfig],
    run_managers: Sequence[Any],
) -> list[tuple[SubtaskOutcome, ...]]:
    """Return, for each input, the outcomes of all subtasks in their order; the subtasks run side by side."""
    if len(steps) == 1:
        columns = [steps[0].solve(values, configs, run_managers)]
    else:
        with get_executor_for_config(configs[0]) as executor:
            columns = list(executor.map(lambda step: step.solve(values, configs, run_managers), steps))
    return list(zip(*columns, strict=True))


async def asolve_all(
    steps: Sequence[SolvingStep],
    values: Sequence[Values],
    configs: Sequence[RunnableConfig],
    run_managers: Sequence[Any],
) -> list[tuple[SubtaskOutcome, ...]]:
    """Do what `solve_all` does."""
    columns = await asyncio.gather(*(step.asolve(values, configs, run_managers) for step in steps))
    return list(zip(*columns, strict=True))


def watched(config: RunnableConfig) -> bool:
    """Tell whether anybody listens; runs that nobody sees cost more than a quick small model."""
    return bool(getattr(config.get("callbacks"), "handlers", None))


class SmallModelStep(Runnable[Any, SubtaskAnswer]):
    """A small model as a Runnable: one vectorised call, one traced run an input.

    A row on which the model fails is an exception in that row's place; an answer of a wrong shape is a bug of the model
    and is raised.
    """

    def __init__(self, decider: Decider) -> None:
        """Wrap a small model with its rule."""
        self._decider = decider

    @override
    def batch(
        self, inputs: list[Any], config: Any = None, *, return_exceptions: bool = False, **kwargs: Any
    ) -> list[Any]:
        configs = get_config_list(config, len(inputs))
        answered: list[list[Any]] = []
        if not any(map(watched, configs)):
            return _unless_failed(_answers(self._decide(inputs, configs)), return_exceptions=return_exceptions)

        def run(inputs: list[Any], run_manager: list[Any], config: list[RunnableConfig]) -> list[Any]:  # noqa: ARG001
            answered.append(_answers(self._decide(inputs, config)))
            return answered[0]

        outputs: list[Any] = self._batch_with_config(run, inputs, configs, return_exceptions=True)
        if not answered:  # what failed for the whole batch, LangChain returns once an input
            raise outputs[0]
        return _unless_failed(outputs, return_exceptions=return_exceptions)

    @override
    async def abatch(
        self, inputs: list[Any], config: Any = None, *, return_exceptions: bool = False, **kwargs: Any
    ) -> list[Any]:
        configs = get_config_list(config, len(inputs))
        answered: list[list[Any]] = []
        if not any(map(watched, configs)):
            return _unless_failed(_answers(await self._adecide(inputs, configs)), return_exceptions=return_exceptions)

        async def run(inputs: list[Any], run_manager: list[Any], config: list[RunnableConfig]) -> list[Any]:  # noqa: ARG001
            answered.append(_answers(await self._adecide(inputs, config)))
            return answered[0]

        outputs: list[Any] = await self._abatch_with_config(run, inputs, configs, return_exceptions=True)
        if not answered:  # what failed for the whole batch, LangChain returns once an input
            raise outputs[0]
        return _unless_failed(outputs, return_exceptions=return_exceptions)

    @override
    def invoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> SubtaskAnswer:
        answer: SubtaskAnswer = self.batch([input], [config or {}])[0]
        return answer

    def _decide(self, inputs: list[Any], configs: list[RunnableConfig]) -> Decisions:
        if len(configs) > 1:
            return self._decider.decide(inputs, configs=configs)
        with set_config_context(configs[0]) as context:  # for models that call LangChain without taking configs
            return context.run(lambda: self._decider.decide(inputs, configs=configs))

    async def _adecide(self, inputs: list[Any], configs: list[RunnableConfig]) -> Decisions:
        deciding = self._decider.adecide(inputs, configs=configs)
        if len(configs) > 1:
            return await deciding
        with set_config_context(configs[0]) as context:
            return await coro_with_context(deciding, context)


def _answers(decisions: Decisions) -> list[Any]:
    return [decisions.errors.get(i) or _answer(decisions, i) for i in range(len(decisions))]


def _answer(decisions: Decisions, i: int) -> SubtaskAnswer:
    prediction = decisions[i].prediction
    if prediction is None:  # such a row has an error
        raise RuntimeError(f"row {i} has neither a prediction nor an error")
    known = prediction.probabilities
    prior = Prior() if known is None else Prior.of(prediction.classes, known)
    return SubtaskAnswer(prediction.label, prediction.confidence, bool(decisions.accepted[i]), prior)


def _unless_failed(outputs: list[Any], *, return_exceptions: bool) -> list[Any]:
    failed = [output for output in outputs if isinstance(output, Exception)]
    if failed and not return_exceptions:
        raise failed[0]
    return outputs
