"""`RunnableDataShunt`: the small model answers what it is sure of, the large branch gets the rest.

This file holds the Runnable contract. What the small model sees stands in `inputs`, the small step in `deciding`, what
the large branch gets in `hard_branch`, what comes out in `outputs`, how a run goes through these in `engine`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from typing import Any, Literal

from langchain_core.messages import AIMessage
from langchain_core.prompts import BasePromptTemplate
from langchain_core.runnables import Runnable, RunnableConfig, RunnableSerializable
from langchain_core.runnables.config import get_config_list
from langchain_core.runnables.graph import Graph
from langchain_core.runnables.utils import ConfigurableFieldSpec, get_unique_config_specs
from pydantic import ConfigDict, PrivateAttr
from typing_extensions import override

from langchain_datashunt.candidates import CandidateRule
from langchain_datashunt.policy.shunt_policy import ShuntPolicy
from langchain_datashunt.routing.asking import unless_interrupted, unless_raised
from langchain_datashunt.routing.completion_order import made_before
from langchain_datashunt.routing.composition import UnboundDataShunt, as_large
from langchain_datashunt.routing.construction import (
    BuiltRouting,
    build_routing,
    candidate_rule_of,
    check_choices,
    forwarded,
    parts_as_json,
    policy_of,
    unbound_options,
)
from langchain_datashunt.routing.deciding import Decisions
from langchain_datashunt.routing.engine import Call, Routing
from langchain_datashunt.routing.graph import shunt_graph
from langchain_datashunt.routing.inputs import Selector, gathered
from langchain_datashunt.routing.nodes import shunt_node
from langchain_datashunt.routing.outputs import Answer, OutputKind
from langchain_datashunt.routing.per_request import CONFIG_SPECS, Requests, check_threshold
from langchain_datashunt.types import Decision


class RunnableDataShunt(RunnableSerializable[Any, Any]):
    """Route each input to a small model or to a large one, by the small model's calibrated confidence.

    The small model answers where its confidence reaches the threshold (an *easy*, accepted input); every other
    input is deferred to the large branch. Without `large` the constructor returns an `UnboundDataShunt`, which binds
    the runnable on its right: ``RunnableDataShunt(small, policy=policy) | llm | parser``.

    Args:
        small: A `SmallModel`: any fitted scikit-learn classifier, an adapter of `langchain_datashunt.small_models`, or
            a `PromotedModel`, which brings its policy along.
        large: The large branch, any Runnable. One that starts with a chat model gets texts through `prompt`.
        policy: A fitted `ShuntPolicy`. Exactly one of `policy` and `threshold` is required.
        threshold: A confidence in [0, 1] for uncalibrated probabilities; nothing is certified about it.
        input: What the small model sees: a key of a mapping, or a function of the input. By default the text, the one
            text among a mapping's values, or the last human text of messages.
        input_key: The variable of the large branch's prompt template that takes a text input.
        answer: Makes the small model's output from its `Prediction`, for large branches that return neither a message
            nor a text.
        candidates: Which labels are left for the large model, for example ``TopK(5)``. None takes what the policy has
            learned (`learn_pruning`), for the inputs that its own threshold defers. Under the policy's verdict "soft"
            or "none" on hints no label is removed, unless the branch's own prompt tells the candidates.
        prompt: The template between a text and a chat model; by default a `PromptPruningTemplate` of the labels.
        hint_position: ``"system"`` adds one system message with the hints to conversations for a chat model.
        on_small_error: ``"large"`` sends inputs on which the small model fails to the large branch (a failing batch is
            tried in halves, until the inputs that fail are found); ``"raise"`` raises.
        on_large_error: ``"raise"``, or ``"small"``: the small model's answer, route ``small_on_error`` in the record.
        audit_rate: Share of the accepted inputs, in [0, 1], that goes to the large branch too: route ``audit``, and the
            caller gets that answer (the small model's, route ``small_on_error``, if it fails). 1 is shadow mode.
        name: The name in traces.

    Raises:
        CompositionError: The parts cannot work together; the message says what to write.
        PolicyMismatchError: The policy was fitted for another model or other classes.

    Every message that comes out carries the decision in ``response_metadata["datashunt"]`` (`ShuntMetadata`). A request
    may set ``config["configurable"]``: ``datashunt_threshold`` (a float; not certified) and ``datashunt_route``
    (``auto`` | ``small`` | ``large``).

    The guarantee is the policy's: its certificate bounds the small model's error among accepted inputs, for inputs
    drawn like the rows that it was certified on. It says nothing about the large model, nor after drift.

    Example:
        .. code-block:: python

            shunt = RunnableDataShunt(small, policy=policy)
            chain = shunt | ChatOpenAI(model="...") | PromptPruningOutputParser(labels)
            chain.invoke("Works exactly as described.")

    Source: Data Shunt (Chen et al., AAAI 2024) and Data Shunt+ (arXiv 2406.15471): confidence is the maximum
    probability, compared with a threshold epsilon; calibration and certification are ours.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True, protected_namespaces=())

    small: Any
    large: Any
    policy: Any = None
    threshold: float | None = None
    input: Any = None
    input_key: str | None = None
    answer: Any = None
    candidates: Any = None
    prompt: Any = None
    hint_position: Literal["system"] | None = None
    on_small_error: Literal["large", "raise"] = "large"
    on_large_error: Literal["raise", "small"] = "raise"
    audit_rate: float = 0.0

    _built: BuiltRouting = PrivateAttr()

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        """Return an `UnboundDataShunt` where there is no large branch yet."""
        if not (args or kwargs) or kwargs.get("large") is not None:  # unpickling calls it without arguments
            return super().__new__(cls)
        return UnboundDataShunt(unbound_options(cls.__init__, args, kwargs))

    def __init__(
        self,
        small: Any,
        *,
        large: Any = None,
        policy: ShuntPolicy | Mapping[str, Any] | None = None,
        threshold: float | None = None,
        input: Selector | None = None,  # noqa: A002  the word a user looks for
        input_key: str | None = None,
        answer: Answer | None = None,
        candidates: CandidateRule | Mapping[str, Any] | None = None,
        prompt: BasePromptTemplate[Any] | None = None,
        hint_position: Literal["system"] | None = None,
        on_small_error: Literal["large", "raise"] = "large",
        on_large_error: Literal["raise", "small"] = "raise",
        audit_rate: float = 0.0,
        name: str | None = None,
    ) -> None:
        """Put the parts together; see the class for what each is."""
        fields: dict[str, Any] = {
            "small": small,
            "large": as_large(large),
            "policy": policy_of(policy),
            "threshold": None if threshold is None else check_threshold(threshold),
            "input": input,
            "input_key": input_key,
            "answer": answer,
            "candidates": candidate_rule_of(candidates),
            "prompt": prompt,
            "hint_position": hint_position,
            "on_small_error": on_small_error,
            "on_large_error": on_large_error,
            "audit_rate": audit_rate,
            "name": name,
        }
        check_choices(fields)
        super().__init__(**fields)
        self._built = build_routing(self)

    # ---- decisions without LangChain overhead

    def decide(self, value: Any, *, threshold: float | None = None) -> Decision:
        """Return the decision about one input; see `decide_batch`."""
        return self.decide_batch([value], threshold=threshold)[0]

    def decide_batch(self, inputs: Sequence[Any], *, threshold: float | None = None) -> Decisions:
        """Return the decisions about ``n`` inputs as columns, with one call of the small model.

        The large branch is not asked. `threshold` replaces the rule's; the decisions are then not certified.

        Raises:
            InvalidInputError: An input cannot be routed, or `threshold` is no number in [0, 1].
        """
        return self._routing().decide(inputs, Requests.of_threshold(threshold, len(inputs)))

    # ---- the Runnable contract

    @override
    def invoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> Any:
        return self._invoke(input, config, Call(kwargs))

    @override
    async def ainvoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> Any:
        return await self._ainvoke(input, config, Call(kwargs))

    @override
    def batch(
        self, inputs: list[Any], config: Any = None, *, return_exceptions: bool = False, **kwargs: Any
    ) -> list[Any]:
        return self._batch(inputs, config, Call(kwargs, return_exceptions=return_exceptions))

    @override
    async def abatch(
        self, inputs: list[Any], config: Any = None, *, return_exceptions: bool = False, **kwargs: Any
    ) -> list[Any]:
        return await self._abatch(inputs, config, Call(kwargs, return_exceptions=return_exceptions))

    @override
    def batch_as_completed(
        self, inputs: Sequence[Any], config: Any = None, *, return_exceptions: bool = False, **kwargs: Any
    ) -> Iterator[tuple[int, Any]]:
        """Yield ``(index, output)`` as they complete: accepted inputs first, then the deferred ones."""
        configs = get_config_list(config, len(inputs))
        order = self._routing().completion_order(inputs, configs, return_exceptions=return_exceptions)
        easy = self.batch([inputs[i] for i in order.easy], order.easy_configs, **kwargs)
        yield from zip(order.easy, easy, strict=True)
        one_by_one: Any = super().batch_as_completed  # its overloads know no bool
        rest = one_by_one(
            [inputs[i] for i in order.rest], order.rest_configs, return_exceptions=return_exceptions, **kwargs
        )
        for position, output in rest:
            yield order.rest[position], output

    @override
    async def abatch_as_completed(
        self, inputs: Sequence[Any], config: Any = None, *, return_exceptions: bool = False, **kwargs: Any
    ) -> AsyncIterator[tuple[int, Any]]:
        """Yield ``(index, output)`` as they complete: accepted inputs first, then the deferred ones."""
        configs = get_config_list(config, len(inputs))
        order = await self._routing().acompletion_order(inputs, configs, return_exceptions=return_exceptions)
        easy = await self.abatch([inputs[i] for i in order.easy], order.easy_configs, **kwargs)
        for i, output in zip(order.easy, easy, strict=True):
            yield i, output
        one_by_one: Any = super().abatch_as_completed
        rest = one_by_one(
            [inputs[i] for i in order.rest], order.rest_configs, return_exceptions=return_exceptions, **kwargs
        )
        async for position, output in rest:
            yield order.rest[position], output

    @override
    def stream(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> Iterator[Any]:
        yield from self.transform(iter([input]), config, **kwargs)

    @override
    async def astream(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> AsyncIterator[Any]:
        async def only() -> AsyncIterator[Any]:
            yield input

        async for chunk in self.atransform(only(), config, **kwargs):
            yield chunk

    @override
    def transform(self, input: Iterator[Any], config: RunnableConfig | None = None, **kwargs: Any) -> Iterator[Any]:
        def run(chunks: Iterator[Any], run_manager: Any, config: RunnableConfig) -> Iterator[Any]:
            yield from self._routing().stream(gathered(chunks), run_manager, config, kwargs)

        yield from self._transform_stream_with_config(input, run, config)

    @override
    async def atransform(
        self, input: AsyncIterator[Any], config: RunnableConfig | None = None, **kwargs: Any
    ) -> AsyncIterator[Any]:
        async def run(chunks: AsyncIterator[Any], run_manager: Any, config: RunnableConfig) -> AsyncIterator[Any]:
            value = gathered([chunk async for chunk in chunks])
            async for chunk in self._routing().astream(value, run_manager, config, kwargs):
                yield chunk

        async for chunk in self._atransform_stream_with_config(input, run, config):
            yield chunk

    # ---- outputs with their decisions

    def invoke_with_decision(
        self, value: Any, config: RunnableConfig | None = None, **kwargs: Any
    ) -> tuple[Any, Decision]:
        """Return what `invoke` returns, and the `Decision` about it."""
        made: dict[int, Decision] = {}
        return self._invoke(value, config, Call(kwargs, made.__setitem__)), made[0]

    async def ainvoke_with_decision(
        self, value: Any, config: RunnableConfig | None = None, **kwargs: Any
    ) -> tuple[Any, Decision]:
        """Return what `ainvoke` returns, and the `Decision` about it."""
        made: dict[int, Decision] = {}
        return await self._ainvoke(value, config, Call(kwargs, made.__setitem__)), made[0]

    def batch_with_decisions(
        self, inputs: list[Any], config: Any = None, *, return_exceptions: bool = False, **kwargs: Any
    ) -> list[tuple[Any, Decision | None]]:
        """Return what `batch` returns, each with its `Decision`; None for an input that could not be routed."""
        made: dict[int, Decision] = {}
        outputs = self._batch(inputs, config, Call(kwargs, made.__setitem__, return_exceptions))
        return [(output, made.get(i)) for i, output in enumerate(outputs)]

    async def abatch_with_decisions(
        self, inputs: list[Any], config: Any = None, *, return_exceptions: bool = False, **kwargs: Any
    ) -> list[tuple[Any, Decision | None]]:
        """Return what `abatch` returns, each with its `Decision`; None for an input that could not be routed."""
        made: dict[int, Decision] = {}
        outputs = await self._abatch(inputs, config, Call(kwargs, made.__setitem__, return_exceptions))
        return [(output, made.get(i)) for i, output in enumerate(outputs)]

    # LangChain inspects the signature of what it calls at each call; that is quick for a plain function only.

    def _invoke(self, value: Any, config: Any, call: Call) -> Any:
        def run(value: Any, run_manager: Any, config: RunnableConfig) -> Any:
            return unless_raised(self._routing(config).batch([value], [run_manager], [config], call)[0])

        return self._call_with_config(run, value, config)

    async def _ainvoke(self, value: Any, config: Any, call: Call) -> Any:
        async def run(value: Any, run_manager: Any, config: RunnableConfig) -> Any:
            outputs = await self._routing(config).abatch([value], [run_manager], [config], call)
            return unless_raised(outputs[0])

        return await self._acall_with_config(run, value, config)

    def _batch(self, inputs: list[Any], config: Any, call: Call) -> list[Any]:
        def run(inputs: list[Any], run_manager: list[Any], config: list[RunnableConfig]) -> list[Any]:
            return self._routing(config[0]).batch(inputs, run_manager, config, call)

        outputs = self._batch_with_config(run, inputs, config, return_exceptions=call.return_exceptions)
        return unless_interrupted(outputs)

    async def _abatch(self, inputs: list[Any], config: Any, call: Call) -> list[Any]:
        async def run(inputs: list[Any], run_manager: list[Any], config: list[RunnableConfig]) -> list[Any]:
            return await self._routing(config[0]).abatch(inputs, run_manager, config, call)

        outputs = await self._abatch_with_config(run, inputs, config, return_exceptions=call.return_exceptions)
        return unless_interrupted(outputs)

    def bind_tools(self, tools: Any, **kwargs: Any) -> RunnableDataShunt:
        """Return the shunt with `tools` bound to the large branch's chat model."""
        return self._with_large(forwarded(self.large, "bind_tools")(tools, **kwargs))

    def with_structured_output(self, schema: Any, *, answer: Answer | None = None, **kwargs: Any) -> RunnableDataShunt:
        """Return the shunt with a large branch that returns `schema`.

        `answer` makes the same output of the small model's `Prediction`. A schema whose only required field is a
        ``Literal`` or ``Enum`` of all labels needs none; that field is cut to the candidates for each request.
        """
        large = forwarded(self.large, "with_structured_output")(schema, **kwargs)
        return self._with_large(large, answer=answer or self.answer)

    def as_node(
        self, output_key: str, *, input_key: str | None = None, decision_key: str | None = None
    ) -> Runnable[Any, dict[str, Any]]:
        """Return a LangGraph node that writes the output under one state key.

        A bare Runnable as node returns a message, whose fields would overwrite state keys of the same names.

        Args:
            output_key: The state key for the output.
            input_key: The state key of the input; by default the whole state is the input.
            decision_key: The state key for the decision's record, if wanted.
        """
        return shunt_node(self, output_key, input_key, decision_key)

    def _with_large(self, large: Runnable[Any, Any], **changes: Any) -> RunnableDataShunt:
        options = {field: getattr(self, field) for field in type(self).model_fields}
        return type(self)(**{**options, **changes, "large": large})

    def _routing(self, config: RunnableConfig | None = None) -> Routing:
        """Return the engine of a run, which asks once: the one that decided before it began, or the current one."""
        if config is not None and (made := made_before(config)) is not None:
            return made.routing
        built = self._built  # read once: another thread may put an older one there
        if not built.is_current(self.small):
            self._built = built = build_routing(self)
        return built.routing

    # ---- what LangChain asks of a Runnable about itself

    @property
    def output_kind(self) -> OutputKind | Literal["other"]:
        """What comes out, a ``message``, a ``text`` or something ``other``, made by ``answer=``."""
        return self._routing().answerer.kind or "other"

    @property
    @override
    def InputType(self) -> Any:
        return self._routing().large_inputs.input_type

    @property
    @override
    def OutputType(self) -> Any:
        return {"message": AIMessage, "text": str, "other": Any}[self.output_kind]

    @property
    @override
    def config_specs(self) -> list[ConfigurableFieldSpec]:
        return get_unique_config_specs([*CONFIG_SPECS, *self.large.config_specs])

    @override
    def get_graph(self, config: RunnableConfig | None = None) -> Graph:
        return shunt_graph(self, self._routing(), config)

    @classmethod
    @override
    def is_lc_serializable(cls) -> bool:
        return True

    @property
    @override
    def lc_attributes(self) -> dict[str, Any]:
        return parts_as_json(self.policy, self.candidates)
