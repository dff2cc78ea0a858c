"""The record of the decision: what stands in `response_metadata["datashunt"]`, and the two switches of a request."""

from __future__ import annotations

import json
from typing import Any, get_type_hints

import pytest
from langchain_core.output_parsers import StrOutputParser
from reviews import EASY, HARD, SURE, THRESHOLD, UNSURE, record, shunt, small_model

from langchain_datashunt import InvalidInputError, RunnableDataShunt, ShuntMetadata, ShuntPolicy, TopK
from langchain_datashunt.testing import RecordingChatModel, ScriptedSmallModel

POLICY = ShuntPolicy(classes=("positive", "negative"), threshold=0.9, small_model_version="keywords")


def configured(**configurable: Any) -> dict[str, Any]:
    return {"configurable": {f"datashunt_{key}": value for key, value in configurable.items()}}


def test_the_record_of_an_accepted_input() -> None:
    assert record((shunt() | RecordingChatModel()).invoke(EASY)) == {
        "route": "small",
        "reason": "accepted",
        "label": "positive",
        "confidence": pytest.approx(SURE),
        "threshold": THRESHOLD,
        "certified": False,
        "calibrated": False,
        "candidates": None,
        "policy_id": None,
        "small_model_version": "keywords",
        "sampling_probability": 0.0,
    }


def test_the_record_of_a_deferred_input_names_the_small_models_view() -> None:
    found = record((shunt() | RecordingChatModel()).invoke(HARD))
    assert (found["route"], found["reason"]) == ("large", "below_threshold")
    assert (found["label"], found["confidence"]) == ("positive", UNSURE)


@pytest.mark.parametrize("text", [EASY, HARD])
def test_the_record_is_plain_json_with_the_declared_keys(text: str) -> None:
    small = ScriptedSmallModel(["positive", "negative"], small_model().predict_proba.__self__._row)
    found = record((shunt(small, candidates=TopK(1)) | RecordingChatModel()).invoke(text))
    assert json.loads(json.dumps(found)) == found
    assert set(found) <= set(get_type_hints(ShuntMetadata))
    assert {type(value) for value in found.values()} <= {str, float, bool, list, type(None)}


def test_the_record_names_the_candidates_that_were_left() -> None:
    small = ScriptedSmallModel(["a", "b", "c"], {}, default=[0.2, 0.5, 0.3])
    assert record((shunt(small, candidates=TopK(2)) | RecordingChatModel()).invoke("x"))["candidates"] == ["b", "c"]


def test_the_record_names_the_policy() -> None:
    found = record((RunnableDataShunt(small_model(), policy=POLICY) | RecordingChatModel()).invoke(EASY))
    assert (found["policy_id"], found["threshold"]) == (POLICY.policy_id, 0.9)


def test_a_parser_behind_the_shunt_can_read_the_record() -> None:
    chain = shunt() | RecordingChatModel() | (lambda message: record(message)["route"])
    assert chain.batch([EASY, HARD]) == ["small", "large"]


def test_a_threshold_given_with_the_request_decides_and_is_recorded_as_not_certified() -> None:
    chain = RunnableDataShunt(small_model(), policy=POLICY) | RecordingChatModel()
    deferred = record(chain.invoke(EASY, configured(threshold=0.99)))
    assert (deferred["route"], deferred["threshold"], deferred["certified"]) == ("large", 0.99, False)
    accepted = record(chain.invoke(HARD, configured(threshold=0.5)))
    assert (accepted["route"], accepted["threshold"], accepted["certified"]) == ("small", 0.5, False)


def test_each_item_of_a_batch_may_have_its_own_threshold_and_there_is_still_one_small_call() -> None:
    small = small_model()
    chain = shunt(small) | RecordingChatModel()
    configs = [configured(threshold=0.99), {}, configured(threshold=0.0)]
    messages = chain.batch([EASY, EASY, HARD], configs)
    assert [record(message)["route"] for message in messages] == ["large", "small", "small"]
    assert [record(message)["threshold"] for message in messages] == [0.99, THRESHOLD, 0.0]
    assert small.batch_sizes == [3]


