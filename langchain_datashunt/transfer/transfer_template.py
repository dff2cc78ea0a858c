"""`PromptTransferTemplate`: a chat prompt whose easy parts small models have solved (S4L prompt transfer)."""

from __future__ import annotations

import builtins
from collections.abc import Mapping, Sequence
from typing import Any, Literal, get_args

from langchain_core.callbacks import adispatch_custom_event, dispatch_custom_event
from langchain_core.messages import BaseMessage
from langchain_core.prompt_values import ChatPromptValue, PromptValue
from langchain_core.prompts import BaseChatPromptTemplate, ChatPromptTemplate
from langchain_core.runnables import RunnableConfig
from langchain_core.runnables.config import ensure_config, get_config_list
from pydantic import PrivateAttr
from typing_extensions import override

from langchain_datashunt.errors import CompositionError, InvalidInputError, SmallModelError
from langchain_datashunt.routing.asking import unless_interrupted, unless_raised
from langchain_datashunt.routing.deciding import is_control_flow
from langchain_datashunt.routing.hints import optional_variables_of
from langchain_datashunt.transfer.solving import SolvingStep, asolve_all, solve_all, watched
from langchain_datashunt.transfer.subtasks import Subtask, SubtaskOutcome
from langchain_datashunt.transfer.template_lines import without_lines
from langchain_datashunt.transfer.transfer_variables import (
    caller_variables,
    check_subtasks,
    filled_variables,
    original_variable,
    selector_for,
)

OnProblem = Literal["skip", "raise"]

LEFT_OUT_EVENT = "datashunt_subtask_left_out"
"""The custom event that records each subtask that is not in a prompt, and why.

Its data are plain JSON (`SubtaskOutcome.record`); its run id is that of the prompt's run.
"""


