from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hard_samples import sample
from made_up_texts import CLASSES, answered, draw, linear_model

from langchain_datashunt.distillation.lessons import LessonRules, Material, make_lessons
from langchain_datashunt.distillation.stages import Lessons
from langchain_datashunt.errors import CalibrationDataError, DistillationError, PolicyMismatchError
from langchain_datashunt.policy.calibration import NoCalibration
from langchain_datashunt.policy.shunt_policy import ShuntPolicy
from langchain_datashunt.small_models import FunctionClassifier
from langchain_datashunt.store import HardSampleStore

SURE = {"sure positive": 0.95, "sure negative": 0.05}


def frozen(texts: Any) -> Any:
    positive = np.array([SURE.get(text, 0.6) for text in texts])
    return np.column_stack([1 - positive, positive])


SMALL = FunctionClassifier(frozen, classes=CLASSES, version="1")
POLICY = ShuntPolicy(
    classes=CLASSES,
    threshold=0.9,
    calibration=NoCalibration(),
    confidence_score="max_probability",
    small_model_version="1",
)
RULES = {"teacher_prior": 0.9, "min_teacher_confidence": 0.5, "soft_labels": True, "retain_weight": 1.0}


def lessons(*samples: Any, rules: Any = None, **material: Any) -> Lessons:
    return make_lessons(SMALL, Material(samples=samples, **material), LessonRules(**{**RULES, **(rules or {})}))


def test_a_hard_sample_teaches_the_teachers_answer_weighted_by_the_prior() -> None:
    made = lessons(sample("a", label="negative"))
    assert made.acquire.inputs == ["a"]
    assert made.acquire.targets.tolist() == [[1.0, 0.0]]
    assert made.acquire.weights.tolist() == [0.9]
    assert made.counts["acquire"] == 1


def test_the_log_keeps_an_array_as_a_list_which_is_held_out_all_the_same() -> None:
    rows = np.array([[0.25, 1.5], [0.5, 2.5]])
    small = FunctionClassifier(lambda given: np.full((len(given), 2), 0.5), classes=CLASSES, version="1")
    samples = [sample(row.tolist(), label="negative") for row in rows]
    made = make_lessons(small, Material(samples=samples, held_out=rows[:1]), LessonRules(**RULES))
    assert (made.counts["held_out"], made.acquire.inputs) == (1, [[0.5, 2.5]])


@pytest.mark.parametrize("copy", ["Works as  described.\n", "WORKS AS DESCRIBED.", "\u00a0works as described."])
def test_a_text_that_reads_like_one_held_out_never_trains_either(copy: str) -> None:
    made = lessons(
        sample("a"),
        sample(copy),
        sample(copy, route="audit", sampling_probability=0.5),
        sample(copy, gold="positive"),
        replay=[copy, "b"],
        gold=([copy], ["positive"]),
        held_out=["Works as described."],
    )
    assert (made.acquire.inputs, made.retain.inputs) == (["a"], ["b"])
    assert made.counts["held_out"] == 4


def test_conflicting_answers_are_a_soft_label_of_less_confidence() -> None:
    made = lessons(sample("a", answers={"negative": 3, "positive": 1}))
    assert made.acquire.targets.tolist() == [[0.75, 0.25]]
    assert made.acquire.weights[0] == pytest.approx(0.9 * 0.75)


def test_the_teachers_distribution_is_a_soft_label_where_its_log_probabilities_told_it() -> None:
    told = {"classes": ("positive", "negative", "neutral"), "answers": {"negative": 4}}
    made = lessons(
        sample("a", teacher_probabilities=(0.2, 0.6, 0.1), **told),
        sample("b", teacher_probabilities=(0.4, 0.3, 0.0), **told),
    )
    np.testing.assert_allclose(made.acquire.targets, [[0.75, 0.25]])
    assert made.acquire.weights.tolist() == pytest.approx([0.6])
    assert made.counts["below_gate"] == 1


def test_hard_labels_learn_the_most_frequent_answer() -> None:
    answers = {"negative": 3, "positive": 1}
    made = lessons(sample("a", answers=answers), replay=["sure positive"], rules={"soft_labels": False})
    assert made.acquire.targets.tolist() == [[1.0, 0.0]]
    assert made.retain.targets.tolist() == [[0.0, 1.0]]
    assert made.acquire.weights[0] == pytest.approx(0.9 * 0.75)


def test_repeated_agreeing_answers_make_no_teacher_surer_than_the_prior() -> None:
    assert lessons(sample("a", answers={"negative": 50})).acquire.weights.tolist() == [0.9]


def test_the_gate_on_confidence_drops_unsure_answers() -> None:
    made = lessons(sample("a"), sample("b", answers={"negative": 1, "positive": 1}))
    assert made.acquire.inputs == ["a"]
    assert made.counts["below_gate"] == 1
    open_gate = lessons(
        sample("a"), sample("b", answers={"negative": 1, "positive": 1}), rules={"min_teacher_confidence": 0.0}
    )
    assert open_gate.counts["below_gate"] == 0