@pytest.mark.parametrize("text", [EASY, HARD])
@pytest.mark.parametrize("switch", ["small", "large"])
def test_the_route_switch_overrides_the_rule(switch: str, text: str) -> None:
    llm = RecordingChatModel()
    found = record((shunt() | llm).invoke(text, configured(route=switch)))
    assert (found["route"], found["reason"]) == (switch, f"route_{switch}")
    assert len(llm.calls) == (switch == "large")


def test_the_route_switch_auto_changes_nothing() -> None:
    chain = shunt() | RecordingChatModel()
    assert record(chain.invoke(EASY, configured(route="auto"))) == record(chain.invoke(EASY))


def test_each_item_of_a_batch_may_have_its_own_route() -> None:
    llm = RecordingChatModel()
    messages = (shunt() | llm).batch([EASY, HARD, HARD], [configured(route="large"), configured(route="small"), {}])
    assert [record(message)["route"] for message in messages] == ["large", "small", "large"]
    assert len(llm.calls) == 2


def test_the_switches_work_through_with_config_and_behind_other_steps() -> None:
    chain = (shunt() | RecordingChatModel() | (lambda message: record(message)["route"])).with_config(
        configured(route="large")
    )
    assert chain.batch([EASY, HARD]) == ["large", "large"]


def test_the_switches_reach_the_inner_shunt_too() -> None:
    inner_small = ScriptedSmallModel(["positive", "negative"], {}, default=[1.0, 0.0])
    llm = RecordingChatModel(answers="from the llm")
    chain = shunt() | (shunt(inner_small) | llm)
    assert chain.invoke(HARD).content == "positive"
    assert chain.invoke(HARD, configured(route="large")).content == "from the llm"


@pytest.mark.parametrize("value", [-0.1, 1.1, "high", float("nan"), True, [0.5]])
def test_a_threshold_of_a_request_that_is_no_probability_raises_before_any_model_runs(value: Any) -> None:
    small, llm = small_model(), RecordingChatModel()
    with pytest.raises(InvalidInputError, match="datashunt_threshold"):
        (shunt(small) | llm).invoke(EASY, configured(threshold=value))
    assert (small.calls, llm.calls) == (0, [])


def test_a_threshold_of_none_means_the_shunts_own() -> None:
    assert record((shunt() | RecordingChatModel()).invoke(EASY, configured(threshold=None)))["threshold"] == THRESHOLD


@pytest.mark.parametrize("value", ["both", "", 1, "LARGE"])
def test_an_unknown_route_raises_and_names_the_three(value: Any) -> None:
    with pytest.raises(InvalidInputError, match=r"auto.*small.*large"):
        (shunt() | RecordingChatModel()).invoke(EASY, configured(route=value))


def test_both_switches_are_listed_in_config_specs() -> None:
    for chain in (shunt() | RecordingChatModel(), shunt() | RecordingChatModel() | StrOutputParser()):
        assert {"datashunt_threshold", "datashunt_route"} <= {spec.id for spec in chain.config_specs}


def test_the_config_schema_shows_the_switches_with_their_types() -> None:
    schema = (shunt() | RecordingChatModel()).get_config_jsonschema()
    text = json.dumps(schema)
    assert "datashunt_threshold" in text
    assert all(f'"{route}"' in text for route in ("auto", "small", "large"))


def test_the_switches_are_no_configurable_fields_that_rebuild_the_shunt() -> None:
    small = small_model()
    (shunt(small) | RecordingChatModel()).batch([EASY] * 8, configured(threshold=0.5))
    assert small.batch_sizes == [8]


def test_a_message_that_passes_two_shunts_in_a_row_keeps_the_record_of_the_last() -> None:
    second = ScriptedSmallModel(["x", "y"], {}, default=[0.99, 0.01], version="second")
    chain = shunt() | RecordingChatModel() | StrOutputParser() | shunt(second).to(RecordingChatModel())
    message = chain.invoke(EASY)
    assert (message.content, record(message)["small_model_version"]) == ("x", "second")


def test_the_threshold_s_schema_is_one_that_langserve_s_playground_can_draw() -> None:
    configurable = (shunt() | RecordingChatModel()).get_config_jsonschema()["$defs"]["Configurable"]
    threshold = configurable["properties"]["datashunt_threshold"]
    assert (threshold["type"], threshold["minimum"], threshold["maximum"]) == (["number", "null"], 0, 1)
