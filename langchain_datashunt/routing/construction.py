"""Puts the parts of a shunt together, and refuses those that do not fit."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, is_dataclass
from inspect import signature
from typing import TYPE_CHECKING, Any, NamedTuple

from langchain_core.prompts import BasePromptTemplate
from langchain_core.runnables import Runnable

from langchain_datashunt.candidates import CandidateRule, DropMastered, PredictionSet, TopK, TopP
from langchain_datashunt.errors import CompositionError
from langchain_datashunt.policy.shunt_policy import FixedThreshold, ShuntPolicy
from langchain_datashunt.prompting.pruning_template import PromptPruningTemplate
from langchain_datashunt.registry.model_versions import ServedVersion
from langchain_datashunt.registry.promoted_model import PromotedModel
from langchain_datashunt.routing.candidate_schema import with_cut_schemas
from langchain_datashunt.routing.deciding import NO_PRUNING, Decider, Pruning, Rule
from langchain_datashunt.routing.engine import Routing
from langchain_datashunt.routing.hard_branch import large_inputs
from langchain_datashunt.routing.outputs import Answerer
from langchain_datashunt.routing.per_request import check_threshold
from langchain_datashunt.routing.structured_output import FilledSchema
from langchain_datashunt.small_models import class_names, version_of
from langchain_datashunt.small_models.answers import NO_SMALL_MODEL
from langchain_datashunt.small_models.micro_batched import MicroBatched

if TYPE_CHECKING:
    from langchain_datashunt.routing.router import RunnableDataShunt

CANDIDATE_RULES = {rule.__name__: rule for rule in (TopK, TopP)}
CHOICES = {
    "on_small_error": ("large", "raise"),
    "on_large_error": ("raise", "small"),
    "hint_position": (None, "system"),
}


def rule_for(small: Any, policy: ShuntPolicy | None, threshold: float | None) -> tuple[Rule, str | None]:
    """Return the rule that decides, and the small model's identity.

    Raises:
        CompositionError: `small` is no small model, or not exactly one of `policy` and `threshold` is given.
        InvalidInputError: `threshold` is no number in [0, 1].
        PolicyMismatchError: The policy is another model's.
    """
    if not callable(getattr(small, "predict_proba", None)):
        raise CompositionError(NO_SMALL_MODEL.format(type(small).__name__))
    if (served := served_by(small)) is not None:
        if policy is not None or threshold is not None:
            raise CompositionError("a PromotedModel brings its own policy along: leave policy= and threshold= out")
        return served.policy, served.small_model_version
    if (policy is None) == (threshold is None):
        given = "neither" if policy is None else "both"
        raise CompositionError(
            f"exactly one of policy= and threshold= is required, got {given}: there is no default; fit a policy on "
            "your data with fit_policy(small, inputs, labels, TargetRisk(0.02)), or choose threshold=0.9 uncalibrated"
        )
    classes = class_names(small)
    version = version_of(small)
    if policy is None:
        return FixedThreshold(classes, check_threshold(threshold)), version
    if not isinstance(policy, ShuntPolicy):
        raise CompositionError(
            "policy= takes a ShuntPolicy, as fit_policy(...) and ShuntPolicy.load(path) return it; got "
            f"{type(policy).__name__}"
        )
    policy.check(classes, version)
    return policy, version


def unbound_options(init: Callable[..., None], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of a shunt without a large branch, checked as far as they can be."""
    arguments = signature(init).bind(None, *args, **kwargs).arguments
    options = {key: value for key, value in arguments.items() if key not in ("self", "large")}
    check_choices(options)
    rule_for(options["small"], policy_of(options.get("policy")), options.get("threshold"))
    return options


def check_choices(options: Mapping[str, Any]) -> None:
    """Raise an error if an option is none of its choices, the audit rate no share, a prompt or a function none."""
    check_threshold(options.get("audit_rate", 0.0), "audit_rate is the share of accepted inputs to audit;")
    for option, choices in CHOICES.items():
        if options.get(option, choices[0]) not in choices:
            raise CompositionError(f"{option} is one of {list(choices)}; got {options[option]!r}")
    if (prompt := options.get("prompt")) is not None and not isinstance(prompt, BasePromptTemplate):
        raise CompositionError(
            f"prompt= is a prompt template, for example PromptPruningTemplate(labels); got {type(prompt).__name__} "
            f"{prompt!r:.80}"
        )
    if (answer := options.get("answer")) is not None and not callable(answer):
        raise CompositionError(
            f"answer= is a function of the prediction, such as lambda prediction: prediction.label; got "
            f"{type(answer).__name__} {answer!r:.80}"
        )


class BuiltRouting(NamedTuple):
    """The engine of a bound shunt.

    Attributes:
        routing: It.
        served: The version of a `PromotedModel` that it was built for; None where the small model stays the same.
    """

    routing: Routing
    served: ServedVersion | None

    def is_current(self, small: Any) -> bool:
        """Tell whether it was built for what serves now; not so where a `PromotedModel` was reloaded since."""
        return self.served is served_by(small)


