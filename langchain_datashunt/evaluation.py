"""Score a policy on labelled rows that had no part in it, beside everything it must be compared with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from langchain_datashunt.errors import CalibrationDataError
from langchain_datashunt.policy.certification import accepted_sums, exact_interval
from langchain_datashunt.policy.costs import CallCosts
from langchain_datashunt.policy.reliability import calibration_metrics
from langchain_datashunt.policy.risk_coverage import MIN_GROUP_SIZE, GroupRisk, group_risks, risk_coverage
from langchain_datashunt.policy.shunt_policy import ShuntPolicy, require_policy
from langchain_datashunt.policy.thresholds import midpoints
from langchain_datashunt.policy.verdict import TOLERATED_LOSS, Verdict, judge_worth
from langchain_datashunt.small_models import probability_rows
from langchain_datashunt.targets import NO_ANSWER, answer_columns, target_columns
from langchain_datashunt.types import BoolArray, FloatArray

RESAMPLES = 10_000

Columns = NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class SystemScore:
    """One way of answering, scored on all rows.

    Attributes:
        name: What answers.
        accuracy: Share of right answers; of the random shunt, its mean.
        accuracy_interval: 95 % Clopper-Pearson interval; None for the random shunt.
        macro_f1: Mean F1 of the classes that occur as label or answer; None for the random shunt.
        large_calls: Share of inputs that cost a large call.
        cost: An input; None without costs.
    """

    name: str
    accuracy: float
    accuracy_interval: tuple[float, float] | None
    macro_f1: float | None
    large_calls: float
    cost: float | None


@dataclass(frozen=True, slots=True)
class Evaluation:
    """A policy on held-out rows.

    Attributes:
        n: Rows.
        coverage: Share accepted.
        selective_risk: Errors among the accepted; None where none is.
        selective_risk_interval: 95 % Clopper-Pearson interval of it.
        aurc: Area under the risk-coverage curve.
        uncalibrated: ECE, NLL, Brier score of the small model's own probabilities.
        calibrated: The same after calibration.
        systems: Small alone, and with the large model's answers: large alone, random shunt, cascade.
        accuracy_change: The cascade's accuracy minus the large model's, and its paired 95 % bootstrap interval over
            rows; None without the large model's answers.
        verdict: None without costs.
        classes: Selective risk by the label that the small model gives.
        groups: Selective risk by group; empty without groups.
    """

    n: int
    coverage: float
    selective_risk: float | None
    selective_risk_interval: tuple[float, float]
    aurc: float
    uncalibrated: dict[str, Any]
    calibrated: dict[str, Any]
    systems: tuple[SystemScore, ...]
    accuracy_change: tuple[float, tuple[float, float]] | None
    verdict: Verdict | None
    classes: tuple[GroupRisk, ...]
    groups: tuple[GroupRisk, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON."""
        return asdict(self)


@dataclass(frozen=True, slots=True, eq=False)
class CascadeCurve:
    """A cascade at every threshold that splits the rows, from accepting few to accepting all.

    The best point of the curve is chosen with hindsight: it is no estimate of what a fitted policy reaches.

    Attributes:
        thresholds: ``(m,)`` falling.
        cost: ``(m,)`` cost an input; without prices the share of large calls.
        accuracy: ``(m,)`` of the system.
    """

    thresholds: FloatArray
    cost: FloatArray
    accuracy: FloatArray


def cascade_curve(
    confidence: FloatArray, small_right: BoolArray, large_right: BoolArray, costs: CallCosts | None = None
) -> CascadeCurve:
    """Return cost and accuracy of a cascade at every threshold.

    Args:
        confidence: ``(n,)``, n at least 1.
        small_right: ``(n,)``.
        large_right: ``(n,)``.
        costs: Of the calls.
    """
    n = len(confidence)
    thresholds = np.append(1.0 + 1e-9, midpoints(confidence))  # the first defers everything
    large_costs = np.ones(n) if costs is None else costs.large_of(n)
    small_cost = 0.0 if costs is None else costs.small
    saved = accepted_sums(confidence, large_costs, thresholds)
    gained = accepted_sums(confidence, small_right.astype(np.intp) - large_right, thresholds)
    return CascadeCurve(thresholds, small_cost + (large_costs.sum() - saved) / n, (large_right.sum() + gained) / n)


