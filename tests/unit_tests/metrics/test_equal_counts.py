"""The counters are the log's counts: of every way of running a chain, of audits, failures and nested tiers."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import pytest
from hard_samples import EASY, HARD, FailingOnce, model, parser, shunt, small_model
from langchain_core.messages import AIMessage
from measured_shunts import PRICES, Measured

from langchain_datashunt.testing import KeywordSmallModel


def counted(text: str) -> AIMessage:
    used = {"input_tokens": len(text), "output_tokens": 2, "total_tokens": len(text) + 2}
    return AIMessage("negative", usage_metadata=used)


def answers(messages: list[Any]) -> AIMessage:
    text = messages[-1].text
    if "fail" in text:
        raise ConnectionError("the line is down")
    return counted(text)


def run_everything(config: dict[str, Any]) -> None:
    """Run chains in every way there is; all texts differ, so that each is a record of its own."""
    small = small_model()
    chain = shunt(small, model(answers)) | parser()
    audited = shunt(small, model(answers), audit_rate=0.5) | parser()
    falling_back = shunt(small, model(answers), on_large_error="small")
    tiers = shunt(small, shunt(KeywordSmallModel({"positive": ["fine"], "negative": ["poor"]}), model(answers)))
    acme = {**config, "metadata": {"tenant": "acme"}}

    chain.invoke(EASY, config)
    chain.invoke(f"{HARD} 1", acme)
    chain.batch([EASY, *(f"{HARD} batch {i}" for i in range(5))], acme)
    chain.batch([f"{HARD} 2", f"{HARD} fail 2"], config, return_exceptions=True)
    list(chain.stream(f"{HARD} stream", config))
    closed = shunt(small, model(answers)).stream(f"{HARD} closed early", config)
    next(closed)
    closed.close()
    list(chain.batch_as_completed([EASY, f"{HARD} 3"], config))
    audited.batch([f"{EASY} {i}" for i in range(40)], config)
    audited.batch([f"{EASY} fail {i}" for i in range(10)], config)
    falling_back.invoke(f"{HARD} fail 4", config)
    tiers.batch([EASY, f"{HARD} a fine one", f"{HARD} 5"], config)
    shunt(small, model(FailingOnce())).with_retry(wait_exponential_jitter=False).invoke(f"{HARD} 6", config)
    chain.invoke(EASY, {**config, "configurable": {"datashunt_route": "large"}})
    with pytest.raises(ConnectionError):
        chain.invoke(f"{HARD} fail 7", config)

    async def run_async() -> None:
        await chain.ainvoke(f"{HARD} async", acme)
        await chain.abatch([EASY, f"{HARD} async 1", f"{HARD} async 2"], config)
        async for _ in chain.astream(f"{HARD} astream", config):
            pass
        async for _ in chain.astream_events(f"{HARD} events", config, version="v2"):
            pass

    asyncio.run(run_async())


@pytest.fixture
def ran(measured: Measured) -> Measured:
    run_everything(measured.config)
    measured.store.flush()
    return measured


def test_requests_are_the_logs_traffic(ran: Measured) -> None:
    traffic: Counter[tuple[Any, ...]] = Counter()
    for each in ran.store.stats().traffic:
        traffic[each.tenant, each.policy_id, each.route] += each.requests
    assert {route for _, _, route in traffic} >= {"small", "large", "audit", "small_on_error"}
    assert {tenant for tenant, _, _ in traffic} == {"", "acme"}
    assert ran.sums("datashunt.requests", "tenant", "policy_id", "route") == traffic


def test_records_are_the_logs_sightings_complete_and_not(ran: Measured) -> None:
    kept: Counter[tuple[Any, ...]] = Counter()
    for each in ran.store.stats().routes:
        kept[each.tenant, each.route, True] += each.complete
        kept[each.tenant, each.route, False] += each.incomplete
    assert any(not complete and n for (_, _, complete), n in kept.items())
    assert ran.sums("datashunt.records", "tenant", "route", "complete") == +kept


def test_tokens_are_the_logs_tokens(ran: Measured) -> None:
    routes = ran.store.stats().routes
    kinds = {point.attributes["gen_ai.token.type"] for point in ran.points("datashunt.tokens")}
    assert kinds == {"input", "output"}
    counted = Counter(
        {
            (each.tenant, each.route): each.input_tokens + each.output_tokens
            for each in routes
            if each.input_tokens + each.output_tokens
        }
    )
    assert ran.sums("datashunt.tokens", "tenant", "route") == counted


def test_cost_is_the_users_prices_times_the_logs_tokens_nested_ones_once(ran: Measured) -> None:
    outer = [sample for sample in ran.store.iter_samples() if sample.parent_id is None]
    large = sum(float(PRICES.of_tokens(each.input_tokens, each.output_tokens)) for each in outer)
    requests = sum(each.requests for each in ran.store.stats().traffic)
    spent = ran.sums("datashunt.cost", "step")
    assert spent["large",] == pytest.approx(large)
    assert spent["small",] == pytest.approx(requests * PRICES.small)


def test_every_run_has_a_duration_and_every_prediction_a_confidence(ran: Measured) -> None:
    requests = ran.sums("datashunt.requests").total()
    assert sum(point.count for point in ran.points("datashunt.duration")) == requests
    assert sum(point.count for point in ran.points("datashunt.confidence")) == requests
    steps = Counter()
    for point in ran.points("datashunt.step.duration"):
        steps[point.attributes["datashunt.step"]] += point.count
    assert steps["small"] == requests
    assert 0 < steps["large"] < requests


def test_coverage_and_deferral_rate_are_what_the_rule_said_whoever_answered(measured: Measured) -> None:
    chain = shunt(small_model(), model(), audit_rate=1.0)
    chain.batch([EASY, EASY, EASY, HARD], measured.config)
    chain.invoke(HARD, {**measured.config, "configurable": {"datashunt_route": "small"}})
    assert measured.one("datashunt.coverage") == 0.75
    assert measured.one("datashunt.deferral_rate") == 0.25


def test_a_failing_log_loses_no_request_and_its_drops_are_counted(measured: Measured) -> None:
    def refuse(*_: Any) -> None:
        raise OSError("the disk is full")

    measured.store._writer.append = refuse  # type: ignore[method-assign]
    (shunt(small_model(), model()) | parser()).batch([EASY, HARD, f"{HARD} 2"], measured.config)
    assert measured.one("datashunt.records.dropped") == measured.store.health.dropped == 2
    assert measured.one("datashunt.records.pending") == 0
    del measured.store._writer.append
    measured.store.flush()
    traffic = Counter({each.route: each.requests for each in measured.store.stats().traffic})
    assert traffic == {"small": 1, "large": 2}
    assert measured.sums("datashunt.requests", "route") == {("small",): 1, ("large",): 2}


def test_failures_name_their_type_and_nothing_private(measured: Measured) -> None:
    with pytest.raises(ConnectionError):
        shunt(small_model(), model(answers)).invoke("fail, says Smith", measured.config)
    (point,) = measured.points("datashunt.requests")
    assert point.attributes["error.type"] == "ConnectionError"
    everything = str(measured.reader.get_metrics_data()) + str(
        [span.to_json() for span in measured.spans.get_finished_spans()]
    )
    assert "Smith" not in everything
