from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from langchain_datashunt.errors import CalibrationDataError
from langchain_datashunt.policy.risk_coverage import group_risks, risk_coverage

rows = st.lists(st.tuples(st.sampled_from([0.5, 0.6, 0.8, 0.9, 1.0]), st.booleans()), min_size=1, max_size=30)


@given(rows=rows, seed=st.integers(0, 10))
@settings(max_examples=100)
def test_shuffling_rows_changes_no_number(rows: list[tuple[float, bool]], seed: int) -> None:
    confidence, wrong = (np.array(column) for column in zip(*rows, strict=True))
    order = np.random.default_rng(seed).permutation(len(rows))
    curve, shuffled = risk_coverage(confidence, wrong), risk_coverage(confidence[order], wrong[order])
    assert curve.area == shuffled.area
    assert curve.risk.tolist() == shuffled.risk.tolist()
    assert curve.risk_at(0.5) == shuffled.risk_at(0.5)


def test_the_area_of_ties_is_the_mean_over_their_orders() -> None:
    wrong = np.array([True, False, False, True])
    by_order = [np.mean(np.cumsum(wrong[list(order)]) / np.arange(1, 5)) for order in permutations(range(4))]
    assert risk_coverage(np.full(4, 0.9), wrong).area == pytest.approx(np.mean(by_order))


def test_points_are_the_errors_among_the_accepted() -> None:
    curve = risk_coverage(np.array([0.9, 0.5, 0.9, 0.7]), np.array([False, True, True, False]))
    assert curve.thresholds.tolist() == [0.9, 0.7, 0.5]
    assert curve.coverage.tolist() == [0.5, 0.75, 1.0]
    assert curve.risk.tolist() == [0.5, pytest.approx(1 / 3), 0.5]


def test_risk_at_full_coverage_is_the_error_rate() -> None:
    rng = np.random.default_rng(0)
    wrong = rng.random(100) < 0.3
    assert risk_coverage(rng.random(100), wrong).risk_at(1.0) == pytest.approx(wrong.mean())


@pytest.mark.parametrize("coverage", [0, -0.1, 1.1])
def test_a_coverage_outside_its_range_is_refused(coverage: float) -> None:
    with pytest.raises(ValueError, match="coverage must lie in"):
        risk_coverage(np.array([0.5]), np.array([True])).risk_at(coverage)


def test_a_curve_needs_rows() -> None:
    with pytest.raises(CalibrationDataError, match="at least one"):
        risk_coverage(np.empty(0), np.empty(0, dtype=bool))


def test_groups_below_the_minimum_state_no_risk() -> None:
    accepted = np.array([True] * 40 + [False] * 5 + [True] * 3)
    wrong = np.array([True] * 4 + [False] * 41 + [True] * 3)
    groups = ["en"] * 45 + ["fi"] * 3
    english, finnish = group_risks(accepted, wrong, groups, min_n=30)
    assert (english.group, english.n, english.n_accepted, english.n_errors) == ("en", 45, 40, 4)
    assert english.risk == pytest.approx(0.1)
    assert english.interval is not None
    assert english.interval[0] < 0.1 < english.interval[1]
    assert english.coverage == pytest.approx(40 / 45)
    assert (finnish.n_errors, finnish.risk, finnish.interval) == (3, None, None)


def test_groups_of_another_length_are_refused() -> None:
    with pytest.raises(CalibrationDataError, match="2 groups"):
        group_risks(np.array([True]), np.array([True]), ["a", "b"])
