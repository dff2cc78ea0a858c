from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import f1_score

from langchain_datashunt.errors import CalibrationDataError, SmallModelError
from langchain_datashunt.evaluation import bootstrap_interval, evaluate_policy, macro_f1
from langchain_datashunt.policy.costs import CallCosts
from langchain_datashunt.policy.shunt_policy import ShuntPolicy

POLICY = ShuntPolicy(("a", "b"), threshold=0.8)
ROWS = np.array([[0.9, 0.1], [0.9, 0.1], [0.4, 0.6], [0.3, 0.7]])
LABELS = ["a", "b", "a", "b"]
LARGE = ["a", "a", "a", None]


def by_name(evaluation: Any) -> dict[str, Any]:
    return {system.name: system for system in evaluation.systems}


def test_every_baseline_stands_beside_the_cascade() -> None:
    systems = by_name(evaluate_policy(POLICY, ROWS, LABELS, large_answers=LARGE))
    assert {name: system.accuracy for name, system in systems.items()} == {
        "small alone": 0.5,
        "large alone": 0.5,
        "large alone, invalid replies by small": 0.75,
        "random shunt at the same rate": 0.5,
        "cascade": 0.5,
        "cascade, invalid replies by small": 0.75,
    }
    assert systems["cascade"].large_calls == 0.5
    assert systems["large alone"].large_calls == 1
    assert systems["small alone"].large_calls == 0


def test_without_invalid_replies_there_is_no_fallback_row() -> None:
    systems = by_name(evaluate_policy(POLICY, ROWS, LABELS, large_answers=["a", "b", "a", "b"]))
    assert list(systems) == ["small alone", "large alone", "random shunt at the same rate", "cascade"]
    assert systems["cascade"].accuracy == 0.75


def test_without_large_answers_only_the_small_model_is_scored() -> None:
    evaluation = evaluate_policy(POLICY, ROWS, LABELS)
    assert [system.name for system in evaluation.systems] == ["small alone"]
    assert evaluation.accuracy_change is None
    assert evaluation.verdict is None


def test_coverage_and_selective_risk_are_those_of_the_accepted() -> None:
    evaluation = evaluate_policy(POLICY, ROWS, LABELS)
    assert (evaluation.coverage, evaluation.selective_risk) == (0.5, 0.5)
    assert evaluate_policy(ShuntPolicy(("a", "b"), 1.0), ROWS, LABELS).selective_risk is None


def test_costs_count_the_wasted_small_call_of_deferred_inputs() -> None:
    costs = CallCosts(small=0.1, large=[1.0, 1.0, 2.0, 4.0])
    systems = by_name(evaluate_policy(POLICY, ROWS, LABELS, large_answers=LARGE, costs=costs))
    assert systems["large alone"].cost == pytest.approx(2.0)
    assert systems["cascade"].cost == pytest.approx(0.1 + 6 / 4)
    assert systems["small alone"].cost == pytest.approx(0.1)
    assert systems["random shunt at the same rate"].cost == pytest.approx(0.1 + 1.0)


def test_the_verdict_knows_accuracy_and_cost() -> None:
    evaluation = evaluate_policy(POLICY, ROWS, LABELS, large_answers=LARGE, costs=CallCosts(0.1, 1.0))
    assert evaluation.verdict is not None
    assert not evaluation.verdict.shunt  # four rows prove nothing


def test_groups_are_shown_one_by_one() -> None:
    evaluation = evaluate_policy(POLICY, ROWS, LABELS, groups=["en", "en", "fi", "fi"], min_group_size=2)
    assert [(group.group, group.n_accepted, group.risk) for group in evaluation.groups] == [
        ("en", 2, 0.5),
        ("fi", 0, None),
    ]


