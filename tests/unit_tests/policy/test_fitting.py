from __future__ import annotations

import resource
import time
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.svm import LinearSVC

from langchain_datashunt.errors import CalibrationDataError, InfeasibleTargetError, SmallModelError
from langchain_datashunt.fitting import fit_policy
from langchain_datashunt.policy.calibration import TemperatureScaling
from langchain_datashunt.policy.costs import CallCosts
from langchain_datashunt.policy.goals import EndToEnd, Goal, MaxDeferral, TargetRisk
from langchain_datashunt.policy.shunt_policy import ShuntPolicy
from langchain_datashunt.policy.splitting import default_certification_share

CLASSES = ("negative", "positive")


class SayingModel:
    """Inputs are ``"<number> <chance of positive>"``; the model says that chance, sharpened."""

    classes_ = CLASSES
    version = "saying-1"

    def predict_proba(self, inputs: Any) -> np.ndarray:
        chance = np.array([float(each.split()[1]) for each in inputs])
        said = chance**2 / (chance**2 + (1 - chance) ** 2)
        return np.column_stack([1 - said, said])


def draw(n: int, seed: int = 0) -> tuple[list[str], list[str], list[str | None]]:
    """Draw inputs, labels, and answers of a large model that is right nine times in ten, or silent."""
    rng = np.random.default_rng(seed)
    sure = 0.5 + 0.5 * rng.beta(2.5, 0.6, n)
    chance = np.where(rng.random(n) < 0.5, sure, 1 - sure)
    targets = (rng.random(n) < chance).astype(int)
    large = np.where(rng.random(n) < 0.9, targets, 1 - targets)
    silent = rng.random(n) < 0.01
    return (
        [f"{i} {each:.17g}" for i, each in enumerate(chance)],
        [CLASSES[target] for target in targets],
        [None if quiet else CLASSES[answer] for answer, quiet in zip(large, silent, strict=True)],
    )


INPUTS, LABELS, LARGE = draw(4_000)
GOALS: dict[str, Goal] = {
    "TargetRisk": TargetRisk(0.05),
    "MaxDeferral": MaxDeferral(0.3),
    "certified MaxDeferral": MaxDeferral(0.3, confidence_level=0.9),
    "MaxDeferral of cost": MaxDeferral(0.3, costs=CallCosts(0.01, 1.0)),
    "most accurate MaxDeferral": MaxDeferral(0.3, large_answers=LARGE),
    "EndToEnd": EndToEnd(LARGE, margin=0.01),
}


def fit(goal: Goal = GOALS["TargetRisk"], **options: Any) -> ShuntPolicy:
    return fit_policy(SayingModel(), INPUTS, LABELS, goal, **options)


def permuted(goal: Goal, order: np.ndarray) -> Goal:
    answers = getattr(goal, "large_answers", None)
    return goal if answers is None else replace(goal, large_answers=[answers[i] for i in order])  # type: ignore[type-var]


@pytest.mark.parametrize("goal", GOALS.values(), ids=GOALS)
def test_the_order_of_the_rows_changes_nothing(goal: Goal) -> None:
    order = np.random.default_rng(1).permutation(len(INPUTS))
    inputs, labels = [INPUTS[i] for i in order], [LABELS[i] for i in order]
    assert fit_policy(SayingModel(), inputs, labels, permuted(goal, order)) == fit(goal)


@pytest.mark.parametrize("goal", GOALS.values(), ids=GOALS)
def test_a_fitted_policy_survives_saving(goal: Goal, tmp_path: Any) -> None:
    policy = fit(goal)
    policy.save(tmp_path / "policy.json")
    assert ShuntPolicy.load(tmp_path / "policy.json") == policy


def test_the_policy_belongs_to_its_model_and_says_what_it_was_asked() -> None:
    policy = fit()
    assert (policy.classes, policy.small_model_version) == (CLASSES, "saying-1")
    assert policy.goal == {"kind": "TargetRisk", "risk": 0.05, "confidence_level": 0.95}
    assert policy.certified
    policy.check(CLASSES, "saying-1")


def test_the_rows_are_split_in_the_shares_that_were_asked_for() -> None:
    data = fit(certification_share=0.7).data
    assert data is not None
    assert data.n == len(INPUTS) == data.n_calibration + data.n_certification
    assert data.n_certification == pytest.approx(0.7 * data.n, rel=0.05)
    assert (data.certification_share, data.seed) == (0.7, 0)


