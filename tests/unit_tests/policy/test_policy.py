from __future__ import annotations

import json
import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from langchain_datashunt import (
    HardSampleStore,
    PredictionSet,
    PromptPruningOutputParser,
    PromptPruningTemplate,
    evaluate_policy,
    learn_pruning,
    measure_hint,
    write_report,
)
from langchain_datashunt.errors import PolicyError, PolicyMismatchError
from langchain_datashunt.policy.calibration import IsotonicCalibration, NoCalibration, TemperatureScaling
from langchain_datashunt.policy.certification import Certificate
from langchain_datashunt.policy.pruning_facts import LogprobCalibration, PruningFacts
from langchain_datashunt.policy.shunt_policy import CalibrationData, FixedThreshold, ShuntPolicy
from langchain_datashunt.testing import KeywordSmallModel, RecordingChatModel
from langchain_datashunt.types import Prediction

ROWS = np.array([[0.95, 0.05], [0.6, 0.4], [0.2, 0.8]])

CERTIFICATE = Certificate("selective_risk", 0.02, 0.95, "a test", "a split", 1_000, 600, 0.01, 5)
FULL = ShuntPolicy(
    classes=("negative", "positive"),
    threshold=0.875,
    calibration=TemperatureScaling(1.7),
    confidence_score="margin",
    small_model_version="model-1",
    pruning=PruningFacts(hints="soft", logprobs=LogprobCalibration((-0.5, -1.0), 2.0, 100)),
    goal={"kind": "TargetRisk", "risk": 0.02, "confidence_level": 0.95},
    certificate=CERTIFICATE,
    data=CalibrationData(1_100, 100, 1_000, 0.9, 0, "abc"),
    metrics={"accuracy": 0.9},
    created="2026-11-23",
)

policies = st.builds(
    ShuntPolicy,
    classes=st.lists(st.text(), min_size=2, max_size=5, unique=True).map(tuple),
    threshold=st.floats(0, 1),
    calibration=st.one_of(
        st.just(NoCalibration()),
        st.builds(TemperatureScaling, st.floats(0.05, 100)),
        st.builds(
            lambda knots, slope: IsotonicCalibration(tuple(sorted(knots)), tuple(sorted(knots)), slope),
            st.sets(st.floats(0, 1), min_size=1),
            st.floats(0.001, 1),
        ),
    ),
    confidence_score=st.sampled_from(["max_probability", "margin", "entropy"]),
    small_model_version=st.none() | st.text(),
    metrics=st.none() | st.dictionaries(st.text(), st.floats(allow_nan=False, allow_infinity=False)),
    certificate=st.none() | st.just(CERTIFICATE),
)


@given(policy=policies)
def test_its_json_gives_the_policy_back(policy: ShuntPolicy) -> None:
    back = ShuntPolicy.from_dict(json.loads(json.dumps(policy.to_dict())))
    assert back == policy
    assert back.policy_id == policy.policy_id
    assert back.to_dict() == policy.to_dict()


def test_saving_and_loading_is_identity(tmp_path: Path) -> None:
    FULL.save(tmp_path / "policy.json")
    assert ShuntPolicy.load(tmp_path / "policy.json") == FULL
    ShuntPolicy.load(tmp_path / "policy.json").save(tmp_path / "again.json")
    assert (tmp_path / "again.json").read_bytes() == (tmp_path / "policy.json").read_bytes()


def test_a_policy_survives_pickling() -> None:
    back = pickle.loads(pickle.dumps(FULL))
    assert back == FULL
    assert back.policy_id == FULL.policy_id
    isotonic = replace(FULL, calibration=IsotonicCalibration((0.1, 0.9), (0.0, 1.0), 0.1))
    assert pickle.loads(pickle.dumps(isotonic)).accepts(ROWS).tolist() == isotonic.accepts(ROWS).tolist()