def test_classes_are_those_that_the_small_model_gives() -> None:
    classes = evaluate_policy(POLICY, ROWS, LABELS, min_group_size=1).classes
    assert [(each.group, each.n, each.n_accepted, each.risk) for each in classes] == [
        ("a", 2, 2, 0.5),
        ("b", 2, 0, None),
    ]


def test_the_paired_change_is_the_difference_of_the_accuracies() -> None:
    rng = np.random.default_rng(0)
    rows = rng.dirichlet([1, 1], 500)
    labels = rng.choice(["a", "b"], 500).tolist()
    large = rng.choice(["a", "b"], 500).tolist()
    evaluation = evaluate_policy(POLICY, rows, labels, large_answers=large)
    systems = by_name(evaluation)
    assert evaluation.accuracy_change is not None
    change, (low, high) = evaluation.accuracy_change
    assert change == pytest.approx(systems["cascade"].accuracy - systems["large alone"].accuracy)
    assert low < change < high


def test_the_bootstrap_interval_is_that_of_resampled_rows() -> None:
    rng = np.random.default_rng(0)
    changes = rng.choice([-1, 0, 1], 400, p=[0.1, 0.7, 0.2])
    means = rng.choice(changes, (4_000, 400)).mean(axis=1)
    assert bootstrap_interval(changes) == pytest.approx(tuple(np.quantile(means, [0.025, 0.975])), abs=0.005)


def test_macro_f1_is_scikit_learns() -> None:
    rng = np.random.default_rng(0)
    answers, targets = rng.integers(0, 5, 300), rng.integers(0, 5, 300)
    assert macro_f1(answers, targets) == pytest.approx(f1_score(targets, answers, average="macro"))


def test_shuffling_rows_changes_no_number() -> None:
    order = [2, 0, 3, 1]
    evaluation = evaluate_policy(POLICY, ROWS, LABELS, large_answers=LARGE)
    shuffled = evaluate_policy(POLICY, ROWS[order], [LABELS[i] for i in order], large_answers=[LARGE[i] for i in order])
    assert shuffled.systems == evaluation.systems
    assert shuffled.aurc == evaluation.aurc
    assert shuffled.accuracy_change == evaluation.accuracy_change


def test_an_evaluation_is_plain_json() -> None:
    evaluation = evaluate_policy(
        POLICY, ROWS, LABELS, large_answers=LARGE, costs=CallCosts(0.1, 1.0), groups=["x"] * 4, min_group_size=1
    )
    assert json.loads(json.dumps(evaluation.to_dict()))["n"] == 4


@pytest.mark.parametrize(
    ("change", "message"),
    [({"labels": LABELS[1:]}, "4 probability rows and 3 labels"), ({"labels": ["x", *LABELS[1:]]}, "found \\['x'\\]"),
     ({"large_answers": ["a"]}, "1 large answers for 4 rows"), ({"groups": ["x"]}, "1 groups"),
     ({"probabilities": np.empty((0, 2)), "labels": []}, "0 probability rows")],
)  # fmt: skip
def test_rows_that_cannot_be_scored_are_refused(change: dict[str, Any], message: str) -> None:
    arguments: dict[str, Any] = {"probabilities": ROWS, "labels": LABELS, **change}
    with pytest.raises(CalibrationDataError, match=message):
        evaluate_policy(POLICY, **arguments)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"probabilities": 10 * np.array(ROWS)}, SmallModelError, "are they logits"),
        ({"probabilities": np.full((4, 3), 1 / 3)}, SmallModelError, "returned shape"),
        ({"costs": (0.1, 1.0)}, TypeError, "costs must be CallCosts"),
        ({"tolerated_loss": 5}, ValueError, "tolerated_loss is a share"),
    ],
)
def test_arguments_that_make_no_sense_are_refused(change: dict[str, Any], error: type[Exception], message: str) -> None:
    arguments: dict[str, Any] = {"probabilities": ROWS, "labels": LABELS, **change}
    with pytest.raises(error, match=message):
        evaluate_policy(POLICY, **arguments)
