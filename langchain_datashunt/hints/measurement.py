"""What a measurement of hints found: the scores side by side, and the verdict with its reason."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, get_args

import numpy as np

from langchain_datashunt.evaluation import bootstrap_interval
from langchain_datashunt.policy.certification import exact_interval
from langchain_datashunt.policy.pruning_facts import Hints
from langchain_datashunt.policy.shunt_policy import ShuntPolicy
from langchain_datashunt.types import BoolArray

PLAIN = "none"
"""The prompt without hints."""

SMALL, FUSION = "small model", "log-linear fusion"
"""The two baselines, which need no prompt with hints."""


@dataclass(frozen=True, slots=True)
class TokensACall:
    """Mean tokens of a call.

    Attributes:
        read: Of the prompt.
        written: Of the reply.
    """

    read: float
    written: float


@dataclass(frozen=True, slots=True, eq=False)
class AnswerScore:
    """One way of answering the deferred inputs, on the n scored rows.

    Attributes:
        name: A prompt's name, or a baseline's.
        accuracy: Share of right answers; an invalid reply is a wrong answer, unless the parser falls back.
        interval: 95 % Clopper-Pearson interval of it.
        gain: Accuracy minus that of the prompt without hints.
        gain_interval: Its paired 95 % bootstrap interval over rows.
        where_small_is_right: Accuracy on the rows that the small model has right; None without such rows.
        where_small_is_wrong: Accuracy on the others. A hint that anchors raises the first and lowers this one.
        repeats_its_mistakes: Share of the small model's mistakes that are answered with the same wrong label.
        invalid: Share of replies that name no label.
        tokens: None for a baseline, and where the model does not report its usage.
        right: ``(n,)``, for analyses of one's own.
    """

    name: str
    accuracy: float
    interval: tuple[float, float]
    gain: float
    gain_interval: tuple[float, float]
    where_small_is_right: float | None
    where_small_is_wrong: float | None
    repeats_its_mistakes: float | None
    invalid: float
    tokens: TokensACall | None
    right: BoolArray = field(repr=False)

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON, without `right`."""
        record = asdict(replace(self, right=np.zeros(0, dtype=np.bool_)))
        del record["right"]
        return {**record, "interval": list(self.interval), "gain_interval": list(self.gain_interval)}


@dataclass(frozen=True, slots=True, eq=False)
class HintMeasurement:
    """Whether hints help a large model on the inputs that a policy defers.

    Attributes:
        verdict: The prompt that helps, or ``"none"``.
        reason: One sentence, with the numbers.
        n: Rows given.
        n_tuning: Deferred rows that chose the fusion's weight and the hint to be judged; they are not scored.
        n_scored: The other deferred rows.
        fusion_weight: Of the large model in the fusion, in [0, 1].
        scores: By name: the baselines ``"small model"`` and ``"log-linear fusion"``, then the prompts.
        rows: ``(n_scored,)`` positions of the scored rows among those given.
        seed: Of the split and the bootstrap.
    """

    verdict: str
    reason: str
    n: int
    n_tuning: int
    n_scored: int
    fusion_weight: float
    scores: Mapping[str, AnswerScore]
    rows: tuple[int, ...] = field(repr=False)
    seed: int

    def __str__(self) -> str:
        """Return the table and the verdict as they are printed."""
        head = f"{'on ' + format(self.n_scored, ',') + ' deferred inputs':26} {'right':>6}  gain over no hints (95 %)"
        lines = [f"{head}   small right / wrong   invalid   tokens read"]
        for score in self.scores.values():
            low, high = score.gain_interval
            gain = "" if score.name == PLAIN else f"{score.gain:+.3f} ({low:+.3f} to {high:+.3f})"
            split = f"{_share(score.where_small_is_right)} / {_share(score.where_small_is_wrong)}"
            tokens = "" if score.tokens is None else f"{score.tokens.read:.0f}"
            lines.append(
                f"{score.name:26} {score.accuracy:6.3f}  {gain:27} {split:^19} {score.invalid:7.1%} {tokens:>11}"
            )
        return "\n".join([*lines, f"hints: {self.verdict} - {self.reason}"])

    def to_dict(self) -> dict[str, Any]:
        """Return the evidence as plain JSON."""
        named = {
            name: getattr(self, name)
            for name in ("verdict", "reason", "n", "n_tuning", "n_scored", "fusion_weight", "seed")
        }
        return {**named, "scores": [score.to_dict() for score in self.scores.values()]}

    def apply_to(self, policy: ShuntPolicy) -> ShuntPolicy:
        """Return the policy with the verdict, which a `PromptPruningTemplate` follows, and with the evidence for it.

        A verdict for a prompt of your own ("transfer") is nothing that a template could follow: then only the evidence
        is added, as ``metrics["hints"]``.
        """
        told = policy.with_pruning(hints=self.verdict) if self.verdict in get_args(Hints) else policy
        return replace(told, metrics={**(policy.metrics or {}), "hints": self.to_dict()})


def score_answers(
    name: str,
    answers: np.ndarray[Any, Any],
    targets: np.ndarray[Any, Any],
    small: np.ndarray[Any, Any],
    plain_right: BoolArray,
    *,
    invalid: float = 0.0,
    tokens: TokensACall | None = None,
    seed: int = 0,
) -> AnswerScore:
    """Score one way of answering.

    Args:
        name: Of it.
        answers: ``(n,)`` columns.
        targets: ``(n,)`` columns of the true labels.
        small: ``(n,)`` columns of the small model's answers.
        plain_right: ``(n,)``, where the prompt without hints is right.
        invalid: Share of invalid replies.
        tokens: A call.
        seed: Of the bootstrap.
    """
    right, small_right = answers == targets, small == targets
    change = right.astype(int) - plain_right
    return AnswerScore(
        name=name,
        accuracy=float(right.mean()),
        interval=exact_interval(int(right.sum()), len(right)),
        gain=float(change.mean()),
        gain_interval=bootstrap_interval(change, seed),
        where_small_is_right=_mean(right[small_right]),
        where_small_is_wrong=_mean(right[~small_right]),
        repeats_its_mistakes=_mean((answers == small)[~small_right]),
        invalid=invalid,
        tokens=tokens,
        right=right,
    )


def verdict_of(hint: str, scores: Mapping[str, AnswerScore], seed: int) -> tuple[str, str]:
    """Return the verdict on one hint, and why: it helps only if it is shown to beat all three ways to do without it.

    All three 95 % intervals must lie above zero, so no correction for several comparisons is needed: the verdict errs
    only if each of them does (an intersection-union test).
    """
    compared, beaten = [], True
    for rival in (PLAIN, SMALL, FUSION):
        change = scores[hint].right.astype(int) - scores[rival].right
        low, high = bootstrap_interval(change, seed)
        beaten = beaten and low > 0
        what = "no hints" if rival == PLAIN else rival
        compared.append(f"{change.mean():+.3f} against {what} ({low:+.3f} to {high:+.3f})")
    n = len(scores[hint].right)
    found = f"{', '.join(compared)} on {n:,} deferred inputs, 95 % intervals"
    if beaten:
        return hint, f"{hint!r} beats them all: {found}"
    return PLAIN, f"{hint!r}, the best hint on the tuning rows, is not shown to beat them all: {found}"


def _mean(values: BoolArray) -> float | None:
    return float(values.mean()) if len(values) else None


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
