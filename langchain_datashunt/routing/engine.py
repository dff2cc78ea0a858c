"""One run through the shunt: check, small step, then the large branch for what is deferred.

`Routing` is the engine behind `RunnableDataShunt`. It keeps nothing of a run; whatever belongs to one is passed along.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from langchain_core.runnables import Runnable, RunnableConfig
from langchain_core.runnables.config import patch_config

from langchain_datashunt.prompting.decided import DECISION_KEY
from langchain_datashunt.routing.asking import Asked, unless_raised
from langchain_datashunt.routing.audits import maybe_audited
from langchain_datashunt.routing.completion_order import CompletionOrder, made_before
from langchain_datashunt.routing.deciding import Decider, Decisions, describe, is_control_flow
from langchain_datashunt.routing.hard_branch import LargeInputs
from langchain_datashunt.routing.inputs import Selector, check_several, select_input
from langchain_datashunt.routing.listening import tell
from langchain_datashunt.routing.outputs import Answerer, StreamStamp
from langchain_datashunt.routing.per_request import (
    DECIDED_KEY,
    NOTHING_ASKED,
    Requests,
    check_request,
    requests_of,
)
from langchain_datashunt.routing.small_step import SmallStep
from langchain_datashunt.types import Decision

OnDecision = Callable[[int, Decision], None]


def nobody(_: int, __: Decision) -> None:
    """Take a decision that nobody asked for."""


@dataclass(frozen=True, slots=True)
class Call:
    """How a batch was called.

    Attributes:
        kwargs: For the large branch.
        on_decision: Is told each decision, with its index.
        return_exceptions: Whether exceptions are returned in the place of outputs.
    """

    kwargs: Mapping[str, Any]
    on_decision: OnDecision = nobody
    return_exceptions: bool = False


@dataclass(frozen=True, slots=True)
class Checked:
    """The inputs of a batch that can be routed, and an error for each of the others.

    Attributes:
        valid: Their indices.
        selected: What the small model sees of each valid input.
        errors: By index.
    """

    valid: list[int]
    selected: list[Any]
    errors: dict[int, Exception]


@dataclass(frozen=True, slots=True)
class Routing:
    """The parts of a bound shunt, put together once."""

    decider: Decider
    selector: Selector | None
    large: Runnable[Any, Any]
    large_inputs: LargeInputs
    answerer: Answerer
    on_large_error: Literal["raise", "small"]
    audit_rate: float

    def check(self, inputs: Sequence[Any], configs: Sequence[RunnableConfig], *, return_exceptions: bool) -> Checked:
        """Find out, before any model runs, which inputs can be routed.

        Raises:
            InvalidInputError: One cannot, and `return_exceptions` is False; or the inputs are no sequence of several.
        """
        check_several(inputs)
        checked = Checked([], [], {})
        for i, (value, config) in enumerate(zip(inputs, configs, strict=True)):
            try:
                selected = self.select(value)
                check_request(config)
            except Exception as error:  # an input that cannot be routed, or the user's input= failed on it
                if not return_exceptions:
                    raise
                checked.errors[i] = error
            else:
                checked.valid.append(i)
                checked.selected.append(selected)
        return checked

    def select(self, value: Any) -> Any:
        """Return what the small model sees of `value`; raise if the large branch could not take it."""
        selected = select_input(value, self.selector)
        self.large_inputs.check(value)
        return selected

    def decide(self, inputs: Sequence[Any], requests: Requests = NOTHING_ASKED) -> Decisions:
        """Decide about a batch without runs, configs or the large branch."""
        check_several(inputs)
        return self.decider.decide([self.select(value) for value in inputs], requests)

    def completion_order(
        self, inputs: Sequence[Any], configs: Sequence[RunnableConfig], *, return_exceptions: bool
    ) -> CompletionOrder:
        """Decide about a batch ahead of its runs, with one small call."""
        checked = self.check(inputs, configs, return_exceptions=return_exceptions)
        valid_configs = [configs[i] for i in checked.valid]
        made = self.decider.decide(checked.selected, requests_of(valid_configs), valid_configs)
        return CompletionOrder.of(checked.valid, made, configs, self)

    async def acompletion_order(
        self, inputs: Sequence[Any], configs: Sequence[RunnableConfig], *, return_exceptions: bool
    ) -> CompletionOrder:
        """Do what `completion_order` does."""
        checked = self.check(inputs, configs, return_exceptions=return_exceptions)
        valid_configs = [configs[i] for i in checked.valid]
        made = await self.decider.adecide(checked.selected, requests_of(valid_configs), valid_configs)
        return CompletionOrder.of(checked.valid, made, configs, self)

    def batch(
        self,
        inputs: list[Any],
        run_manager: Sequence[Any],
        config: Sequence[RunnableConfig],
        call: Call,
    ) -> list[Any]:
        """Return an output or an exception for each input: one small call, one large batch of the deferred ones."""
        run = _BatchRun(self, inputs, run_manager, config, call.on_decision)
        checked = self.check(inputs, config, return_exceptions=call.return_exceptions)
        if not checked.valid:
            return run.outputs_with(checked.errors)
        decisions = SmallStep(self.decider).decide(*run.small_step(checked))
        deferred = run.settle_easy(checked, decisions)
        if deferred:
            step = run.large_step(deferred)
            asked = Asked.of(self.large_inputs.prepare(*step), step[-1], collects=self._collects_errors(call))
            answers = self.large.batch(asked.inputs, asked.configs, return_exceptions=asked.collects, **call.kwargs)
            run.settle_hard(deferred, asked.with_errors(answers))
        return run.outputs_with(checked.errors)

    async def abatch(
        self,
        inputs: list[Any],
        run_manager: Sequence[Any],
        config: Sequence[RunnableConfig],
        call: Call,
    ) -> list[Any]:
        """Do what `batch` does; a synchronous small model runs in the executor."""
        run = _BatchRun(self, inputs, run_manager, config, call.on_decision)
        checked = self.check(inputs, config, return_exceptions=call.return_exceptions)
        if not checked.valid:
            return run.outputs_with(checked.errors)
        decisions = await SmallStep(self.decider).adecide(*run.small_step(checked))
        deferred = run.settle_easy(checked, decisions)
        if deferred:
            step = run.large_step(deferred)
            asked = Asked.of(await self.large_inputs.aprepare(*step), step[-1], collects=self._collects_errors(call))
            answers = await self.large.abatch(
                asked.inputs, asked.configs, return_exceptions=asked.collects, **call.kwargs
            )
            run.settle_hard(deferred, asked.with_errors(answers))
        return run.outputs_with(checked.errors)

    def stream(self, value: Any, run_manager: Any, config: RunnableConfig, kwargs: Mapping[str, Any]) -> Iterator[Any]:
        """Yield the small answer as one chunk, or the large branch's chunks as they come."""
        run = _BatchRun(self, [value], [run_manager], [config], nobody)
        checked = self.check([value], [config], return_exceptions=False)
        decision = run.first(SmallStep(self.decider).decide(*run.small_step(checked)))
        if decision.route == "small":
            chunk = self.answerer.small_chunk(decision)
            tell(run_manager, decision, answered=True)
            yield chunk
            return
        step = run.large_step({0: decision})
        stamp = StreamStamp(decision)
        try:
            prepared = unless_raised(self.large_inputs.prepare(*step)[0])
            for chunk in self.large.stream(prepared, step[-1][0], **kwargs):
                yield stamp.passing(chunk)
        except Exception as error:
            if stamp.began or not self.falls_back(error, decision):
                raise
            fallback = fallen_back(decision, error)
            chunk = self.answerer.small_chunk(fallback)
            tell(run_manager, fallback, answered=True)
            yield chunk
            return
        tell(run_manager, decision, answered=True)
        if (last := stamp.last()) is not None:
            yield last

    async def astream(
        self, value: Any, run_manager: Any, config: RunnableConfig, kwargs: Mapping[str, Any]
    ) -> AsyncIterator[Any]:
        """Do what `stream` does."""
        run = _BatchRun(self, [value], [run_manager], [config], nobody)
        checked = self.check([value], [config], return_exceptions=False)
        decision = run.first(await SmallStep(self.decider).adecide(*run.small_step(checked)))
        if decision.route == "small":
            chunk = self.answerer.small_chunk(decision)
            tell(run_manager, decision, answered=True)
            yield chunk
            return
        step = run.large_step({0: decision})
        stamp = StreamStamp(decision)
        try:
            prepared = unless_raised((await self.large_inputs.aprepare(*step))[0])
            async for chunk in self.large.astream(prepared, step[-1][0], **kwargs):
                yield stamp.passing(chunk)
        except Exception as error:
            if stamp.began or not self.falls_back(error, decision):
                raise
            fallback = fallen_back(decision, error)
            chunk = self.answerer.small_chunk(fallback)
            tell(run_manager, fallback, answered=True)
            yield chunk
            return
        tell(run_manager, decision, answered=True)
        if (last := stamp.last()) is not None:
            yield last

    def falls_back(self, error: Exception, decision: Decision) -> bool:
        """Tell whether the small model answers in the place of a large branch that raised `error`.

        It does where the user chose so, and where the input was accepted and only being audited.
        """
        chosen = self.on_large_error == "small" or decision.route == "audit"
        return chosen and decision.prediction is not None and not is_control_flow(error)

    def _collects_errors(self, call: Call) -> bool:
        return call.return_exceptions or self.on_large_error == "small" or self.audit_rate > 0


