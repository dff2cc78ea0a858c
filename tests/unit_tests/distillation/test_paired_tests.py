from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from scipy.stats import binomtest

from langchain_datashunt.distillation.paired_tests import PairedChange

COUNTS = st.integers(0, 60)


def change(gains: int, losses: int, n: int = 200, level: float = 0.05) -> PairedChange:
    new = np.array([True] * gains + [False] * (n - gains))
    old = np.array([False] * gains + [True] * losses + [False] * (n - gains - losses))
    return PairedChange.of(new, old, level)


@given(COUNTS, COUNTS, st.sampled_from([0.05, 0.01]))
@example(33, 20, 0.05)
def test_the_interval_lies_above_zero_exactly_where_the_test_rejects(gains: int, losses: int, level: float) -> None:
    found = change(gains, losses, level=level)
    rejects = binomtest(gains, gains + losses, alternative="greater").pvalue <= level if gains + losses else False
    assert (found.interval[0] > 0) == found.above(0.0) == rejects
    assert found.interval[0] <= found.change <= found.interval[1]


@given(COUNTS, COUNTS)
def test_a_wider_margin_never_shows_less(gains: int, losses: int) -> None:
    found = change(gains, losses)
    shown = [found.above(margin) for margin in (0.01, 0.05, 0.2)]
    assert shown == sorted(shown)


@given(COUNTS, COUNTS)
def test_swapping_the_systems_turns_the_change_around(gains: int, losses: int) -> None:
    assert change(gains, losses).change == -change(losses, gains).change


def test_no_number_of_rows_shows_what_is_not_there() -> None:
    assert change(10, 10).rows_needed(0.0) is None
    assert change(5, 10).rows_needed(0.0) is None


@pytest.mark.parametrize(
    ("gains", "losses", "n", "margin"),
    [(30, 20, 200, 0.0), (10, 10, 500, 0.01), (1, 1, 500, 0.01), (25, 20, 500, 0.01)],
)
def test_the_rows_needed_suffice_four_times_in_five(gains: int, losses: int, n: int, margin: float) -> None:
    needed = change(gains, losses, n).rows_needed(margin)
    assert needed is not None
    drawn = np.random.default_rng(0).multinomial(needed, [gains / n, losses / n, 1 - (gains + losses) / n], size=500)
    shown = [change(int(gained), int(lost), needed).above(margin) for gained, lost, _ in drawn]
    assert np.mean(shown) == pytest.approx(0.8, abs=0.09)


def test_systems_that_never_differ_need_the_rows_that_bound_how_often_they_may() -> None:
    needed = change(0, 0).rows_needed(0.01)
    assert needed is not None
    assert not change(0, 0, needed - 1).above(0.01)
    assert change(0, 0, needed).above(0.01)


def test_of_two_equal_systems_one_wins_no_more_often_than_stated() -> None:
    rng = np.random.default_rng(1)
    wins = sum(
        change(int(gains), int(losses), 400, level=0.05).above(0.0)
        for gains, losses, _ in rng.multinomial(400, [0.1, 0.1, 0.8], size=2000)
    )
    assert wins / 2000 <= 0.05