@pytest.mark.parametrize(
    "change",
    [{"threshold": 0.9}, {"classes": ("positive", "negative")}, {"calibration": NoCalibration()},
     {"confidence_score": "entropy"}, {"small_model_version": "model-2"}, {"pruning": None}],
)  # fmt: skip
def test_the_id_changes_with_whatever_decides(change: dict[str, Any]) -> None:
    assert replace(FULL, **change).policy_id != FULL.policy_id


@pytest.mark.parametrize(
    "change", [{"certificate": None}, {"metrics": {}}, {"created": "2027-01-01"}, {"data": None}, {"goal": None}]
)
def test_the_id_does_not_change_with_the_evidence(change: dict[str, Any]) -> None:
    assert replace(FULL, **change).policy_id == FULL.policy_id


def test_rows_at_or_above_the_threshold_are_accepted() -> None:
    policy = ShuntPolicy(("a", "b"), threshold=0.8)
    judgement = policy.judge(ROWS)
    assert judgement.accepted.tolist() == [True, False, True]
    assert judgement.confidence.tolist() == [0.95, 0.6, 0.8]
    assert policy.accepts(ROWS).tolist() == [True, False, True]


def test_the_threshold_acts_on_the_calibrated_confidence() -> None:
    policy = ShuntPolicy(("a", "b"), threshold=0.8, calibration=TemperatureScaling(2.0))
    judgement = policy.judge(ROWS)
    assert judgement.accepted.tolist() == [True, False, False]
    np.testing.assert_allclose(judgement.confidence, judgement.probabilities.max(axis=1))


@pytest.mark.parametrize("rule", [ShuntPolicy(("a", "b"), 0.8), FixedThreshold(("a", "b"), 0.8)])
def test_thresholds_may_come_one_a_row(rule: ShuntPolicy | FixedThreshold) -> None:
    assert rule.accepts(ROWS, threshold=np.array([1.0, 0.5, 0.9])).tolist() == [False, True, False]
    assert rule.accepts(ROWS, threshold=0.0).all()
    assert not rule.accepts(ROWS, threshold=1.0).any()


@given(low=st.floats(0, 1), high=st.floats(0, 1))
def test_a_higher_threshold_never_raises_coverage(low: float, high: float) -> None:
    low, high = sorted((low, high))
    assert FULL.accepts(ROWS, threshold=high).sum() <= FULL.accepts(ROWS, threshold=low).sum()


def test_a_policy_says_whether_it_is_calibrated_and_certified() -> None:
    assert (FULL.calibrated, FULL.certified) == (True, True)
    bare = ShuntPolicy(("a", "b"), 0.8)
    assert (bare.calibrated, bare.certified) == (False, False)
    assert (FixedThreshold.calibrated, FixedThreshold.certified, FixedThreshold.policy_id) == (False, False, None)


def test_the_right_model_passes_the_check() -> None:
    FULL.check(("negative", "positive"), "model-1")
    ShuntPolicy(("a", "b"), 0.8).check(("a", "b"), "any model")


@pytest.mark.parametrize(
    ("classes", "version", "message"),
    [(("positive", "negative"), "model-1", "another order"),
     (("negative", "neutral"), "model-1", "lacks .'positive'"),
     (("negative", "positive"), "model-2", "'model-1'.*'model-2'"),
     (("negative", "positive"), None, "'model-1'.*None")],
)  # fmt: skip
def test_another_model_is_refused(classes: tuple[str, ...], version: str | None, message: str) -> None:
    with pytest.raises(PolicyMismatchError, match=message):
        FULL.check(classes, version)


@pytest.mark.parametrize("rule", [ShuntPolicy, FixedThreshold])
@pytest.mark.parametrize("threshold", [-0.1, 1.1, float("nan"), "0.9", None, True])
def test_a_threshold_outside_the_unit_interval_is_refused(rule: type, threshold: Any) -> None:
    with pytest.raises(PolicyError, match=r"number in \[0, 1\]"):
        rule(classes=("a", "b"), threshold=threshold)


