"""Audits: a random share of the accepted inputs goes to the large model too, and the record says so."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.runnables import RunnableLambda
from langchain_core.tracers import BaseTracer, Run
from reviews import EASY, HARD, record, shunt

from langchain_datashunt import InvalidInputError
from langchain_datashunt.testing import RecordingChatModel


def test_without_an_audit_rate_no_accepted_input_reaches_the_llm() -> None:
    llm = RecordingChatModel(answers="audited")
    assert {message.content for message in (shunt() | llm).batch([EASY] * 50)} == {"positive"}
    assert llm.calls == []


def test_in_shadow_mode_every_accepted_input_is_audited_and_the_caller_gets_the_llms_answer() -> None:
    message = (shunt(audit_rate=1.0) | RecordingChatModel(answers="negative")).invoke(EASY)
    assert message.content == "negative"
    found = record(message)
    assert (found["route"], found["reason"], found["label"]) == ("audit", "accepted", "positive")
    assert found["sampling_probability"] == 1.0


def test_the_record_holds_the_sampling_probability_of_accepted_and_of_deferred_inputs() -> None:
    messages = (shunt(audit_rate=0.25) | RecordingChatModel(answers="x")).batch(
        [*[f"{EASY} {i}" for i in range(40)], HARD]
    )
    assert {record(message)["sampling_probability"] for message in messages[:-1]} == {0.25}
    assert {record(message)["route"] for message in messages[:-1]} == {"small", "audit"}
    assert record(messages[-1])["sampling_probability"] == 1.0


def test_the_audited_share_is_the_rate() -> None:
    llm = RecordingChatModel(answers="x")
    (shunt(audit_rate=0.1) | llm).batch([f"{EASY} {i}" for i in range(4000)])
    assert 310 < len(llm.calls) < 490  # 400 expected, standard deviation 19; fails once in a million runs


def test_equal_inputs_of_different_requests_are_drawn_apart() -> None:
    llm = RecordingChatModel(answers="x")
    (shunt(audit_rate=0.5) | llm).batch([EASY] * 200)
    assert 50 < len(llm.calls) < 150


class Tracer(BaseTracer):
    """Knows the run tree, as every tracer does."""

    def _persist_run(self, run: Run) -> None:
        pass


def routes_of_attempts(attempts: int, config: Any) -> list[str]:
    """Return the routes of the attempts of one request to a chain that fails behind the shunt."""
    routes: list[str] = []

    def failing(message: Any) -> str:
        routes.append(record(message)["route"])
        raise ValueError("not yet")

    chain = shunt(audit_rate=0.5) | RecordingChatModel(answers="x") | RunnableLambda(failing)
    with pytest.raises(ValueError, match="not yet"):
        chain.with_retry(stop_after_attempt=attempts, wait_exponential_jitter=False).invoke(EASY, config)
    return routes


@pytest.mark.parametrize("known_by", ["request id", "tracer"])
def test_the_retries_of_a_request_share_its_draw(known_by: str) -> None:
    by_tracer = {"callbacks": [Tracer()]}
    requests = [
        routes_of_attempts(3, by_tracer if known_by == "tracer" else {"configurable": {"datashunt_request": f"id {i}"}})
        for i in range(20)
    ]
    assert all(len(routes) == 3 and len(set(routes)) == 1 for routes in requests)
    assert {routes[0] for routes in requests} == {"small", "audit"}


def test_the_retries_of_the_shunt_itself_share_its_draw_without_help() -> None:
    answers: list[str] = []

    def answer(prediction: Any) -> str:
        answers.append("small")
        raise ValueError("not yet")

    def ask(_: Any) -> str:
        answers.append("large")
        raise ValueError("not yet")

    bound = shunt(audit_rate=0.5, answer=answer, large=RunnableLambda(ask))
    for _ in range(20):
        with pytest.raises(ValueError, match="not yet"):
            bound.with_retry(stop_after_attempt=3, wait_exponential_jitter=False).invoke(EASY)
    audited = answers.count("large")
    assert 0 < audited < 60
    assert audited % 3 == 0  # an audit that fails falls back on answer=, which raises


def test_a_failing_audit_gives_the_small_models_answer_and_says_so() -> None:
    llm = RecordingChatModel(answers="x", raise_on=[EASY])
    message = (shunt(audit_rate=1.0) | llm).invoke(EASY)
    found = record(message)
    assert message.content == "positive"
    assert (found["route"], found["reason"]) == ("small_on_error", "large_error")
    assert "told to raise" in found["error"]


async def test_audits_work_in_streams_and_async_batches() -> None:
    chain = shunt(audit_rate=1.0) | RecordingChatModel(answers="from the llm")
    assert "".join(chunk.content for chunk in chain.stream(EASY)) == "from the llm"
    assert [message.content for message in await chain.abatch([EASY, HARD])] == ["from the llm"] * 2
    assert sorted([i async for i, _ in chain.abatch_as_completed([EASY, HARD])]) == [0, 1]


def test_a_caller_who_rules_the_llm_out_is_never_audited() -> None:
    llm = RecordingChatModel(answers="x")
    chain = shunt(audit_rate=1.0) | llm
    message = chain.invoke(EASY, {"configurable": {"datashunt_route": "small"}})
    assert record(message)["sampling_probability"] == 0.0
    assert llm.calls == []


def test_decide_draws_nothing() -> None:
    assert shunt(audit_rate=1.0, large=RecordingChatModel()).decide(EASY).route == "small"


@pytest.mark.parametrize("rate", [-0.1, 1.5, "often", None, float("nan")])
def test_an_audit_rate_that_is_no_share_raises(rate: object) -> None:
    with pytest.raises(InvalidInputError, match="audit_rate"):
        shunt(audit_rate=rate)
