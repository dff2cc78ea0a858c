from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_up_texts import CLASSES, answered, draw, linear_model, other

from langchain_datashunt import MaxDeferral, PromotionGate, TargetRisk, distill
from langchain_datashunt.errors import CalibrationDataError, DistillationError, PolicyError, PolicyMismatchError
from langchain_datashunt.policy.shunt_policy import ShuntPolicy

GOLD, STREAM, GATE = draw(60, seed=1), draw(1500, seed=2), draw(3000, seed=3)
GOAL = TargetRisk(0.1)
SMALL = linear_model(*GOLD)


class Sharpened:
    """A model's answers, pushed towards 0 and 1: the same order of confidence, and far too much of it."""

    def __init__(self, small: Any, power: float) -> None:
        self.small, self.power = small, power
        self.classes_ = small.classes_
        self.version = f"sharpened {power}"

    def predict_proba(self, texts: Any) -> Any:
        rows = self.small.predict_proba(texts) ** self.power
        return rows / rows.sum(axis=1, keepdims=True)


class Careless(Sharpened):
    """Sure of everything alike: it defers nothing at any threshold that it is given, and errs as often as before."""

    def predict_proba(self, texts: Any) -> Any:
        best = self.small.predict_proba(texts).argmax(axis=1)
        return np.where(np.arange(2) == best[:, None], 0.999, 0.001)


@pytest.fixture
def gate(tmp_path: Path) -> PromotionGate:
    return PromotionGate(*GATE, goal=GOAL, ledger=tmp_path / "gate.json")


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> ShuntPolicy:
    return PromotionGate(*GATE, goal=GOAL, ledger=tmp_path_factory.mktemp("gate") / "gate.json").fit_policy(SMALL)


@pytest.fixture(scope="module")
def student() -> Any:
    return distill(SMALL, answered(*STREAM), gold=GOLD, screen=False).student


def test_a_student_that_learned_from_a_good_teacher_is_promoted(
    gate: PromotionGate, policy: ShuntPolicy, student: Any
) -> None:
    verdict = gate.judge(student, SMALL, policy)
    assert verdict.decision == "promote", verdict
    deferral = verdict.numbers["deferral"]
    assert deferral["interval"][0] > 0
    assert deferral["candidate"] < deferral["serving"]
    assert verdict.policy is not None
    assert verdict.policy.certificate is not None
    assert verdict.policy.certificate.target == GOAL.risk
    assert verdict.policy.certificate.confidence_level == 1 - verdict.numbers["error_level"]
    assert "accuracy is not judged" in verdict.reason
    assert json.loads(json.dumps(verdict.to_dict()))["decision"] == "promote"


def test_a_student_of_flipped_labels_is_rejected(gate: PromotionGate, policy: ShuntPolicy) -> None:
    texts, labels = STREAM
    flipped = distill(SMALL, answered(texts, [other(label) for label in labels]), gold=GOLD, screen=False)
    verdict = gate.judge(flipped.student, SMALL, policy)
    assert verdict.decision == "reject", verdict
    assert verdict.policy is None


@pytest.mark.parametrize("overconfident", [Sharpened(SMALL, 8.0), Careless(SMALL, 0.0)])
def test_a_student_that_defers_less_only_by_overconfidence_is_not_promoted(
    gate: PromotionGate, policy: ShuntPolicy, overconfident: Any
) -> None:
    texts, _ = GATE
    under_the_old_policy = policy.accepts(overconfident.predict_proba(texts)).mean()
    assert under_the_old_policy > policy.accepts(SMALL.predict_proba(texts)).mean() + 0.05
    verdict = gate.judge(overconfident, SMALL, policy)
    assert verdict.decision == "reject", verdict


def test_a_student_that_answers_more_but_worse_than_the_large_model_is_rejected(
    tmp_path: Path, policy: ShuntPolicy, student: Any
) -> None:
    gate = PromotionGate(*GATE, goal=GOAL, ledger=tmp_path / "gate.json", large_answers=GATE[1], margin=0.005)
    verdict = gate.judge(student, SMALL, policy)
    assert verdict.decision == "reject", verdict
    assert verdict.numbers["accuracy"]["candidate"] < verdict.numbers["accuracy"]["serving"] - 0.005
    assert "accuracy is no better than allowed" in verdict.reason


def test_a_margin_that_allows_the_loss_lets_the_same_student_pass(
    tmp_path: Path, policy: ShuntPolicy, student: Any
) -> None:
    gate = PromotionGate(*GATE, goal=GOAL, ledger=tmp_path / "gate.json", large_answers=GATE[1], margin=0.1)
    assert gate.judge(student, SMALL, policy).decision == "promote"