@pytest.mark.parametrize("classes", [("a",), ("a", "a"), "ab", (1, 2)])
def test_classes_that_are_no_label_space_are_refused(classes: Any) -> None:
    with pytest.raises(PolicyError, match="classes must be"):
        ShuntPolicy(classes=classes, threshold=0.5)


def test_an_unknown_confidence_score_is_refused() -> None:
    with pytest.raises(PolicyError, match="unknown confidence score"):
        ShuntPolicy(("a", "b"), 0.5, confidence_score="energy")  # type: ignore[arg-type]


@pytest.mark.parametrize(("confidence", "verb"), [(0.9, "accepted"), (0.875, "accepted"), (0.6, "deferred")])
def test_explain_says_what_was_decided_and_why(confidence: float, verb: str) -> None:
    sentence = FULL.explain(Prediction("positive", confidence, None, FULL.classes))
    assert sentence.startswith(verb)
    for part in ("'positive'", f"{confidence:.4f}", "margin", "temperature", "0.8750", "certified at level 0.95"):
        assert part in sentence


def test_explain_does_not_claim_a_certificate_that_is_not_there() -> None:
    sentence = ShuntPolicy(("a", "b"), 0.8).explain(Prediction("a", 0.9, None, ("a", "b")))
    assert "no certificate" in sentence


def test_with_pruning_replaces_some_facts_and_changes_the_id() -> None:
    told = FULL.with_pruning(hints="none")
    assert told.pruning == PruningFacts(hints="none", logprobs=FULL.pruning and FULL.pruning.logprobs)
    assert told.policy_id != FULL.policy_id
    assert replace(FULL, pruning=None).with_pruning(hints="hard").pruning == PruningFacts(hints="hard")


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        ({"hints": "loud"}, "hints is one of"),
        ({"quantile": 0.5}, "a policy has the pruning facts"),
        ({"logprobs": LogprobCalibration((-1.0,), 1.0, 5)}, "has 2 classes"),
    ],
)
def test_pruning_facts_that_do_not_fit_are_refused(facts: dict[str, Any], message: str) -> None:
    with pytest.raises(PolicyError, match=message):
        FULL.with_pruning(**facts)


@pytest.mark.parametrize("broken", [((), 1.0, 1), ((-1.0, float("nan")), 1.0, 1), ((-1.0,), 0.0, 1), ((-1.0,), 1.0, 0)])
def test_a_calibration_of_log_probabilities_that_is_none_is_refused(broken: Any) -> None:
    with pytest.raises(PolicyError, match="a finite preference for each class"):
        LogprobCalibration(*broken)


@pytest.mark.parametrize("taker", ["evaluate_policy", "learn_pruning", "measure_hint", "for_policy", "write_report"])
@pytest.mark.parametrize("thing", ["policy.json", KeywordSmallModel({"negative": ["awful"], "positive": ["great"]})])
def test_what_is_no_policy_is_named_with_where_policies_come_from(taker: str, thing: Any, tmp_path: Path) -> None:
    small = KeywordSmallModel({"negative": ["awful"], "positive": ["great"]})
    rows = ["awful", "great"], ["negative", "positive"]
    prompt = PromptPruningTemplate(small.classes_)
    take: dict[str, Any] = {
        "evaluate_policy": lambda: evaluate_policy(thing, ROWS, rows[1]),
        "learn_pruning": lambda: learn_pruning(thing, small, *rows, PredictionSet(0.9)),
        "measure_hint": lambda: measure_hint(small, thing, RecordingChatModel(), *rows, prompt=prompt),
        "for_policy": lambda: PromptPruningOutputParser.for_policy(thing),
        "write_report": lambda: write_report(HardSampleStore(tmp_path / "log.db"), tmp_path / "page", policy=thing),
    }
    with pytest.raises(PolicyError, match=rf"ShuntPolicy\.load\(path\) return it; got {type(thing).__name__}"):
        take[taker]()
