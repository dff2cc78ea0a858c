"""A shunt takes the candidates that its policy has learned, for the inputs that the policy defers."""

from __future__ import annotations

import json
from typing import Any

import pytest

from langchain_datashunt import (
    DropMastered,
    PredictionSet,
    PromptPruningTemplate,
    RunnableDataShunt,
    ShuntPolicy,
    TopK,
    TopP,
)
from langchain_datashunt.errors import CompositionError
from langchain_datashunt.policy.pruning_facts import MasteredFacts, PredictionSetFacts
from langchain_datashunt.testing import RecordingChatModel, ScriptedSmallModel

LABELS = ("bad", "dire", "fine", "good")
ROWS = {"sure": [0.01, 0.01, 0.03, 0.95], "torn": [0.05, 0.1, 0.4, 0.45], "lost": [0.25, 0.25, 0.25, 0.25]}
SMALL = ScriptedSmallModel(list(LABELS), ROWS)
POLICY = ShuntPolicy(LABELS, 0.9).with_pruning(prediction_set=PredictionSetFacts(0.9, 0.2, 100))
DROPPING = POLICY.with_pruning(mastered=MasteredFacts(("good",), 0.02, 0.95, 200, 0.0))


def shunt(policy: ShuntPolicy = POLICY, **options: Any) -> RunnableDataShunt:
    return RunnableDataShunt(SMALL, policy=policy, large=RecordingChatModel(answers="fine"), **options)


def test_deferred_inputs_get_the_learned_candidates_and_the_record_shows_them() -> None:
    torn, lost = shunt().batch(["torn", "lost"])
    assert torn.response_metadata["datashunt"]["candidates"] == ["good", "fine"]
    assert lost.response_metadata["datashunt"]["candidates"] == list(LABELS)
    assert shunt().decide("sure").candidates is None


def test_dropped_labels_are_no_candidates_and_the_prompt_does_not_list_them() -> None:
    chain = shunt(DROPPING)
    assert chain.decide("torn").candidates == ("fine",)
    assert chain.decide("lost").candidates == ("bad", "dire", "fine")
    chain.invoke("lost")
    assert "good" not in chain.large.calls[-1].messages[0].text


def test_candidates_of_the_shunt_override_the_policys() -> None:
    assert shunt(candidates=TopK(1)).decide("torn").candidates == ("good",)
    assert shunt(candidates=TopP(0.9)).decide("torn").candidates == ("good", "fine", "dire")


def test_an_input_that_only_a_request_defers_keeps_all_labels() -> None:
    assert shunt().decide("sure", threshold=0.99).candidates is None
    forced = {"configurable": {"datashunt_route": "large"}}
    assert shunt().invoke("sure", forced).response_metadata["datashunt"]["candidates"] is None
    assert shunt().invoke("torn", forced).response_metadata["datashunt"]["candidates"] == ["good", "fine"]


@pytest.mark.parametrize("options", [{}, {"candidates": TopK(1)}])
def test_a_verdict_against_candidates_lets_them_rest_unless_the_prompt_tells_them(options: dict[str, Any]) -> None:
    for verdict in ("soft", "none"):
        policy = POLICY.with_pruning(hints=verdict)
        assert shunt(policy, **options).decide("torn").candidates is None
        told = PromptPruningTemplate(list(LABELS), hints="hard") | RecordingChatModel(answers="good")
        assert RunnableDataShunt(SMALL, policy=policy, large=told, **options).decide("torn").candidates is not None
    assert shunt(POLICY.with_pruning(hints="hard"), **options).decide("torn").candidates is not None


def test_an_audited_input_is_offered_all_labels() -> None:
    for options in ({}, {"candidates": TopK(1)}):
        record = shunt(audit_rate=1.0, **options).invoke("sure").response_metadata["datashunt"]
        assert record["route"] == "audit"
        assert record["candidates"] is None


def test_both_survive_the_shunts_serialisation() -> None:
    parts = json.loads(json.dumps(shunt(candidates=TopP(0.9)).lc_attributes))
    assert shunt(parts["policy"], candidates=parts["candidates"]).candidates == TopP(0.9)
    assert shunt(parts["policy"]).decide("torn").candidates == ("good", "fine")


@pytest.mark.parametrize("rule", [PredictionSet(0.9), DropMastered(0.02)])
def test_a_rule_that_was_not_learned_is_refused_with_what_to_write(rule: Any) -> None:
    with pytest.raises(CompositionError, match="learn_pruning"):
        shunt(candidates=rule)