def evaluate_policy(
    policy: ShuntPolicy,
    probabilities: FloatArray,
    labels: Sequence[Any],
    *,
    large_answers: Sequence[Any] | None = None,
    costs: CallCosts | None = None,
    groups: Sequence[str] | None = None,
    min_group_size: int = MIN_GROUP_SIZE,
    tolerated_loss: float = TOLERATED_LOSS,
    seed: int = 0,
) -> Evaluation:
    """Score a policy on rows that neither trained the small model nor fitted the policy.

    Args:
        policy: The policy.
        probabilities: ``(n, k)`` of the small model, uncalibrated, n at least 1.
        labels: True labels.
        large_answers: The large model's parsed answers, None where a reply was invalid.
        costs: Of the calls; one large cost, or one an input.
        groups: A name an input, for risks by group.
        min_group_size: Accepted rows below which no risk of a class or group is stated.
        tolerated_loss: Accuracy that a cascade worth shunting may lose, for the verdict.
        seed: Of the bootstrap.

    Raises:
        CalibrationDataError: Lengths differ, there are no rows, or a label is unknown.
        SmallModelError: The probabilities are none: texts, logits, or a column too many.
        ValueError: `tolerated_loss` does not lie in [0, 1].
        TypeError: `costs` are no `CallCosts`.
        PolicyError: `policy` is none.

    Example:
        >>> policy = ShuntPolicy(("negative", "positive"), threshold=0.9)
        >>> evaluation = evaluate_policy(policy, np.array([[0.05, 0.95], [0.6, 0.4]]), ["positive", "positive"])
        >>> evaluation.coverage, evaluation.selective_risk
        (0.5, 0.0)
    """
    require_policy(policy)
    targets = target_columns(labels, policy.classes)
    n = len(targets)
    if not n or len(probabilities) != n:
        raise CalibrationDataError(f"got {len(probabilities)} probability rows and {n} labels: give one label a row")
    if not 0 <= tolerated_loss <= 1:
        raise ValueError(f"tolerated_loss is a share of accuracy and must lie in [0, 1], got {tolerated_loss!r}")
    if costs is not None and not isinstance(costs, CallCosts):
        raise TypeError(f"costs must be CallCosts(small, large), got {costs!r}")
    probabilities = probability_rows(probabilities, n, policy.classes)
    calibrated, confidence, accepted = policy.judge(probabilities)
    small = calibrated.argmax(axis=1)
    wrong = small != targets
    n_accepted, n_errors = int(accepted.sum()), int((accepted & wrong).sum())
    large = None if large_answers is None else answer_columns(large_answers, policy.classes)
    if large is not None and len(large) != n:
        raise CalibrationDataError(f"got {len(large)} large answers for {n} rows")
    change = None if large is None else _paired_change(accepted, small, large, targets, seed)
    return Evaluation(
        n=n,
        coverage=n_accepted / n,
        selective_risk=n_errors / n_accepted if n_accepted else None,
        selective_risk_interval=exact_interval(n_errors, n_accepted),
        aurc=risk_coverage(confidence, wrong).area,
        uncalibrated=calibration_metrics(probabilities, targets),
        calibrated=calibration_metrics(calibrated, targets),
        systems=_systems(accepted, small, large, targets, costs),
        accuracy_change=change,
        verdict=None
        if costs is None
        else judge_worth(accepted, costs, None if change is None else change[1], tolerated_loss),
        classes=tuple(group_risks(accepted, wrong, np.array(policy.classes)[small].tolist(), min_group_size)),
        groups=() if groups is None else tuple(group_risks(accepted, wrong, groups, min_group_size)),
    )


