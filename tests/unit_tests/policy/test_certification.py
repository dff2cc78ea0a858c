from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy.stats import binom, binomtest

from langchain_datashunt.policy.certification import (
    Certificate,
    accepted_counts,
    accepted_sums,
    critical_errors,
    exact_interval,
    margin_limits,
    passing_power,
    risk_p_values,
    upper_limit,
    walk_sequence,
)

LEVEL = 0.05


def test_rows_at_the_threshold_are_accepted() -> None:
    confidence = np.array([0.5, 0.9, 0.7, 0.9])
    assert accepted_counts(confidence, np.array([1.0, 0.9, 0.7, 0.0])).tolist() == [0, 2, 3, 4]
    assert accepted_sums(confidence, np.array([1, 2, 4, 8]), np.array([0.9, 0.6])).tolist() == [10, 14]


def test_risk_p_values_are_those_of_the_exact_binomial_test() -> None:
    p_value = risk_p_values(np.array([3]), np.array([200]), 0.05)[0]
    assert p_value == pytest.approx(binomtest(3, 200, 0.05, alternative="less").pvalue)


def test_nothing_accepted_proves_nothing() -> None:
    assert risk_p_values(np.array([0]), np.array([0]), 0.05)[0] == 1


def test_without_an_error_149_rows_certify_two_percent_and_148_do_not() -> None:
    p_values = risk_p_values(np.array([0, 0]), np.array([148, 149]), 0.02)
    assert (p_values <= LEVEL).tolist() == [False, True]


def test_critical_errors_are_the_most_that_pass() -> None:
    accepted = np.array([10, 149, 500, 5_000])
    critical = critical_errors(accepted, 0.02, LEVEL)
    assert critical[0] == -1
    assert (risk_p_values(critical[1:], accepted[1:], 0.02) <= LEVEL).all()
    assert (risk_p_values(critical[1:] + 1, accepted[1:], 0.02) > LEVEL).all()


def test_power_is_the_chance_to_make_no_more_errors_than_pass() -> None:
    power = passing_power(np.array([10, 0, 500]), np.array([0.0, 0.0, 0.01]), 0.02, LEVEL)
    critical = int(critical_errors(np.array([500]), 0.02, LEVEL)[0])
    assert power.tolist() == [0, 0, pytest.approx(binom.cdf(critical, 500, 0.01))]


@pytest.mark.parametrize(("hits", "trials"), [(0, 30), (7, 30), (30, 30)])
def test_the_exact_interval_is_clopper_pearsons(hits: int, trials: int) -> None:
    expected = binomtest(hits, trials).proportion_ci(0.95, method="exact")
    assert exact_interval(hits, trials) == (pytest.approx(expected.low), pytest.approx(expected.high))


def test_without_trials_every_rate_is_possible() -> None:
    assert exact_interval(0, 0) == (0.0, 1.0)


def test_a_walk_stops_at_the_first_limit_above_the_target() -> None:
    assert walk_sequence(np.array([0.01, 0.05, 0.06, 0.0]), 0.05) == 2
    assert walk_sequence(np.array([0.06, 0.0]), 0.05) == 0
    assert walk_sequence(np.array([0.0, 0.0]), 0.05) == 2


@given(trials=st.integers(1, 2_000), share=st.floats(0, 1), target=st.floats(0.001, 0.999))
def test_a_limit_is_at_or_below_a_target_where_the_exact_test_rejects_it(
    trials: int, share: float, target: float
) -> None:
    errors = np.array([int(share * trials)])
    p_value = float(risk_p_values(errors, np.array([trials]), target)[0])
    assume(abs(p_value - LEVEL) > 1e-9)
    assert (upper_limit(errors, np.array([trials]), LEVEL)[0] <= target) == (p_value <= LEVEL)


def test_with_margin_zero_the_test_is_mcnemars_at_nearly_the_full_level() -> None:
    for losses, gains in ((4, 15), (5, 15), (6, 15), (0, 5), (0, 4), (30, 40)):
        p_value = binomtest(losses, losses + gains, 0.5, alternative="less").pvalue
        limit = margin_limits(np.array([losses]), np.array([gains]), 1_000, LEVEL)[0]
        assert (limit <= 0) == (p_value <= 0.98 * LEVEL)


def test_a_rate_of_disagreement_below_the_margin_certifies_by_itself() -> None:
    assert margin_limits(np.array([0]), np.array([0]), 5_000, LEVEL)[0] < 0.01
    assert margin_limits(np.array([0]), np.array([0]), 100, LEVEL)[0] > 0.01


def test_fewer_losses_never_raise_the_limit() -> None:
    limits = margin_limits(np.arange(60), np.full(60, 20), 2_000, LEVEL)
    assert (np.diff(limits) >= -1e-12).all()


@pytest.mark.parametrize("margin", [0.0, 0.01, 0.03])
@pytest.mark.parametrize("gain_rate", [0.0, 0.01, 0.1])
def test_an_inferior_system_passes_no_more_often_than_the_level_says(margin: float, gain_rate: float) -> None:
    n, repetitions = 1_000, 20_000
    rates = [gain_rate + margin, gain_rate, 1 - 2 * gain_rate - margin]
    losses, gains, _ = np.random.default_rng(0).multinomial(n, rates, size=repetitions).T
    passed = (margin_limits(losses, gains, n, LEVEL) < margin).sum()
    assert passed <= binom.ppf(0.9999, repetitions, LEVEL)


def test_the_upper_limit_fails_no_more_often_than_it_says() -> None:
    hits = np.random.default_rng(0).binomial(200, 0.03, size=20_000)
    assert (upper_limit(hits, 200, 0.05) < 0.03).sum() <= binom.ppf(0.9999, 20_000, 0.05)


def test_the_claim_names_quantity_level_and_n() -> None:
    certificate = Certificate("selective_risk", 0.02, 0.95, "a test", "a split", 1_000, 600, 0.01, 5)
    assert certificate.coverage == 0.6
    assert certificate.claim() == (
        "certified at level 0.95 to keep selective risk at or below 0.02 (n = 1000, coverage 0.600)"
    )
