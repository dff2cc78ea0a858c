"""The one door that makes policies from a small model and labelled rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from math import isnan
from typing import Any

import numpy as np
from numpy.typing import NDArray

from langchain_datashunt.errors import CalibrationDataError, PolicyError
from langchain_datashunt.policy.calibration import Calibration
from langchain_datashunt.policy.calibration_fitting import CalibrationChoice, ChosenCalibration, choose_calibration
from langchain_datashunt.policy.confidence import ConfidenceScore, confidence_of
from langchain_datashunt.policy.goals import EndToEnd, Goal, MaxDeferral, TargetRisk
from langchain_datashunt.policy.reliability import calibration_metrics
from langchain_datashunt.policy.risk_coverage import risk_coverage
from langchain_datashunt.policy.shunt_policy import CalibrationData, ShuntPolicy
from langchain_datashunt.policy.splitting import as_uniform, data_fingerprint, default_certification_share, hash_inputs
from langchain_datashunt.policy.threshold_walks import ScoredRows
from langchain_datashunt.policy.thresholds import FoundThreshold, find_end_to_end, find_max_deferral, find_target_risk
from langchain_datashunt.small_models import class_names, label_name, probability_rows, version_of
from langchain_datashunt.targets import answer_columns, target_columns
from langchain_datashunt.types import BoolArray, FloatArray, SmallModel


def fit_policy(
    small: SmallModel,
    inputs: Sequence[Any],
    labels: Sequence[Any],
    goal: Goal,
    *,
    calibration: CalibrationChoice = "auto",
    confidence_score: ConfidenceScore = "max_probability",
    certification_share: float | None = None,
    seed: int = 0,
) -> ShuntPolicy:
    """Calibrate a small model, find the threshold that meets a goal, and certify it.

    Rows are split once, by a seeded hash of the input: one part fits the calibration and decides which thresholds are
    tested and in what order; the other is used for nothing but counting at those thresholds. So the certificate is
    valid although the threshold was searched. It presumes that rows are drawn like the inputs to come, and that none
    of them trained the small model.

    Args:
        small: A fitted small model.
        inputs: What the small model sees: a list, an array or a column, in the order of the labels (an index of
            pandas is passed over).
        labels: True labels, one an input; each the name of one of the small model's classes.
        goal: What the threshold is asked to do: `TargetRisk`, `MaxDeferral` or `EndToEnd`.
        calibration: ``auto`` chooses by held-out likelihood; or ``none``, ``temperature``, ``isotonic``.
        confidence_score: What the threshold acts on.
        certification_share: Share of the rows that certify (for `MaxDeferral`: that select), in (0, 1). None takes
            nine tenths, and of more than 1,000 rows all but n to the 2/3; the policy says what was taken.
        seed: Of the split.

    Raises:
        TypeError: The goal is none, or the seed is no whole number.
        ValueError: `certification_share` does not lie between 0 and 1.
        PolicyError: The small model has no identity that the policy could be tied to.
        CalibrationDataError: The rows cannot be used: lengths differ, labels unknown, or too few.
        InfeasibleTargetError: No threshold reaches the goal on these rows; the error says what is achievable.
        SmallModelError: The small model's answer is no probability rows.

    Example:
        >>> from langchain_datashunt.testing import KeywordSmallModel
        >>> small = KeywordSmallModel({"positive": ["great"], "negative": ["awful"]})
        >>> texts = [f"a day as {word} as day {i}" for i in range(200) for word in ("great", "awful")]
        >>> policy = fit_policy(small, texts, ["positive", "negative"] * 200, TargetRisk(0.05))
        >>> print(policy.certificate.claim())
        certified at level 0.95 to keep selective risk at or below 0.05 (n = ..., coverage 1.000)
    """
    if not isinstance(goal, Goal):
        raise TypeError(
            f"goal must be a TargetRisk, MaxDeferral or EndToEnd, for example TargetRisk(0.02); got {goal!r:.80}"
        )
    if not isinstance(seed, int):
        raise TypeError(f"seed must be a whole number, got {seed!r}")
    inputs, labels = _listed("inputs", inputs), _listed("labels", labels)
    share = _checked_share(certification_share, len(inputs))
    classes, version = class_names(small), identity_of(small)
    rows = _read_rows(small, inputs, labels, goal, seed)
    certifying = as_uniform(rows.hashes) < share
    fit_part, count_part = rows.where(~certifying), rows.where(certifying)
    _require_both_parts(fit_part, count_part, share)
    chosen = choose_calibration(fit_part.probabilities, fit_part.targets, calibration)
    found = _find_threshold(
        fit_part.scored(chosen.calibration, confidence_score),
        count_part.scored(chosen.calibration, confidence_score),
        goal,
    )
    return ShuntPolicy(
        classes=classes,
        threshold=found.threshold,
        calibration=chosen.calibration,
        confidence_score=confidence_score,
        small_model_version=version,
        goal=goal.to_dict(),
        certificate=found.certificate,
        data=CalibrationData(
            n=len(rows.targets),
            n_calibration=len(fit_part.targets),
            n_certification=len(count_part.targets),
            certification_share=share,
            seed=seed,
            fingerprint=data_fingerprint(inputs, [label_name(label) for label in labels]),
        ),
        metrics=_metrics(chosen, found, count_part, confidence_score),
        created=datetime.now(UTC).date().isoformat(),
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Rows:
    """Labelled rows in the order of their hashes, which is the same however the caller ordered them."""

    hashes: NDArray[np.uint64]
    probabilities: FloatArray
    targets: NDArray[np.intp]
    large_wrong: BoolArray | None
    large_costs: FloatArray | None

    def where(self, mask: BoolArray) -> _Rows:
        return _Rows(
            self.hashes[mask],
            self.probabilities[mask],
            self.targets[mask],
            None if self.large_wrong is None else self.large_wrong[mask],
            None if self.large_costs is None else self.large_costs[mask],
        )

    def scored(self, calibration: Calibration, score: ConfidenceScore) -> ScoredRows:
        calibrated = calibration.apply(self.probabilities)
        wrong = calibrated.argmax(axis=1) != self.targets
        return ScoredRows(confidence_of(calibrated, score), wrong, self.large_wrong, self.large_costs)


def identity_of(small: SmallModel) -> str:
    """Return the identity that a policy is tied to.

    Raises:
        PolicyError: There is none.
    """
    version = version_of(small)
    if version is None:
        raise PolicyError(
            f"{type(small).__name__} has no identity that a policy could be tied to, so another model could take its "
            "place unseen: give it the attribute `version`, a text that changes whenever the model does"
        )
    return version


def _find_threshold(calibration: ScoredRows, certification: ScoredRows, goal: Goal) -> FoundThreshold:
    match goal:
        case TargetRisk():
            return find_target_risk(calibration, certification, goal)
        case MaxDeferral():
            return find_max_deferral(certification, goal)
        case EndToEnd():
            return find_end_to_end(calibration, certification, goal)


def _listed(what: str, rows: Sequence[Any]) -> list[Any]:
    """Return rows by their place: a pandas column is indexed by its labels, which need not be in order."""
    if isinstance(rows, str | bytes):
        raise CalibrationDataError(f"{what} are a list, one entry a row; got one text: {rows[:80]!r}")
    return list(rows)


def _read_rows(small: SmallModel, inputs: list[Any], labels: list[Any], goal: Goal, seed: int) -> _Rows:
    classes = class_names(small)
    n = len(inputs)
    if not n and not len(labels):
        raise CalibrationDataError("there are no rows: a policy is fitted on labelled ones, some hundreds of them")
    if n != len(labels):
        raise CalibrationDataError(f"each input needs one label: got {n} inputs and {len(labels)} labels")
    _refuse_missing(inputs)
    targets = target_columns(labels, classes)
    answers = None if isinstance(goal, TargetRisk) or goal.large_answers is None else list(goal.large_answers)
    if answers is not None and len(answers) != n:
        raise CalibrationDataError(f"each input needs one large answer: got {n} inputs and {len(answers)} answers")
    large_wrong = None if answers is None else answer_columns(answers, classes) != targets
    costs = None if isinstance(goal, TargetRisk) or goal.costs is None else goal.costs.large_of(n)
    hashes = hash_inputs(inputs, seed)
    keys = [column for column in (costs, large_wrong, targets, hashes) if column is not None]
    order = np.lexsort(keys)
    return _Rows(
        hashes[order],
        probability_rows(small.predict_proba([inputs[i] for i in order]), n, classes),
        targets[order],
        None if large_wrong is None else large_wrong[order],
        None if costs is None else costs[order],
    )


def _refuse_missing(inputs: list[Any]) -> None:
    missing = [place for place, each in enumerate(inputs) if each is None or (isinstance(each, float) and isnan(each))]
    if missing:
        raise CalibrationDataError(
            f"{len(missing)} of {len(inputs)} inputs are missing; the first is row {missing[0]}: "
            f"{inputs[missing[0]]!r}; leave such rows out, with their labels"
        )


def _metrics(chosen: ChosenCalibration, found: FoundThreshold, rows: _Rows, score: ConfidenceScore) -> dict[str, Any]:
    """Return what was measured on the way; all but `held_out_nll` on the certification rows."""
    scored = rows.scored(chosen.calibration, score)
    return {
        "held_out_nll": chosen.held_out_nll,
        "uncalibrated": calibration_metrics(rows.probabilities, rows.targets),
        "calibrated": calibration_metrics(chosen.calibration.apply(rows.probabilities), rows.targets),
        "accuracy": 1 - float(scored.wrong.mean()),
        "aurc": risk_coverage(scored.confidence, scored.wrong).area,
        **found.observed,
    }


def _checked_share(share: float | None, n: int) -> float:
    if share is None:
        return default_certification_share(n)
    if isinstance(share, bool) or not isinstance(share, int | float) or not 0 < share < 1:
        raise ValueError(f"certification_share must be a number strictly between 0 and 1, got {share!r}")
    return share


def _require_both_parts(calibration: _Rows, certification: _Rows, share: float) -> None:
    for name, part in (("calibration", calibration), ("certification", certification)):
        if not len(part.targets):
            raise CalibrationDataError(
                f"no row fell into the {name} part ({len(calibration.targets) + len(certification.targets)} rows, "
                f"certification_share={share:g}; rows of equal inputs fall together): give more labelled rows"
            )