def _systems(
    accepted: BoolArray, small: Columns, large: Columns | None, targets: Columns, costs: CallCosts | None
) -> tuple[SystemScore, ...]:
    n = len(targets)
    nobody, everybody = np.zeros(n, dtype=np.bool_), np.ones(n, dtype=np.bool_)
    scores = [_score("small alone", small, targets, everybody, costs)]
    if large is None:
        return tuple(scores)
    fallen_back = np.where(large == NO_ANSWER, small, large)
    scores.append(_score("large alone", large, targets, nobody, costs, small_calls=False))
    has_invalid = bool((large == NO_ANSWER).any())
    if has_invalid:
        scores.append(_score("large alone, invalid replies by small", fallen_back, targets, nobody, costs))
    scores.append(_random_shunt(float(accepted.mean()), scores[0], scores[1], costs, n))
    scores.append(_score("cascade", np.where(accepted, small, large), targets, accepted, costs))
    if has_invalid:
        answers = np.where(accepted, small, fallen_back)
        scores.append(_score("cascade, invalid replies by small", answers, targets, accepted, costs))
    return tuple(scores)


def _score(  # noqa: PLR0917  one row of a table
    name: str,
    answers: Columns,
    targets: Columns,
    accepted: BoolArray,
    costs: CallCosts | None,
    small_calls: bool = True,
) -> SystemScore:
    right = int((answers == targets).sum())
    cost = None
    if costs is not None:
        cost = float(costs.of_cascade(accepted).mean()) - (0.0 if small_calls else costs.small)
    return SystemScore(
        name=name,
        accuracy=right / len(targets),
        accuracy_interval=exact_interval(right, len(targets)),
        macro_f1=macro_f1(answers, targets),
        large_calls=1 - float(accepted.mean()),
        cost=cost,
    )


def _random_shunt(
    coverage: float, small: SystemScore, large: SystemScore, costs: CallCosts | None, n: int
) -> SystemScore:
    """Return the mean score of accepting the same share of inputs at random."""
    accuracy = coverage * small.accuracy + (1 - coverage) * large.accuracy
    cost = None if costs is None else costs.small + (1 - coverage) * float(costs.large_of(n).mean())
    return SystemScore("random shunt at the same rate", accuracy, None, None, 1 - coverage, cost)


def _paired_change(
    accepted: BoolArray, small: Columns, large: Columns, targets: Columns, seed: int
) -> tuple[float, tuple[float, float]]:
    change = np.where(accepted, (small == targets).astype(int) - (large == targets), 0)
    return float(change.mean()), bootstrap_interval(change, seed)


def bootstrap_interval(changes: NDArray[np.integer], seed: int = 0, resamples: int = RESAMPLES) -> tuple[float, float]:
    """Return the 95 % percentile bootstrap interval over rows of the mean of paired changes in {-1, 0, 1}.

    Resampling such rows is drawing the three counts from a multinomial distribution, which is what is done.
    """
    n = len(changes)
    shares = [float((changes == value).sum()) / n for value in (-1, 0, 1)]
    draws = np.random.default_rng(seed).multinomial(n, shares, size=resamples)
    low, high = np.quantile((draws[:, 2] - draws[:, 0]) / n, [0.025, 0.975])
    return float(low), float(high)


def macro_f1(answers: Columns, targets: Columns) -> float:
    """Return the mean F1 over the classes that occur as an answer or as a label; invalid answers are no class."""
    k = int(max(answers.max(), targets.max())) + 1
    hits = np.bincount(targets[answers == targets], minlength=k)
    total = np.bincount(answers[answers != NO_ANSWER], minlength=k) + np.bincount(targets, minlength=k)
    return float(np.mean(2 * hits[total > 0] / total[total > 0]))