def served_by(small: Any) -> ServedVersion | None:
    """Return the version of a `PromotedModel` that serves now, micro-batched or not; None for any other small model."""
    promoted = small.small if isinstance(small, MicroBatched) else small
    return promoted.served if isinstance(promoted, PromotedModel) else None


def build_routing(shunt: RunnableDataShunt) -> BuiltRouting:
    """Return the engine of a bound shunt, over a `PromotedModel` for the version that serves now."""
    served = served_by(shunt.small)
    if served is None:
        return BuiltRouting(_routing(shunt, shunt.small, *rule_for(shunt.small, shunt.policy, shunt.threshold)), None)
    small = shunt.small.over(served.small) if isinstance(shunt.small, MicroBatched) else served.small
    return BuiltRouting(_routing(shunt, small, served.policy, served.small_model_version), served)


def _routing(shunt: RunnableDataShunt, small: Any, rule: Rule, version: str | None) -> Routing:
    verdict = None if rule.pruning is None else rule.pruning.hints
    schema = FilledSchema.of(shunt.large, rule.classes)
    default_prompt = PromptPruningTemplate(list(rule.classes), answer="label" if schema is None else "schema")
    inputs = large_inputs(
        shunt.large,
        classes=rule.classes,
        prompt=shunt.prompt or default_prompt,
        input_key=shunt.input_key,
        hint_position=shunt.hint_position,
        verdict=verdict,
    )
    rests = verdict in ("soft", "none") and not inputs.tells_candidates
    pruning = NO_PRUNING if rests else Pruning.of(shunt.candidates, rule)
    return Routing(
        decider=Decider(small, rule, shunt.on_small_error, pruning, version),
        selector=shunt.input,
        large=with_cut_schemas(shunt.large, rule.classes, None if schema is None else schema.field),
        large_inputs=inputs,
        answerer=Answerer.for_branch(shunt.large, shunt.answer or (None if schema is None else schema.answer())),
        on_large_error=shunt.on_large_error,
        audit_rate=shunt.audit_rate,
    )


def forwarded(large: Runnable[Any, Any], method: str) -> Callable[..., Runnable[Any, Any]]:
    """Return a chat model's own method of the large branch.

    Raises:
        CompositionError: The branch has none; the message says what to write.
    """
    bound: Callable[..., Runnable[Any, Any]] | None = getattr(large, method, None)
    if bound is None:
        raise CompositionError(
            f"the large branch ({large.get_name()}) has no {method}; call it on the chat model inside before "
            f"composing: shunt | (prompt | llm.{method}(...))"
        )
    return bound


def policy_of(policy: ShuntPolicy | Mapping[str, Any] | None) -> ShuntPolicy | None:
    """Return a policy, made from its JSON form where it comes as such."""
    return ShuntPolicy.from_dict(policy) if isinstance(policy, Mapping) else policy


def candidate_rule_of(rule: CandidateRule | Mapping[str, Any] | None) -> CandidateRule | None:
    """Return a candidate rule, made from its JSON form where it comes as such.

    Raises:
        CompositionError: It is no candidate rule.
    """
    if isinstance(rule, Mapping):
        options = dict(rule)
        name = options.pop("rule", None)
        if name not in CANDIDATE_RULES:
            raise CompositionError(f"candidates= names the rule {name!r}; known are {sorted(CANDIDATE_RULES)}")
        return CANDIDATE_RULES[name](**options)
    if isinstance(rule, PredictionSet | DropMastered):
        raise CompositionError(
            f"{rule!r} must be learned on deferred inputs: learn_pruning(policy, small, inputs, labels, {rule!r}), on "
            "rows that fitted neither, returns the policy that the shunt takes it from"
        )
    if rule is not None and (isinstance(rule, type) or not isinstance(rule, CandidateRule)):
        raise CompositionError(f"candidates= takes a candidate rule, for example TopK(5); got {rule!r}")
    return rule


def parts_as_json(policy: ShuntPolicy | None, candidates: CandidateRule | None) -> dict[str, Any]:
    """Return the parts of a shunt that are no LangChain objects, as JSON."""
    parts: dict[str, Any] = {}
    if policy is not None:
        parts["policy"] = policy.to_dict()
    if candidates is not None:
        parts["candidates"] = candidate_rule_as_dict(candidates)
    return parts


def candidate_rule_as_dict(rule: CandidateRule) -> dict[str, Any]:
    """Return the JSON form of one of the package's candidate rules."""
    if type(rule).__name__ not in CANDIDATE_RULES or not is_dataclass(rule):
        raise CompositionError(f"only {sorted(CANDIDATE_RULES)} can be serialised; got {type(rule).__name__}")
    return {"rule": type(rule).__name__, **asdict(rule)}
