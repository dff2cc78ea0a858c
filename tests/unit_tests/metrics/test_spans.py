from __future__ import annotations

from typing import Any

import pytest
from hard_samples import EASY, HARD, model, only, parser, shunt, small_model
from measured_shunts import Measured
from opentelemetry import trace

from langchain_datashunt.testing import KeywordSmallModel


def named(measured: Measured, name: str) -> list[Any]:
    return [span for span in measured.spans.get_finished_spans() if span.name == name]


def test_a_span_says_who_answered_and_why_but_not_what(measured: Measured) -> None:
    (shunt(small_model(), model()) | parser()).invoke(f"{HARD}, says Smith", measured.config)
    (span,) = named(measured, "datashunt")
    expected = {"route": "large", "reason": "below_threshold", "accepted": False, "confidence": 0.5, "threshold": 0.8}
    assert {name: span.attributes[f"datashunt.{name}"] for name in expected} == expected
    assert span.attributes["gen_ai.usage.input_tokens"] == only(measured.store).input_tokens > 0
    assert "Smith" not in span.to_json()
    assert "negative" not in span.to_json()


def test_the_steps_are_spans_below_within_its_time(measured: Measured) -> None:
    shunt(small_model(), model()).invoke(HARD, measured.config)
    (span,), (small,), (large,) = (named(measured, f"datashunt{step}") for step in ("", " small", " large"))
    assert small.parent.span_id == large.parent.span_id == span.context.span_id
    assert span.start_time <= small.start_time <= small.end_time <= large.start_time <= large.end_time <= span.end_time


def test_an_easy_one_has_no_large_step(measured: Measured) -> None:
    shunt(small_model(), model()).invoke(EASY, measured.config)
    assert len(named(measured, "datashunt small")) == 1
    assert named(measured, "datashunt large") == []


def test_spans_stand_below_the_callers_span(measured: Measured) -> None:
    chain = shunt(small_model(), model())
    with measured.tracers.get_tracer("service").start_as_current_span("request"):
        chain.batch([EASY, HARD], measured.config)
        assert list(chain.stream(HARD, measured.config))
    (request,) = named(measured, "request")
    assert [span.parent.span_id for span in named(measured, "datashunt")] == [request.context.span_id] * 3


async def test_async_spans_stand_below_the_callers_span(measured: Measured) -> None:
    with measured.tracers.get_tracer("service").start_as_current_span("request"):
        await shunt(small_model(), model()).ainvoke(HARD, measured.config)
    (request,), (span,) = named(measured, "request"), named(measured, "datashunt")
    assert span.parent.span_id == request.context.span_id


def test_a_nested_shunts_span_stands_below_the_outer_ones(measured: Measured) -> None:
    inner = shunt(KeywordSmallModel({"positive": ["fine"], "negative": ["poor"]}), model())
    shunt(small_model(), inner).invoke(HARD, measured.config)
    outer, nested = sorted(named(measured, "datashunt"), key=lambda span: span.start_time)
    assert nested.parent.span_id == outer.context.span_id


def test_a_failed_run_is_an_error_with_its_type_only(measured: Measured) -> None:
    def fail(_: Any) -> str:
        raise ConnectionError("Smith's line is down")

    with pytest.raises(ConnectionError):
        shunt(small_model(), model(fail)).invoke(HARD, measured.config)
    (span,) = named(measured, "datashunt")
    assert span.status.status_code is trace.StatusCode.ERROR
    assert span.status.description == span.attributes["error.type"] == "ConnectionError"
    assert "Smith" not in span.to_json()