def test_of_many_rows_nearly_all_certify() -> None:
    data = fit().data
    assert data is not None
    assert data.certification_share == default_certification_share(len(INPUTS))
    assert data.n_calibration == pytest.approx(len(INPUTS) ** (2 / 3), rel=0.2)


def test_the_certificate_holds_on_fresh_rows() -> None:
    policy = fit()
    inputs, labels, _ = draw(50_000, seed=9)
    probabilities = SayingModel().predict_proba(inputs)
    judgement = policy.judge(probabilities)
    wrong = np.array(CLASSES)[judgement.probabilities.argmax(axis=1)] != labels
    assert judgement.accepted.mean() > 0.5
    assert wrong[judgement.accepted].mean() <= 0.05


def test_calibration_undoes_the_models_overconfidence() -> None:
    policy = fit(certification_share=0.7)
    assert isinstance(policy.calibration, TemperatureScaling)
    assert policy.calibration.temperature == pytest.approx(2.0, rel=0.15)
    assert policy.metrics is not None
    assert policy.metrics["calibrated"]["ece"] < policy.metrics["uncalibrated"]["ece"]
    assert set(policy.metrics["held_out_nll"]) == {"none", "temperature", "isotonic"}


def test_equal_inputs_stay_in_one_part() -> None:
    twice = fit_policy(SayingModel(), INPUTS * 2, LABELS * 2, TargetRisk(0.05), certification_share=0.9).data
    once = fit(certification_share=0.9).data
    assert twice is not None
    assert once is not None
    assert twice.n_calibration == 2 * once.n_calibration


def test_another_seed_splits_otherwise_and_is_recorded() -> None:
    assert fit(seed=1).threshold != fit().threshold


@pytest.mark.parametrize("score", ["max_probability", "margin", "entropy"])
@pytest.mark.parametrize("calibration", ["auto", "none", "temperature", "isotonic"])
def test_every_score_and_calibration_reaches_the_goal(score: Any, calibration: Any) -> None:
    policy = fit(confidence_score=score, calibration=calibration)
    assert policy.confidence_score == score
    assert policy.certificate is not None
    assert policy.certificate.coverage > 0.4


def test_end_to_end_reports_both_thresholds() -> None:
    metrics = fit(EndToEnd(LARGE, margin=0.01, costs=CallCosts(0.01, 1.0))).metrics
    assert metrics is not None
    assert metrics["cheapest"]["coverage"] >= metrics["most_accurate"]["coverage"]
    assert metrics["cheapest"]["cost"] < metrics["cheapest"]["cost_of_large_alone"]
    assert metrics["large_accuracy"] == pytest.approx(0.89, abs=0.02)


def test_labels_and_answers_may_be_what_classes_are_made_of() -> None:
    class Numbered(SayingModel):
        classes_ = np.array([0, 1])

    targets = [CLASSES.index(label) for label in LABELS]
    policy = fit_policy(Numbered(), INPUTS, np.array(targets), TargetRisk(0.05))
    assert policy.classes == ("0", "1")


def test_an_infeasible_goal_raises() -> None:
    with pytest.raises(InfeasibleTargetError, match="more labelled rows"):
        fit_policy(SayingModel(), INPUTS[:200], LABELS[:200], TargetRisk(0.01))


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"labels": LABELS[:-1]}, CalibrationDataError, "4000 inputs and 3999 labels"),
        ({"labels": ["neutral", *LABELS[1:]]}, CalibrationDataError, r"labels must be among .* found \['neutral'\]"),
        ({"goal": EndToEnd(LARGE[1:], margin=0.01)}, CalibrationDataError, "4000 inputs and 3999 answers"),
        ({"goal": EndToEnd(["I think it is fine"] * 4_000, margin=0.01)}, CalibrationDataError, "parse replies first"),
        ({"goal": MaxDeferral(0.3, costs=CallCosts(0.0, [1.0, 2.0]))}, ValueError, "2 entries for 4000 inputs"),
        ({"inputs": [], "labels": []}, CalibrationDataError, "there are no rows"),
        ({"inputs": "a text", "labels": "a text"}, CalibrationDataError, "inputs are a list.*one text: 'a text'"),
        (
            {"inputs": [None, *INPUTS[1:]]},
            CalibrationDataError,
            "1 of 4000 .* missing; the first is row 0: None",
        ),
        ({"inputs": [*INPUTS[1:], float("nan")]}, CalibrationDataError, "the first is row 3999: nan"),
        ({"inputs": INPUTS[:1], "labels": LABELS[:1]}, CalibrationDataError, "no row fell into the"),
        ({"certification_share": 1.0}, ValueError, "strictly between 0 and 1"),
        ({"calibration": "platt"}, CalibrationDataError, "unknown calibration 'platt'"),
        ({"goal": 0.02}, TypeError, r"for example TargetRisk\(0.02\); got 0.02"),
        ({"goal": TargetRisk}, TypeError, "goal must be a TargetRisk"),
        ({"goal": LABELS}, TypeError, r"got \['[a-z', ]{1,78}$"),
        ({"labels": ["w" * 99, *LABELS[1:]]}, CalibrationDataError, r"found \['w{60}\.\.\.'\]$"),
        ({"seed": 1.5}, TypeError, "seed must be a whole number, got 1.5"),
    ],
)
def test_rows_that_cannot_be_used_are_refused(change: dict[str, Any], error: type[Exception], message: str) -> None:
    arguments: dict[str, Any] = {"inputs": INPUTS, "labels": LABELS, "goal": GOALS["TargetRisk"], **change}
    with pytest.raises(error, match=message):
        fit_policy(SayingModel(), **arguments)