class PromptTransferTemplate(BaseChatPromptTemplate):
    r"""A chat prompt of yours, in which small models have solved the easy subtasks; the LLM does the rest.

    A subtask fills the template's variable of its name. Where it is unsure or fails, *the line that names it is left
    out* (with one blank line beside it, and a message that has nothing else): no half sentence reaches the LLM. So a
    line that names subtasks names nothing else. A subtask with ``rewrite=`` replaces an input variable (translated,
    normalised, shortened); the original stays at hand as ``{original_<variable>}``.

    All subtasks see the caller's input, run side by side, and are vectorised over a batch: a batch of 1,000 with three
    small models makes three calls. Each is a child run. What is left out is recorded as the custom event
    `LEFT_OUT_EVENT`, and `outcomes` tells it without a prompt.

    What the models say goes in as values of variables, never as template text, so it cannot change the prompt's
    structure. It is a hint, and can anchor an LLM on a mistake: measure it on your task.

    Args:
        template: A `ChatPromptTemplate`, or any other chat template where all subtasks rewrite. What it says of
            ``candidates``, ``prior`` and ``prediction`` is declared on, so a shunt in front fills them.
        subtasks: The subtasks, each with a name of its own.
        on_error: Whether a subtask that fails is left out, or its error raised.
        on_unsure: Whether a subtask below its `min_confidence` is left out, or `SmallModelError` raised.
        **kwargs: Fields of `BasePromptTemplate`, for example `partial_variables`, `metadata`, `tags`.

    Raises:
        CompositionError: A subtask has no variable, or one on a line with others; two have one name; it cannot be told
            which input variable a subtask reads; an option does not exist.

    A small model whose answer has a wrong shape raises `SmallModelError` whatever `on_error` says: that is a bug.

    Example:
        >>> from langchain_core.prompts import ChatPromptTemplate
        >>> from langchain_datashunt.testing import KeywordSmallModel
        >>> aspect = KeywordSmallModel({"price": ["expensive"], "service": ["waiter"]})
        >>> template = PromptTransferTemplate(
        ...     ChatPromptTemplate([("system", "Judge the review.\nIt is about the {aspect}."), ("human", "{text}")]),
        ...     [Subtask("aspect", aspect, min_confidence=0.8)],
        ... )
        >>> print(template.format(text="Far too expensive."))
        System: Judge the review.
        It is about the price.
        Human: Far too expensive.
        >>> print(template.format(text="Hm."))
        System: Judge the review.
        Human: Hm.

    Source: prompt transferring of Data Shunt+ (arXiv 2406.15471).
    """

    template: BaseChatPromptTemplate
    subtasks: list[Subtask]
    on_error: OnProblem
    on_unsure: OnProblem

    _steps: list[SolvingStep] = PrivateAttr()
    _shortened: builtins.dict[frozenset[str], BaseChatPromptTemplate] = PrivateAttr(default_factory=dict)

    def __init__(
        self,
        template: BaseChatPromptTemplate,
        subtasks: Sequence[Subtask],
        *,
        on_error: OnProblem = "skip",
        on_unsure: OnProblem = "skip",
        **kwargs: Any,
    ) -> None:
        """Check that the parts fit, and derive the variables from them; see the class."""
        subtasks = list(subtasks)
        options = {name: value for name, value in kwargs.items() if not name.startswith("_")}
        _check_options(type(self), options, on_error, on_unsure)
        check_subtasks(template, subtasks)
        own = caller_variables(template, subtasks)
        selectors = [selector_for(subtask, own) for subtask in subtasks]
        needed = {*own, *(selector for selector in selectors if isinstance(selector, str))}
        bound = options.get("partial_variables") or {}
        if taken := sorted(filled_variables(subtasks) & set(bound)):
            raise CompositionError(f"the subtasks fill {taken}; these cannot be partial variables")
        fields = {
            "template": template,
            "subtasks": subtasks,
            "on_error": on_error,
            "on_unsure": on_unsure,
            "input_variables": sorted(needed - set(bound)),
            "optional_variables": optional_variables_of(template),
            "input_types": template.input_types,
        }
        super().__init__(**{**options, **fields})
        self._steps = [SolvingStep(subtask, selector) for subtask, selector in zip(subtasks, selectors, strict=True)]

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
        return "prompt_transfer"

    # ---- what the subtasks say, without a prompt

    def outcomes(self, inputs: Sequence[Any], config: RunnableConfig | None = None) -> list[tuple[SubtaskOutcome, ...]]:
        """Return what each subtask contributes to the prompt of each of ``n`` inputs, in the order of `subtasks`.

        Raises:
            InvalidInputError: An input lacks a variable.
        """
        values = [self._values(each) for each in inputs]
        return solve_all(self._steps, values, get_config_list(config, len(values)), [None] * len(values))

    # ---- the Runnable contract: the batch is written, the single is a batch of one

    @override
    def invoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> PromptValue:
        def run(value: Any, run_manager: Any, config: RunnableConfig) -> PromptValue:
            prompt: PromptValue = unless_raised(self._prompts([value], [run_manager], [config])[0])
            return prompt

        return self._call_with_config(run, input, self._own(config), run_type="prompt", serialized=self._serialized)

    @override
    async def ainvoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> PromptValue:
        async def run(value: Any, run_manager: Any, config: RunnableConfig) -> PromptValue:
            prompt: PromptValue = unless_raised((await self._aprompts([value], [run_manager], [config]))[0])
            return prompt

        return await self._acall_with_config(
            run, input, self._own(config), run_type="prompt", serialized=self._serialized
        )

    @override
    def batch(
        self, inputs: list[Any], config: Any = None, *, return_exceptions: bool = False, **kwargs: Any
    ) -> list[Any]:
        def run(inputs: list[Any], run_manager: list[Any], config: list[RunnableConfig]) -> list[Any]:
            return self._prompts(inputs, run_manager, config, return_exceptions=return_exceptions)

        configs = [self._own(each) for each in get_config_list(config, len(inputs))]
        outputs: list[Any] = self._batch_with_config(
            run, inputs, configs, return_exceptions=return_exceptions, run_type="prompt"
        )
        return unless_interrupted(outputs)

    @override
    async def abatch(
        self, inputs: list[Any], config: Any = None, *, return_exceptions: bool = False, **kwargs: Any
    ) -> list[Any]:
        async def run(inputs: list[Any], run_manager: list[Any], config: list[RunnableConfig]) -> list[Any]:
            return await self._aprompts(inputs, run_manager, config, return_exceptions=return_exceptions)

        configs = [self._own(each) for each in get_config_list(config, len(inputs))]
        outputs: list[Any] = await self._abatch_with_config(
            run, inputs, configs, return_exceptions=return_exceptions, run_type="prompt"
        )
        return unless_interrupted(outputs)

    # ---- the prompt template contract, without runs

    @override
    def format_messages(self, **kwargs: Any) -> list[BaseMessage]:
        """Return the messages for the values of the input variables; the subtasks run, but nothing is recorded."""
        values = self._values(kwargs)
        return self._messages(values, solve_all(self._steps, [values], [ensure_config()], [None])[0])

    @override
    async def aformat_messages(self, **kwargs: Any) -> list[BaseMessage]:
        """Do what `format_messages` does."""
        values = self._values(kwargs)
        return self._messages(values, (await asolve_all(self._steps, [values], [ensure_config()], [None]))[0])

    @override
    def pretty_repr(self, html: bool = False) -> str:
        """Return the wrapped prompt as people read it."""
        return self.template.pretty_repr(html=html)

    # ---- from inputs to prompts

    def _prompts(
        self,
        inputs: Sequence[Any],
        run_managers: Sequence[Any],
        configs: Sequence[RunnableConfig],
        *,
        return_exceptions: bool = False,
    ) -> list[Any]:
        values, errors = self._checked(inputs, return_exceptions=return_exceptions)
        valid_configs, valid_managers = [configs[i] for i in values], [run_managers[i] for i in values]
        solved = solve_all(self._steps, list(values.values()), valid_configs, valid_managers)
        for config, outcomes in zip(valid_configs, solved, strict=True):
            for outcome in _left_out(config, outcomes):
                dispatch_custom_event(LEFT_OUT_EVENT, outcome.record(), config=config)
        return self._settled(values, solved, errors)

    async def _aprompts(
        self,
        inputs: Sequence[Any],
        run_managers: Sequence[Any],
        configs: Sequence[RunnableConfig],
        *,
        return_exceptions: bool = False,
    ) -> list[Any]:
        values, errors = self._checked(inputs, return_exceptions=return_exceptions)
        valid_configs, valid_managers = [configs[i] for i in values], [run_managers[i] for i in values]
        solved = await asolve_all(self._steps, list(values.values()), valid_configs, valid_managers)
        for config, outcomes in zip(valid_configs, solved, strict=True):
            for outcome in _left_out(config, outcomes):
                await adispatch_custom_event(LEFT_OUT_EVENT, outcome.record(), config=config)
        return self._settled(values, solved, errors)

    def _own(self, config: RunnableConfig | None) -> RunnableConfig:
        """Return `config` with this template's own metadata and tags, as LangChain's prompt templates do."""
        config = ensure_config(config)
        config["metadata"] = {**config["metadata"], **(self.metadata or {})}
        config["tags"] = [*config["tags"], *(self.tags or ())]
        return config

    def _checked(
        self, inputs: Sequence[Any], *, return_exceptions: bool
    ) -> tuple[builtins.dict[int, builtins.dict[str, Any]], builtins.dict[int, Exception]]:
        """Return, before any model runs, the values of each input, and an error for each that cannot be used."""
        values: dict[int, dict[str, Any]] = {}
        errors: dict[int, Exception] = {}
        for i, each in enumerate(inputs):
            try:
                values[i] = self._values(each)
            except Exception as error:  # an input that cannot be used, or a partial variable's function failed
                if not return_exceptions:
                    raise
                errors[i] = error
        return values, errors

    def _values(self, value: Any) -> builtins.dict[str, Any]:
        if not isinstance(value, Mapping):
            if len(self.input_variables) != 1:
                raise InvalidInputError(
                    f"the prompt takes a mapping with the keys {self.input_variables}; got {type(value).__name__}"
                )
            value = {self.input_variables[0]: value}
        if missing := [name for name in self.input_variables if name not in value]:
            raise InvalidInputError(
                f"the prompt needs {self.input_variables}; the input has {sorted(map(str, value))} and lacks {missing}"
            )
        if taken := sorted(filled_variables(self.subtasks) & set(value)):
            raise InvalidInputError(f"the input has the keys {taken}, which the subtasks fill; rename them")
        return {**self._merge_partial_and_user_variables(), **value}

    def _settled(
        self,
        values: Mapping[int, builtins.dict[str, Any]],
        solved: Sequence[tuple[SubtaskOutcome, ...]],
        errors: Mapping[int, Exception],
    ) -> list[Any]:
        """Return a prompt or an exception for each input, in the order of the inputs."""
        settled: dict[int, Any] = dict(errors)
        for (i, each), outcomes in zip(values.items(), solved, strict=True):
            try:
                settled[i] = ChatPromptValue(messages=self._messages(each, outcomes))
            except Exception as error:  # noqa: BLE001  this input only: a subtask's error, or the template's
                settled[i] = error
        return [settled[i] for i in range(len(settled))]

    def _messages(self, values: builtins.dict[str, Any], outcomes: Sequence[SubtaskOutcome]) -> list[BaseMessage]:
        filled = dict(values)
        absent = set()
        for subtask, outcome in zip(self.subtasks, outcomes, strict=True):
            self._raise_if_wanted(subtask, outcome)
            if subtask.rewrite is not None:
                filled[original_variable(subtask.rewrite)] = values[subtask.rewrite]
                filled[subtask.rewrite] = values[subtask.rewrite] if outcome.text is None else outcome.text
            elif outcome.text is None:
                absent.add(subtask.name)
            else:
                filled[subtask.name] = outcome.text
        return self._without(frozenset(absent)).format_messages(**filled)

    def _raise_if_wanted(self, subtask: Subtask, outcome: SubtaskOutcome) -> None:
        error = outcome.error
        if error is not None and (self.on_error == "raise" or is_control_flow(error)):
            raise error
        if outcome.left_out == "unsure" and self.on_unsure == "raise" and outcome.answer is not None:
            raise SmallModelError(
                f"the subtask {subtask.name!r} is not sure enough: {outcome.answer.value!r} with confidence "
                f"{outcome.answer.confidence}; on_unsure='skip' leaves it out"
            )

    def _without(self, absent: frozenset[str]) -> BaseChatPromptTemplate:
        """Return the template without the lines of these subtasks."""
        if not absent or not isinstance(self.template, ChatPromptTemplate):
            return self.template
        if absent not in self._shortened:
            self._shortened[absent] = without_lines(self.template, absent)
        return self._shortened[absent]


def _left_out(config: RunnableConfig, outcomes: Sequence[SubtaskOutcome]) -> list[SubtaskOutcome]:
    """Return what is to be recorded, if anybody listens."""
    return [outcome for outcome in outcomes if outcome.left_out is not None] if watched(config) else []


def _check_options(
    template: type[PromptTransferTemplate], options: Mapping[str, Any], on_error: Any, on_unsure: Any
) -> None:
    if unknown := [name for name in options if name not in template.model_fields]:
        raise CompositionError(f"PromptTransferTemplate has no options {unknown}")
    for name, value in (("on_error", on_error), ("on_unsure", on_unsure)):
        if value not in get_args(OnProblem):
            raise CompositionError(f"{name} is one of {list(get_args(OnProblem))}; got {value!r}")