def fallen_back(decision: Decision, error: Exception) -> Decision:
    """Return the decision as it stands after the large branch raised `error`."""
    certified = decision.certified and decision.route == "audit"
    return replace(decision, route="small_on_error", reason="large_error", certified=certified, error=describe(error))


class _BatchRun:
    """What belongs to one run of a batch; made for it and dropped after it."""

    def __init__(
        self,
        routing: Routing,
        inputs: Sequence[Any],
        run_managers: Sequence[Any],
        configs: Sequence[RunnableConfig],
        on_decision: OnDecision,
    ) -> None:
        self._routing = routing
        self._inputs = inputs
        self._run_managers = run_managers
        self._configs = configs
        self._on_decision = on_decision
        self._outputs: dict[int, Any] = {}

    def small_step(self, checked: Checked) -> tuple[list[Any], Requests, list[RunnableConfig], Decisions | None]:
        """Return the arguments of the small step."""
        made = made_before(self._configs[0])
        configs = [self._child_config(i, "datashunt:small") for i in checked.valid]
        decisions = None if made is None else made.decisions
        return checked.selected, requests_of([self._configs[i] for i in checked.valid]), configs, decisions

    def first(self, decisions: Decisions) -> Decision:
        """Return the decision about a single input."""
        if (error := decisions.fatal_error(0)) is not None:
            raise error
        return self._maybe_audited(0, decisions[0])

    def settle_easy(self, checked: Checked, decisions: Decisions) -> dict[int, Decision]:
        """Note the small model's answers; return the decisions of the others by index."""
        deferred: dict[int, Decision] = {}
        for row, i in enumerate(checked.valid):
            decision = self._maybe_audited(i, decisions[row])
            if decision.route == "small":
                self._settle_small(i, decision)
            elif (error := decisions.fatal_error(row)) is not None:
                self._settle(i, error, decision)
            else:
                deferred[i] = decision
        return deferred

    def large_step(self, deferred: Mapping[int, Decision]) -> tuple[list[Any], list[Decision], list[RunnableConfig]]:
        """Return what the large branch's inputs are made of; each config carries its item's decision."""
        for i, decision in deferred.items():
            tell(self._run_managers[i], decision, answered=False)
        configs = [self._child_config(i, "datashunt:large", decision) for i, decision in deferred.items()]
        return [self._inputs[i] for i in deferred], list(deferred.values()), configs

    def settle_hard(self, deferred: Mapping[int, Decision], answers: Sequence[Any]) -> None:
        """Note the large branch's answers, and the small model's where it falls back."""
        for (i, decision), answer in zip(deferred.items(), answers, strict=True):
            if not isinstance(answer, Exception):
                self._settle(i, self._routing.answerer.stamped(answer, decision), decision)
            elif self._routing.falls_back(answer, decision):
                self._settle_small(i, fallen_back(decision, answer))
            else:
                self._settle(i, answer, decision)

    def outputs_with(self, errors: Mapping[int, Exception]) -> list[Any]:
        """Return the outputs in the order of the inputs."""
        settled = {**self._outputs, **errors}
        return [settled[i] for i in range(len(self._inputs))]

    def _maybe_audited(self, i: int, decision: Decision) -> Decision:
        return maybe_audited(
            decision, self._routing.audit_rate, self._run_managers[i], self._configs[i], self._inputs[i]
        )

    def _settle_small(self, i: int, decision: Decision) -> None:
        try:
            output = self._routing.answerer.small_output(decision)
        except Exception as error:  # noqa: BLE001  the user's answer= failed, on this input only
            output = error
        self._settle(i, output, decision)

    def _settle(self, i: int, output: Any, decision: Decision) -> None:
        self._outputs[i] = output
        self._on_decision(i, decision)
        tell(self._run_managers[i], decision, answered=not isinstance(output, Exception))

    def _child_config(self, i: int, tag: str, decision: Decision | None = None) -> RunnableConfig:
        child = patch_config(self._configs[i], callbacks=self._run_managers[i].get_child(tag))
        configurable = {key: value for key, value in child["configurable"].items() if key != DECIDED_KEY}
        if decision is not None:
            configurable[DECISION_KEY] = decision
        child["configurable"] = configurable
        return child