def test_columns_of_a_shuffled_data_frame_are_read_row_by_row() -> None:
    frame = pd.DataFrame({"text": INPUTS, "label": LABELS}).sample(frac=1.0, random_state=0)
    assert fit_policy(SayingModel(), frame["text"], frame["label"], GOALS["TargetRisk"]) == fit()
    part = frame[1::2]  # its index has gaps
    listed = fit_policy(SayingModel(), part["text"].tolist(), part["label"].tolist(), GOALS["TargetRisk"])
    assert fit_policy(SayingModel(), iter(part["text"]), part["label"], GOALS["TargetRisk"]) == listed


@pytest.mark.parametrize("thing", [None, "small", INPUTS, len, LinearSVC()], ids=lambda thing: type(thing).__name__)
def test_what_is_no_small_model_is_refused(thing: Any) -> None:
    with pytest.raises(SmallModelError, match=rf"predict_proba.*got {type(thing).__name__}; .*adapters"):
        fit_policy(thing, INPUTS, LABELS, GOALS["TargetRisk"])


def test_a_model_that_gives_no_probabilities_is_refused() -> None:
    class Broken(SayingModel):
        def predict_proba(self, inputs: Any) -> np.ndarray:
            return np.full((len(inputs), 2), np.nan)

    with pytest.raises(SmallModelError, match="not finite"):
        fit_policy(Broken(), INPUTS, LABELS, TargetRisk(0.05))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: TargetRisk(0.0), "TargetRisk.risk"),
        (lambda: TargetRisk(2), "TargetRisk.risk"),
        (lambda: TargetRisk(0.05, confidence_level=1.0), "confidence_level"),
        (lambda: MaxDeferral(1.0), "MaxDeferral.share"),
        (lambda: MaxDeferral(0.3, confidence_level=0.9, costs=CallCosts(0, 1)), "not of cost"),
        (lambda: MaxDeferral(0.3, costs=0.01), r"MaxDeferral.costs must be CallCosts\(.*got 0.01"),  # type: ignore[arg-type]
        (lambda: EndToEnd([], margin=0.1, costs=0.01), "EndToEnd.costs"),  # type: ignore[arg-type]
        (lambda: EndToEnd([], margin=-0.1), "EndToEnd.margin"),
        (lambda: EndToEnd([], margin=None), "EndToEnd.margin"),  # type: ignore[arg-type]
        (lambda: EndToEnd([], margin=0.1, prefer="fastest"), "EndToEnd.prefer"),  # type: ignore[arg-type]
    ],
)
def test_goals_that_make_no_sense_are_refused(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def test_a_hundred_thousand_rows_of_77_classes_are_fitted_in_five_seconds_and_a_gigabyte() -> None:
    n, k = 100_000, 77
    rng = np.random.default_rng(0)
    targets = rng.integers(0, k, n)
    probabilities = rng.random((n, k), dtype=np.float32)
    probabilities[np.arange(n), targets] += 300 * rng.random(n, dtype=np.float32) ** 2
    probabilities /= probabilities.sum(axis=1, keepdims=True)

    class Remembered:
        classes_ = tuple(f"intent {i}" for i in range(k))
        version = "remembered"

        def predict_proba(self, inputs: Any) -> np.ndarray:
            return probabilities[np.array(inputs)]

    inputs, labels = list(range(n)), [f"intent {i}" for i in targets]
    fit()  # the libraries are loaded by now
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.process_time()
    policy = fit_policy(Remembered(), inputs, labels, TargetRisk(0.05))
    assert time.process_time() - start < 5
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 1_000_000  # KiB
    assert policy.certified