def test_too_few_rows_leave_it_undecided_and_say_how_many_would_do(
    tmp_path: Path, policy: ShuntPolicy, student: Any
) -> None:
    rows = ([*GATE[0]], [*GATE[1]])
    changes = PromotionGate(*rows, goal=GOAL, ledger=tmp_path / "all.json", large_answers=GATE[1], margin=0.1)
    loss = -changes.judge(student, SMALL, policy).numbers["accuracy"]["change"]
    gate = PromotionGate(*rows, goal=GOAL, ledger=tmp_path / "gate.json", large_answers=GATE[1], margin=loss + 0.003)
    verdict = gate.judge(student, SMALL, policy)
    assert verdict.decision == "undecided", verdict
    assert verdict.rows_needed is not None
    assert verdict.rows_needed > 0
    assert f"needs {verdict.rows_needed} more gold rows" in str(verdict)


def test_invalid_replies_count_as_wrong(tmp_path: Path, policy: ShuntPolicy, student: Any) -> None:
    gate = PromotionGate(*GATE, goal=GOAL, ledger=tmp_path / "gate.json", large_answers=[None] * 3000)
    verdict = gate.judge(student, SMALL, policy)
    assert verdict.decision == "promote", verdict
    assert verdict.numbers["accuracy"]["change"] > 0


def test_a_look_has_its_share_and_what_a_promotion_handed_on_and_the_same_question_is_the_same_look(
    tmp_path: Path, policy: ShuntPolicy, student: Any
) -> None:
    def judged(candidate: Any) -> dict[str, Any]:
        gate = PromotionGate(*GATE, goal=GOAL, ledger=tmp_path / "gate.json")
        return gate.judge(candidate, SMALL, policy).numbers

    levels = [judged(each)["error_level"] for each in (student, Sharpened(SMALL, 2.0), student, Sharpened(SMALL, 3.0))]
    assert levels == pytest.approx([0.05 / 2, 0.05 / 6 + 0.05 / 2, 0.05 / 2, 0.05 / 12])
    looks = json.loads((tmp_path / "gate.json").read_text(encoding="utf-8"))["looks"]
    assert looks[0]["decision"] == "promote"
    assert len(looks) == 3


def test_other_halves_of_the_rows_are_another_look(tmp_path: Path, policy: ShuntPolicy, student: Any) -> None:
    gates = [PromotionGate(*GATE, goal=GOAL, ledger=tmp_path / "gate.json", seed=seed) for seed in (0, 1, 0)]
    assert [gate.judge(student, SMALL, policy).numbers["look"] for gate in gates] == [1, 2, 1]


def test_what_cannot_be_judged_costs_no_look(tmp_path: Path, policy: ShuntPolicy, student: Any) -> None:
    texts, labels = GATE
    ledger = tmp_path / "gate.json"
    unnamed = Sharpened(SMALL, 2.0)
    del unnamed.version
    with pytest.raises(PolicyError, match="no identity"):
        PromotionGate(*GATE, goal=GOAL, ledger=ledger).judge(unnamed, SMALL, policy)
    with pytest.raises(CalibrationDataError, match="labels must be"):
        PromotionGate(texts, ["misspelt", *labels[1:]], goal=GOAL, ledger=ledger).judge(student, SMALL, policy)
    with pytest.raises(CalibrationDataError, match="large answers"):
        PromotionGate(*GATE, goal=GOAL, ledger=ledger, large_answers=["?"] * 3000).judge(student, SMALL, policy)
    assert not ledger.exists()


def test_the_halves_have_no_row_in_common_and_equal_inputs_share_one(tmp_path: Path) -> None:
    texts = [*GATE[0][:200], *GATE[0][:200]]
    gate = PromotionGate(texts, [*GATE[1][:200], *GATE[1][:200]], goal=GOAL, ledger=tmp_path / "gate.json")
    fits, compares = ({texts[row] for row in rows} for rows in (gate._policy_rows, gate._compared))
    assert fits.isdisjoint(compares)
    assert fits | compares == set(texts)


def test_a_policy_of_another_model_cannot_be_compared(gate: PromotionGate, policy: ShuntPolicy, student: Any) -> None:
    with pytest.raises(PolicyMismatchError):
        gate.judge(SMALL, student, policy)


def test_gates_that_cannot_judge_are_refused(tmp_path: Path) -> None:
    ledger = tmp_path / "gate.json"
    with pytest.raises(DistillationError, match="lengths"):
        PromotionGate(["a", "b"], ["positive"], goal=GOAL, ledger=ledger)
    with pytest.raises(DistillationError, match="margin"):
        PromotionGate(*GATE, goal=GOAL, ledger=ledger, margin=-0.1)
    with pytest.raises(DistillationError, match="give goal=TargetRisk"):
        PromotionGate(*GATE, goal=MaxDeferral(0.3), ledger=ledger)  # type: ignore[arg-type]
    with pytest.raises(DistillationError, match="halved"):
        PromotionGate(["a"], ["positive"], goal=GOAL, ledger=ledger)


def test_held_out_rows_of_the_gate_never_train(gate: PromotionGate) -> None:
    made = distill(SMALL, answered(*GATE), gold=GOLD, held_out=gate.inputs)
    assert made.report.counts["held_out"] == len(GATE[0])
    assert made.report.counts["acquire"] == 0
    assert tuple(made.student.classes_) == CLASSES