def test_what_cannot_train_is_left_out_and_counted() -> None:
    made = lessons(
        sample("a"),
        sample("b", complete=False, label=None),
        sample("c", teacher_kind="small"),
        sample("d", input=None),
        sample("e", label="neutral"),
        sample("f"),
        held_out=["f"],
    )
    assert made.acquire.inputs == ["a"]
    counted = {name: made.counts[name] for name in ("unusable", "unknown_labels", "held_out")}
    assert counted == {"unusable": 3, "unknown_labels": 1, "held_out": 1}


def test_gold_beats_the_teacher_wherever_it_comes_from() -> None:
    made = lessons(
        sample("a", label="negative"),
        sample("b", label="negative", gold="positive"),
        sample("b", label="negative"),
        gold=(["a"], ["positive"]),
    )
    assert made.acquire.inputs == ["a", "b"]
    assert made.acquire.targets[:, 1].tolist() == [1.0, 1.0]
    assert made.acquire.gold.all()
    assert (made.counts["gold"], made.counts["beaten_by_gold"]) == (2, 2)


def test_an_audit_that_agrees_is_retained_and_one_that_disagrees_is_acquired() -> None:
    audit = {"route": "audit", "reason": "accepted", "sampling_probability": 0.1}
    made = lessons(
        sample("sure positive", label="positive", **audit), sample("sure negative", label="positive", **audit)
    )
    assert made.retain.inputs == ["sure positive"]
    np.testing.assert_allclose(made.retain.targets, [[0.05, 0.95]])
    assert made.acquire.inputs == ["sure negative"]
    assert made.acquire.weights[0] == pytest.approx(0.9 * 10)


def test_rows_weigh_the_inverse_of_their_sampling_probability() -> None:
    audit = {"route": "audit", "reason": "accepted"}
    hard = [sample(f"hard {i}") for i in range(100)]
    made = lessons(
        *hard,
        sample("sure positive", label="positive", sampling_probability=0.05, **audit),
        sample("also", label="positive", sampling_probability=0.5, **audit),
    )
    assert made.retain.weights.tolist() == pytest.approx([20.0, 2.0])


def test_replay_that_the_policy_defers_teaches_nothing() -> None:
    made = lessons(sample("a"), policy=POLICY, replay=["sure positive", "unsure", "sure positive", "a"])
    assert made.retain.inputs == ["sure positive"]
    assert made.counts["unsure_replay"] == 1


def test_a_policy_of_another_model_is_refused() -> None:
    with pytest.raises(PolicyMismatchError):
        lessons(sample("a"), policy=replace(POLICY, small_model_version="2"), replay=["sure positive"])


def test_without_a_policy_all_replay_is_retained_but_held_out_rows() -> None:
    made = lessons(sample("a"), replay=["sure positive", "unsure", "gate"], held_out=["gate"])
    assert made.retain.inputs == ["sure positive", "unsure"]


def test_retaining_never_outweighs_acquiring() -> None:
    made = lessons(sample("a"), replay=[f"text {i}" for i in range(50)])
    assert made.retain.weights.sum() == pytest.approx(made.acquire.weights.sum())
    light = lessons(sample("a"), replay=[f"text {i}" for i in range(50)], rules={"retain_weight": 0.5})
    assert light.retain.weights.sum() == pytest.approx(0.5 * light.acquire.weights.sum())
    assert len(lessons(sample("a"), replay=["b"], rules={"retain_weight": 0}).retain) == 0


def test_nothing_to_learn_from_is_an_error_that_counts_what_came() -> None:
    with pytest.raises(DistillationError, match="'unusable': 1"):
        lessons(sample("a", complete=False))


@pytest.mark.parametrize("samples", [["a text"], "a text", HardSampleStore], ids=["texts", "text", "no iterable"])
def test_samples_that_are_no_records_are_named(samples: Any) -> None:
    with pytest.raises(DistillationError, match=r"as store\.iter_samples\(\) yields.*got (str|type)"):
        make_lessons(SMALL, Material(samples=samples), LessonRules(**RULES))


def test_gold_rows_are_a_pair_of_columns_and_no_list_of_pairs() -> None:
    with pytest.raises(CalibrationDataError, match=r"gold=\(inputs, labels\); got 3 entries"):
        lessons(gold=[("a", "positive"), ("b", "negative"), ("c", "positive")])


def test_a_gold_label_of_another_class_is_an_error() -> None:
    with pytest.raises(CalibrationDataError, match="neutral"):
        lessons(gold=(["a"], ["neutral"]))
    with pytest.raises(CalibrationDataError, match="one label"):
        lessons(gold=(["a"], []))


@pytest.mark.parametrize(
    ("rules", "named"),
    [
        ({"teacher_prior": 0.0}, "teacher_prior"),
        ({"min_teacher_confidence": 1.5}, "min_teacher_confidence"),
        ({"retain_weight": -1.0}, "retain_weight"),
    ],
)
def test_numbers_out_of_range_are_refused_by_name(rules: dict[str, float], named: str) -> None:
    with pytest.raises(DistillationError, match=named):
        LessonRules(**{**RULES, **rules})


def test_the_texts_of_a_drawn_stream_all_arrive() -> None:
    texts, labels = draw(50, seed=0)
    assert linear_model(texts, labels).classes_.tolist() == list(CLASSES)
    assert lessons(*answered(texts, labels)).counts["acquire"] == len(set(texts))
