"""`measure_hint`: the same deferred inputs with hints and without, through the cascade as it will run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from langchain_core.messages import BaseMessage
from langchain_core.runnables import Runnable, RunnableConfig

from langchain_datashunt.candidates import CandidateRule
from langchain_datashunt.errors import CompositionError, InvalidInputError
from langchain_datashunt.hints.fusion import Fusion
from langchain_datashunt.hints.measurement import (
    FUSION,
    PLAIN,
    SMALL,
    HintMeasurement,
    TokensACall,
    score_answers,
    verdict_of,
)
from langchain_datashunt.hints.plan import Columns, Plan, Prompts, plan_measurement
from langchain_datashunt.policy.shunt_policy import ShuntPolicy
from langchain_datashunt.prompting.pruning_parser import PromptPruningOutputParser
from langchain_datashunt.routing.inputs import Selector
from langchain_datashunt.targets import NO_ANSWER, answer_columns
from langchain_datashunt.types import BoolArray, FloatArray, SmallModel

TUNING_SHARE = 0.3
VOTE = 0.9
"""The probability that a reply without log-probabilities counts for the label that it names. Any value between chance
and 1 gives the same fused answers, at another weight."""


def measure_hint(
    small: SmallModel,
    policy: ShuntPolicy,
    llm: Runnable[Any, Any],
    inputs: Sequence[Any],
    labels: Sequence[Any],
    *,
    prompt: Prompts,
    candidates: CandidateRule | None = None,
    parser: PromptPruningOutputParser | None = None,
    input: Selector | None = None,  # noqa: A002  the shunt's word
    tuning: float | Sequence[bool] = TUNING_SHARE,
    seed: int = 0,
    config: RunnableConfig | None = None,
) -> HintMeasurement:
    """Ask a large model about the same deferred inputs with hints and without, and say whether hints help.

    A hint helps only if it is shown to beat three ways to do without it: the same prompt without hints, the small
    model's own answers (a weak LLM can gain by copying them), and the log-linear fusion of both models'
    probabilities, whose weight is fitted. Accepted rows are passed over: no LLM sees them.

    Rows are split by a seeded hash of the input. The tuning rows choose the fusion's weight and which hint is judged;
    everything that is reported is measured on the other rows. Neither may have trained the small model; rows that
    fitted the policy's threshold may be among them, since it is the same for all that is compared.

    It costs one call of `llm` for each deferred row and prompt, in one ``batch`` a prompt. Give the chat model a
    LangChain cache to be able to go on after an interruption.

    Args:
        small: The small model.
        policy: Its policy.
        llm: A chat model, or a Runnable that takes a prompt value and returns a message.
        inputs: What the chain gets: texts, or mappings with the prompt's variables.
        labels: True labels, one an input.
        prompt: A `PromptPruningTemplate` without ``hints=`` of its own, alone or inside a chat template: asked with
            ``"none"`` and ``"soft"``, and where `candidates` leave out labels also with ``"hard"`` and ``"both"``. Or
            prompts by name, of which one is ``"none"``: ``{"none": ..., "transfer": ...}``; those with the names
            ``"hard"`` and ``"both"`` get the candidates that are left, all others get all labels.
        candidates: The labels left for hard hints; by default what the policy has learned.
        parser: Reads the replies; by default `PromptPruningOutputParser.for_policy`. What it does with an invalid
            reply is done here too: the small model's answer with ``on_invalid="small"``; otherwise it counts as wrong.
        input: What the small model sees of an input; see `RunnableDataShunt`.
        tuning: The share of the rows, in (0, 1), or for each row whether it is one of them.
        seed: Of the split and the bootstrap, which are deterministic.
        config: For the calls, for example ``{"max_concurrency": 8}``.

    Returns:
        The scores and the verdict; `HintMeasurement.apply_to` puts it into the policy, and templates follow it.

    Raises:
        CalibrationDataError: Lengths differ, a label is unknown, or too few rows are deferred.
        CompositionError: The prompt cannot be asked with and without hints, or `llm` returns no messages.
        SmallModelError: The small model fails on a row.

    Example:
        .. code-block:: python

            found = measure_hint(small, policy, llm, texts, labels, prompt=PromptPruningTemplate(labels))
            print(found)
            policy = found.apply_to(policy)

    Caveat: it holds for this LLM, prompt and policy, and inputs drawn like these; measure anew when one changes.

    Source: hazards of S4L prompt pruning (Data Shunt+, arXiv 2406.15471; "hallucination amplified by the small model's
    knowledge", arXiv 2510.20278).
    """
    plan = plan_measurement(
        small,
        policy,
        llm,
        inputs,
        labels,
        prompt=prompt,
        candidates=candidates,
        input=input,
        tuning=tuning,
        seed=seed,
    )
    replies = {name: shunt.batch(plan.inputs, config) for name, shunt in plan.shunts.items()}
    return _measured(plan, parser or PromptPruningOutputParser.for_policy(policy), policy.classes, replies, seed)


async def ameasure_hint(
    small: SmallModel,
    policy: ShuntPolicy,
    llm: Runnable[Any, Any],
    inputs: Sequence[Any],
    labels: Sequence[Any],
    *,
    prompt: Prompts,
    candidates: CandidateRule | None = None,
    parser: PromptPruningOutputParser | None = None,
    input: Selector | None = None,  # noqa: A002  the shunt's word
    tuning: float | Sequence[bool] = TUNING_SHARE,
    seed: int = 0,
    config: RunnableConfig | None = None,
) -> HintMeasurement:
    """Do what `measure_hint` does, with `abatch`, one prompt after the other."""
    plan = plan_measurement(
        small,
        policy,
        llm,
        inputs,
        labels,
        prompt=prompt,
        candidates=candidates,
        input=input,
        tuning=tuning,
        seed=seed,
    )
    replies = {name: await shunt.abatch(plan.inputs, config) for name, shunt in plan.shunts.items()}
    return _measured(plan, parser or PromptPruningOutputParser.for_policy(policy), policy.classes, replies, seed)


def _measured(
    plan: Plan,
    parser: PromptPruningOutputParser,
    classes: tuple[str, ...],
    replies: Mapping[str, Sequence[Any]],
    seed: int,
) -> HintMeasurement:
    """Read all replies, choose on the tuning rows, score on the others."""
    _check_messages(replies[PLAIN])
    answers = {name: _read(parser, messages, classes) for name, messages in replies.items()}
    tuning, scored = plan.tuning, ~plan.tuning
    small = plan.probabilities.argmax(axis=1)
    large = _opinions(parser, replies[PLAIN], answers[PLAIN], classes)
    fusion = Fusion.fit(plan.probabilities[tuning], large[tuning], plan.targets[tuning])
    fused = fusion.probabilities(plan.probabilities, large).argmax(axis=1)
    plain_right = (answers[PLAIN] == plan.targets)[scored]
    scores = {
        name: score_answers(
            name,
            given[scored],
            plan.targets[scored],
            small[scored],
            plain_right,
            invalid=_invalid(parser, replies[name], scored) if name in replies else 0.0,
            tokens=_tokens(replies[name], scored) if name in replies else None,
            seed=seed,
        )
        for name, given in {SMALL: small, FUSION: fused, **answers}.items()
    }
    right_when_tuning = {name: int((answers[name] == plan.targets)[tuning].sum()) for name in answers if name != PLAIN}
    best = max(right_when_tuning, key=right_when_tuning.__getitem__)
    verdict, reason = verdict_of(best, scores, seed)
    return HintMeasurement(
        verdict=verdict,
        reason=reason,
        n=plan.n,
        n_tuning=int(tuning.sum()),
        n_scored=int(scored.sum()),
        fusion_weight=fusion.weight,
        scores=scores,
        rows=tuple(plan.positions[scored].tolist()),
        seed=seed,
    )


def _check_messages(replies: Sequence[Any]) -> None:
    if not all(isinstance(reply, BaseMessage) for reply in replies):
        kinds = sorted({type(reply).__name__ for reply in replies})
        raise CompositionError(
            f"measure_hint reads the messages of a chat model; llm returned {kinds}: leave the parser out of llm, and "
            "give it as parser=..."
        )


def _read(parser: PromptPruningOutputParser, replies: Sequence[Any], classes: tuple[str, ...]) -> Columns:
    """Return ``(m,)`` columns of the answers; an option that is no class (the escape) is no answer."""
    read = parser if parser.on_invalid == "small" else parser.model_copy(update={"on_invalid": "none"})
    answers = read.batch(list(replies))
    return answer_columns([answer if answer in classes else None for answer in answers], classes)


def _invalid(parser: PromptPruningOutputParser, replies: Sequence[Any], rows: BoolArray) -> float:
    strict = parser.model_copy(update={"on_invalid": "none"})
    answers = strict.batch([reply for reply, wanted in zip(replies, rows, strict=True) if wanted])
    return sum(answer is None for answer in answers) / len(answers)


def _opinions(
    parser: PromptPruningOutputParser, replies: Sequence[Any], answers: Columns, classes: tuple[str, ...]
) -> FloatArray:
    """Return ``(m, k)`` what the large model finds of each class: by log-probabilities, else by the label it names."""
    k = len(classes)
    opinions = np.full((len(replies), k), 1 / k)
    for row, (reply, answer) in enumerate(zip(replies, answers, strict=True)):
        try:
            found = parser.distribution(reply, classes)
        except InvalidInputError:
            if answer != NO_ANSWER:
                opinions[row] = (1 - VOTE) / (k - 1)
                opinions[row, answer] = VOTE
        else:
            opinions[row] = [found[label] for label in classes]
    normal: FloatArray = opinions / opinions.sum(axis=1, keepdims=True)
    return normal


def _tokens(replies: Sequence[Any], rows: BoolArray) -> TokensACall | None:
    usages = [reply.usage_metadata for reply, wanted in zip(replies, rows, strict=True) if wanted]
    if not all(usages):
        return None
    return TokensACall(
        read=sum(usage["input_tokens"] for usage in usages) / len(usages),
        written=sum(usage["output_tokens"] for usage in usages) / len(usages),
    )
