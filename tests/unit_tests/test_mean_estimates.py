from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from langchain_datashunt.bounds.mean_estimates import estimate_mean
from langchain_datashunt.errors import AuditError

totals = st.lists(st.floats(0, 1e6), min_size=2, max_size=30)


@settings(deadline=None)
@given(totals)
def test_with_one_probability_and_single_requests_it_is_the_usual_mean_and_interval(sums: list[float]) -> None:
    found = estimate_mean(sums, np.ones(len(sums)), 0.1)
    assert found.mean == pytest.approx(np.mean(sums))
    error = stats.t.ppf(0.975, len(sums) - 1) * np.std(sums, ddof=1) / np.sqrt(len(sums))
    assert found.high == pytest.approx(np.mean(sums) + error)
    assert found.low == pytest.approx(max(np.mean(sums) - error, 0), abs=1e-6)


@given(totals, st.integers(0, 1000))
def test_shuffling_rows_changes_no_number(sums: list[float], seed: int) -> None:
    rng = np.random.default_rng(seed)
    counts, rates = rng.integers(1, 5, len(sums)), rng.choice([0.1, 0.5, 1.0], len(sums))
    order = rng.permutation(len(sums))
    found = estimate_mean(sums, counts, rates)
    shuffled = estimate_mean(np.array(sums)[order], counts[order], rates[order])
    assert shuffled.mean == pytest.approx(found.mean)
    assert (shuffled.low, shuffled.high) == (pytest.approx(found.low), pytest.approx(found.high))


def test_rarely_audited_rows_weigh_more() -> None:
    assert estimate_mean([1.0, 9.0], [1, 1], [0.9, 0.1]).mean == pytest.approx(
        (1 / 0.9 + 9 / 0.1) / (1 / 0.9 + 1 / 0.1)
    )


def test_a_row_counts_as_many_requests_as_it_sums_over() -> None:
    assert estimate_mean([30.0, 5.0], [3, 1], 1.0).mean == pytest.approx(35 / 4)


def test_without_rows_nothing_is_known_and_one_row_has_no_interval() -> None:
    assert estimate_mean([], [], []).mean is None
    one = estimate_mean([2.0], [1], 0.5)
    assert (one.mean, one.low, one.high) == (2.0, None, None)


def test_a_probability_that_is_none_is_refused() -> None:
    with pytest.raises(AuditError, match="sampling probabilities"):
        estimate_mean([1.0, 2.0], [1, 1], 0.0)


def test_the_interval_nearly_covers_the_mean_at_its_level() -> None:
    """1,000 repetitions of some 80 audits of two kinds, of skewed cost; the standard error of the share is .008."""
    rng = np.random.default_rng(0)
    truth, covered, repetitions = 0.5 * 100 + 0.5 * 300, 0, 1000
    for _ in range(repetitions):
        long = rng.random(4000) < 0.5
        cost = np.where(long, rng.gamma(4, 75, 4000), rng.gamma(4, 25, 4000))
        rate = np.where(long, 0.01, 0.03)
        drawn = rng.random(4000) < rate
        found = estimate_mean(cost[drawn], np.ones(drawn.sum()), rate[drawn])
        covered += found.low <= truth <= found.high
    assert covered / repetitions > 0.91
