from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from langchain_datashunt.report.charts import HEIGHT, WIDTH, Axis, Canvas, Point, nice_high


@given(st.floats(1e-9, 1e9))
def test_an_axis_ends_at_or_a_little_above_its_largest_value(value: float) -> None:
    assert 0.999 * value <= nice_high(value) <= 2 * value


@given(st.floats(-100, 100), st.floats(0.001, 1000))
def test_ticks_are_few_and_lie_on_the_axis(low: float, width: float) -> None:
    ticks = Axis(low, low + width, "").ticks()
    assert 2 <= len(ticks) <= 11
    slack = width / 1e6
    assert all(low - slack <= tick <= low + width + slack for tick in ticks)


@given(st.floats(0, 1), st.floats(0, 1))
def test_what_is_drawn_lies_within_the_picture(x: float, y: float) -> None:
    canvas = Canvas("a", "", "", Axis(0, 1, ""), Axis(0, 1, ""))
    assert 0 <= canvas.left(x) <= WIDTH
    assert 0 <= canvas.top(y) <= HEIGHT


def test_a_chart_has_a_title_and_a_description_and_escapes_what_it_says() -> None:
    hostile = "<script>alert(1)</script>"
    canvas = Canvas("risk", hostile, f"{hostile}, described", Axis(0, 1, hostile), Axis(0, 1, hostile, percent=True))
    canvas.axes([(0.5, hostile)])
    canvas.vertical(0.5, hostile)
    canvas.estimates([Point(0.1, 0.2, 0.1, 0.3), Point(0.5, 0.4, 0.3, 0.6, present=True)])
    svg = str(canvas.svg())
    assert "<script" not in svg
    assert '<title id="risk-title">&lt;script&gt;' in svg
    assert '<desc id="risk-desc">' in svg
    assert "now" in svg


@pytest.mark.parametrize("value", [0, -1])
def test_an_axis_of_nothing_ends_at_one(value: float) -> None:
    assert nice_high(value) == 1.0
