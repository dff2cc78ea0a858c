from __future__ import annotations

from math import inf

from hypothesis import given
from hypothesis import strategies as st

from langchain_datashunt.report.wording import Unit, number, percent, span, visible


def test_shares_have_the_digits_that_matter() -> None:
    assert [percent(x).replace("\u00a0", " ") for x in (0, 0.5, 0.0213, 0.0048, 0.00002, 1, -0.1)] == [
        "0.0 %",
        "50.0 %",
        "2.1 %",
        "0.48 %",
        "under 0.01 %",
        "100.0 %",
        "\u221210.0 %",
    ]
    assert span(0.1, 0.2).replace("\u00a0", " ") == "10.0 to 20.0 %"
    assert span(0.1, 0.1) == percent(0.1)


def test_amounts_have_at_least_three_digits_that_matter() -> None:
    euro = Unit("EUR")
    shown = [euro.amount(x).replace("\u00a0", " ") for x in (1234.5, 0.1, 0.00001234, 0, -3)]
    assert shown == ["EUR 1\u202f234.50", "EUR 0.100", "EUR 0.0000123", "EUR 0.00", "EUR \u22123.00"]
    assert euro.interval(1, 2).replace("\u00a0", " ") == "EUR 1.00 to 2.00"
    assert euro.interval(1, inf).replace("\u00a0", " ") == "EUR 1.00 or more"
    assert Unit(None).interval(1000, 2000).replace("\u00a0", " ") == "1\u202f000 to 2\u202f000 tokens"
    assert number(1_000_000) == "1\u202f000\u202f000"


@given(st.text(st.characters(codec=None), max_size=300))
def test_every_text_is_shown_as_one_visible_line_that_can_be_written(text: str) -> None:
    shown = visible(text)
    shown.encode("utf-8")
    assert "\n" not in shown
    assert all(char.isprintable() or char.isspace() for char in shown if ord(char) < 0x250)


def test_what_turns_lines_around_is_spelled_out() -> None:
    assert visible("a\u202eb\x00c") == "a\\u202eb\\u0000c"
    assert visible({"a": 1}) == '{"a": 1}'
    assert visible("x" * 500) == "x" * 240 + " \u2026"
