"""What a measurement asks: which rows, which prompts, each behind the shunt that production would have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args

import numpy as np
from langchain_core.prompts import BasePromptTemplate
from langchain_core.runnables import Runnable
from numpy.typing import NDArray

from langchain_datashunt.candidates import CandidateRule, TopK
from langchain_datashunt.errors import CalibrationDataError, CompositionError
from langchain_datashunt.hints.measurement import PLAIN
from langchain_datashunt.policy.pruning_facts import Hints
from langchain_datashunt.policy.shunt_policy import ShuntPolicy, require_policy
from langchain_datashunt.policy.splitting import as_uniform, hash_inputs
from langchain_datashunt.prompting.pruning_template import HINT_VERDICT
from langchain_datashunt.routing.hints import optional_variables_of
from langchain_datashunt.routing.inputs import Selector
from langchain_datashunt.routing.router import RunnableDataShunt
from langchain_datashunt.targets import target_columns
from langchain_datashunt.types import BoolArray, FloatArray, SmallModel

Prompts = BasePromptTemplate[Any] | Mapping[str, BasePromptTemplate[Any]]
Columns = NDArray[np.intp]

_HARD = ("hard", "both")


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """The deferred rows, and one shunt a prompt.

    Attributes:
        shunts: By the prompt's name, ``"none"`` first; the large branches are prompt and LLM.
        inputs: ``m`` deferred inputs.
        positions: ``(m,)``, where they stand among the rows given.
        targets: ``(m,)`` columns of their labels.
        probabilities: ``(m, k)`` calibrated.
        tuning: ``(m,)``, the rows that are not scored.
        n: Rows given.
    """

    shunts: Mapping[str, RunnableDataShunt]
    inputs: list[Any]
    positions: Columns
    targets: Columns
    probabilities: FloatArray
    tuning: BoolArray
    n: int


def plan_measurement(
    small: SmallModel,
    policy: ShuntPolicy,
    llm: Runnable[Any, Any],
    inputs: Sequence[Any],
    labels: Sequence[Any],
    *,
    prompt: Prompts,
    candidates: CandidateRule | None,
    input: Selector | None,  # noqa: A002  the shunt's word
    tuning: float | Sequence[bool],
    seed: int,
) -> Plan:
    """Return what is to be asked; see `measure_hint` for the arguments and what is raised."""
    require_policy(policy)
    inputs = list(inputs)  # by place: a pandas column is indexed by its labels
    if len(inputs) != len(labels):
        raise CalibrationDataError(f"each input needs one label: got {len(inputs)} inputs and {len(labels)} labels")
    targets = target_columns(labels, policy.classes)
    prompts = _by_name(prompt)
    shunts = {
        name: RunnableDataShunt(
            small,
            large=asked | llm,
            policy=policy.with_pruning(hints=name) if name in get_args(Hints) else policy,
            candidates=candidates if name in _HARD else TopK(len(policy.classes)),
            input=input,
            on_small_error="raise",
        )
        for name, asked in prompts.items()
    }
    decisions = shunts[PLAIN].decide_batch(inputs)
    deferred = np.flatnonzero(~decisions.accepted)
    chooses = _tuning_rows(inputs, tuning, seed)[deferred]
    _check_rows(len(inputs), chooses)
    probabilities = decisions.probabilities[deferred]
    rule = candidates or policy.candidate_rule
    if rule is None or rule.select(probabilities).all():
        shunts = _without_hard(shunts, prompt)
    return Plan(
        shunts=shunts,
        inputs=[inputs[i] for i in deferred.tolist()],
        positions=deferred,
        targets=targets[deferred],
        probabilities=probabilities,
        tuning=chooses,
        n=len(inputs),
    )


def _by_name(prompt: Prompts) -> dict[str, BasePromptTemplate[Any]]:
    """Return the prompts, the one without hints first."""
    if isinstance(prompt, Mapping):
        if PLAIN not in prompt or len(prompt) < 2:  # noqa: PLR2004  it is compared with another
            raise CompositionError(f"prompts by name are {PLAIN!r} and at least one other; got {list(prompt)}")
        return {PLAIN: prompt[PLAIN], **prompt}
    if HINT_VERDICT not in optional_variables_of(prompt):
        raise CompositionError(
            "measure_hint switches the hints of a PromptPruningTemplate on and off, which this prompt does not let it "
            "do: leave out the template's hints=..., or give prompts by name, {'none': ..., 'soft': ...}"
        )
    return dict.fromkeys((PLAIN, "soft", *_HARD), prompt)


def _without_hard(shunts: dict[str, RunnableDataShunt], prompt: Prompts) -> dict[str, RunnableDataShunt]:
    """Return the shunts that are worth asking where no label is left out."""
    vain = [name for name in _HARD if name in shunts]
    if vain and isinstance(prompt, Mapping):
        raise CompositionError(f"no label is left out, so {vain} have nothing to say: give candidates=TopK(2)")
    return {name: shunt for name, shunt in shunts.items() if name not in vain}


def _tuning_rows(inputs: Sequence[Any], tuning: float | Sequence[bool], seed: int) -> BoolArray:
    if isinstance(tuning, float | int):
        share: BoolArray = as_uniform(hash_inputs(inputs, seed)) < tuning
        return share
    chosen = np.asarray(tuning, dtype=np.bool_)
    if chosen.shape != (len(inputs),):
        raise CalibrationDataError(
            f"tuning= is a share, or True or False for each of {len(inputs)} rows; got {chosen.shape}"
        )
    return chosen


def _check_rows(n: int, tuning: BoolArray) -> None:
    n_tuning = int(tuning.sum())
    if not 0 < n_tuning < len(tuning):
        raise CalibrationDataError(
            f"the policy defers {len(tuning)} of {n} rows, of which {n_tuning} fell to tuning and "
            f"{len(tuning) - n_tuning} to scoring: both need some, so give more rows or another tuning="
        )
