"""What is learned on deferred inputs holds there, in simulation, at the level that was asked for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from langchain_datashunt import DropMastered, PredictionSet, ShuntPolicy, TargetRisk, fit_policy, learn_pruning
from langchain_datashunt.candidates.mastered import rarest_first
from langchain_datashunt.candidates.prediction_sets import OUT_OF_REACH
from langchain_datashunt.errors import CalibrationDataError, InfeasibleTargetError, PolicyError, PolicyMismatchError
from langchain_datashunt.policy.calibration import TemperatureScaling

CLASSES = tuple("abcdef")


class Rows:
    """A small model over rows of a known population; an input is a row of probabilities with a number of its own.

    The rare classes ``e`` and ``f`` are told with near certainty, the others are confused; the model is overconfident.
    """

    classes_ = CLASSES
    version = "rows-1"

    def predict_proba(self, inputs: Sequence[tuple[int, tuple[float, ...]]]) -> Any:
        return np.array([row for _, row in inputs])


def draw(n: int, rng: np.random.Generator) -> tuple[list[Any], list[str]]:
    targets = rng.choice(6, size=n, p=[0.25, 0.25, 0.2, 0.2, 0.05, 0.05])
    logits = rng.normal(size=(n, 6)) * 1.5
    logits[np.arange(n), targets] += np.where(targets >= 4, 9.0, 2.5)
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    inputs = [(int(i), tuple(row)) for i, row in zip(rng.integers(0, 2**62, n), shares.tolist(), strict=True)]
    return inputs, [CLASSES[target] for target in targets]


POLICY = ShuntPolicy(CLASSES, 0.8, calibration=TemperatureScaling(1.2), small_model_version="rows-1")


def reached(policy: ShuntPolicy, inputs: list[Any], labels: list[str]) -> tuple[float, float]:
    """Return how often the true label of a deferred row is a candidate, and how many candidates there are."""
    judged = policy.judge(Rows().predict_proba(inputs))
    assert policy.candidate_rule is not None
    kept = policy.candidate_rule.select(judged.probabilities)[~judged.accepted]
    targets = np.array([CLASSES.index(label) for label in labels])[~judged.accepted]
    return float(kept[np.arange(len(kept)), targets].mean()), float(kept.sum(axis=1).mean())


@given(st.integers(0, 400), st.sampled_from([0.5, 0.8, 0.9, 0.95, 0.99]))
def test_fewer_rows_than_needed_raise_and_say_how_many_are(n: int, level: float) -> None:
    rule = PredictionSet(level)
    scores = np.linspace(0.1, 0.9, n)
    if n >= rule.rows_needed:
        bound = rule.min_probability(scores)
        below = (scores < bound).sum()
        assert below / (n + 1) <= 1 - level < (below + 2) / (n + 1) + 1e-9
    else:
        with pytest.raises(CalibrationDataError, match=f"needs at least {rule.rows_needed} deferred rows"):
            rule.min_probability(scores)


@pytest.mark.parametrize(("level", "needed"), [(0.5, 1), (0.8, 4), (0.9, 9), (0.95, 19), (0.99, 99)])
def test_the_rows_needed_are_exact_although_levels_are_no_binary_fractions(level: float, needed: int) -> None:
    assert PredictionSet(level).rows_needed == needed


def test_the_set_holds_its_level_among_deferred_inputs_on_average_over_draws() -> None:
    rng = np.random.default_rng(0)
    shares = []
    for _ in range(60):
        policy = learn_pruning(POLICY, Rows(), *draw(300, rng), PredictionSet(0.9))
        shares.append(reached(policy, *draw(2000, rng))[0])
    spread = np.std(shares) / np.sqrt(len(shares))
    assert np.mean(shares) > 0.9 - 3 * spread
    assert np.mean(shares) < 0.9 + 1 / 150 + 3 * spread  # 1 / (n + 1): about 160 of 300 rows are deferred


def test_with_dropped_classes_the_level_holds_for_what_is_offered_in_the_end() -> None:
    rng = np.random.default_rng(1)
    shares, unanswerable = [], []
    for _ in range(40):
        policy = learn_pruning(POLICY, Rows(), *draw(900, rng), PredictionSet(0.9), DropMastered(0.04))
        assert policy.pruning is not None
        assert policy.pruning.mastered is not None
        assert set(policy.pruning.mastered.dropped) <= {"e", "f"}
        inputs, labels = draw(2000, rng)
        shares.append(reached(policy, inputs, labels)[0])
        hard = ~policy.accepts(Rows().predict_proba(inputs))
        unanswerable.append(np.isin(np.array(labels)[hard], policy.pruning.mastered.dropped).mean())
    assert np.mean(shares) > 0.9 - 3 * np.std(shares) / np.sqrt(len(shares))
    assert np.mean(np.array(unanswerable) > 0.04) <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 40)


def test_dropping_too_much_for_the_level_raises() -> None:
    with pytest.raises(InfeasibleTargetError, match="drop fewer"):
        PredictionSet(0.9).min_probability(np.array([OUT_OF_REACH] * 20 + [0.5] * 80))


def test_what_was_learned_travels_in_the_policy_and_its_id() -> None:
    rng = np.random.default_rng(2)
    learned = learn_pruning(POLICY, Rows(), *draw(900, rng), PredictionSet(0.9), DropMastered(0.04))
    assert learned.policy_id != POLICY.policy_id
    back = ShuntPolicy.from_dict(learned.to_dict())
    assert back == learned
    assert back.candidate_rule == learned.candidate_rule
    again = learn_pruning(learned, Rows(), *draw(600, rng), PredictionSet(0.8))
    assert again.pruning is not None
    assert again.pruning.mastered is None
    assert again.threshold == POLICY.threshold


def test_the_order_of_rows_changes_nothing() -> None:
    inputs, labels = draw(900, np.random.default_rng(3))
    rules = (PredictionSet(0.9), DropMastered(0.04))
    backwards = learn_pruning(POLICY, Rows(), inputs[::-1], labels[::-1], *rules)
    assert backwards == learn_pruning(POLICY, Rows(), inputs, labels, *rules)


def test_rows_that_fitted_the_policy_are_refused() -> None:
    inputs, labels = draw(2000, np.random.default_rng(5))
    policy = fit_policy(Rows(), inputs, labels, TargetRisk(0.1))
    with pytest.raises(CalibrationDataError, match="these rows fitted the policy"):
        learn_pruning(policy, Rows(), inputs, labels, PredictionSet(0.9))


@given(st.lists(st.integers(0, 5), min_size=1, max_size=50))
def test_the_rarest_classes_come_first(targets: list[int]) -> None:
    flat = np.full((len(targets), 6), 1 / 6)
    counts = np.bincount(targets, minlength=6)
    assert (np.diff(counts[rarest_first(flat, np.array(targets))]) >= 0).all()


def test_too_few_rows_or_no_rare_class_to_drop_raise() -> None:
    rule = DropMastered(0.02)
    with pytest.raises(CalibrationDataError, match="needs at least 149 deferred rows to certify; got 148"):
        rule.dropped(np.arange(6), np.zeros(148, dtype=np.intp))
    with pytest.raises(InfeasibleTargetError, match="50 of 300 deferred rows are of the rarest class"):
        rule.dropped(np.arange(6), np.repeat(np.arange(6), 50))
    assert rule.dropped(np.arange(6), np.full(149, 5)).tolist() == [0, 1, 2, 3]  # two labels are always left


INPUTS, LABELS = draw(40, np.random.default_rng(6))


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"rules": ()}, PolicyError, "or one of each; got"),
        ({"rules": (PredictionSet(0.8), PredictionSet(0.9))}, PolicyError, "or one of each"),
        ({"rules": (0.9,)}, PolicyError, "or one of each"),
        ({"labels": LABELS[:3]}, CalibrationDataError, "40 inputs and 3 labels"),
        ({"labels": ["x"] * 40}, CalibrationDataError, "among the small model's classes"),
        ({"inputs": [], "labels": []}, CalibrationDataError, "0 inputs"),
        ({"rules": (PredictionSet(0.99),)}, CalibrationDataError, "needs at least 99 deferred rows"),
        ({"policy": ShuntPolicy(CLASSES, 0.8, small_model_version="rows-2")}, PolicyMismatchError, "rows-2"),
    ],
)
def test_what_cannot_be_learned_is_refused(change: dict[str, Any], error: type[Exception], message: str) -> None:
    given_ = {"policy": POLICY, "inputs": INPUTS, "labels": LABELS, "rules": (PredictionSet(0.5),), **change}
    with pytest.raises(error, match=message):
        learn_pruning(given_["policy"], Rows(), given_["inputs"], given_["labels"], *given_["rules"])


@pytest.mark.parametrize("value", [0, 1, -0.5, 1.5, True, "0.9", None])
def test_levels_and_shares_outside_zero_and_one_are_refused(value: Any) -> None:
    for make in (PredictionSet, DropMastered, lambda share: DropMastered(0.1, share)):
        with pytest.raises(PolicyError, match="strictly between 0 and 1"):
            make(value)
