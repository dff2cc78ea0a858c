from __future__ import annotations

import numpy as np
import pytest
from scipy.special import betaln

from langchain_datashunt.bounds.betting import LOG_ODDS, RestartingBets, capital_on_less, uninvested

RATES = np.array([0.01, 0.05, 0.3, 0.9])


def played(misses: list[int], weight: float = 1.0) -> RestartingBets:
    bets = RestartingBets(RATES)
    for miss in misses:
        bets.play(miss * weight, weight)
    return bets


@pytest.mark.parametrize("weight", [1.0, 0.2])
@pytest.mark.parametrize("past", [[], [0, 1, 0], [1] * 5])
def test_no_audit_is_expected_to_raise_the_capital_against_the_true_rate(past: list[int], weight: float) -> None:
    hit, miss = played([*past, 1], 1.0).capital, played([*past, 0], 1.0).capital
    assert RATES * hit + (1 - RATES) * miss == pytest.approx(played(past).capital)
    if weight < 1:  # weights make the bets no better than fair
        bets = [played(past), played(past)]
        bets[0].play(weight, weight)
        bets[1].play(0.0, weight)
        hit, miss = (each.capital for each in bets)
        assert np.all(RATES * hit + (1 - RATES) * miss <= played(past).capital + 1e-12)


def test_mixed_audit_rates_are_fair_over_all_accepted_inputs() -> None:
    # one half is audited at 2 % and misses at 8 %, the other at 10 % and misses at 2 %: 5 % of all
    before = RestartingBets(np.array([0.05]))
    expected = (1 - 0.5 * 0.02 - 0.5 * 0.1) * before.capital
    for audited, missing, weight in ((0.5 * 0.02, 0.08, 1.0), (0.5 * 0.1, 0.02, 0.2)):
        for miss, chance in ((1.0, missing), (0.0, 1 - missing)):
            bets = RestartingBets(np.array([0.05]))
            bets.play(miss * weight, weight)
            expected = expected + audited * chance * bets.capital
    assert expected <= before.capital


def test_the_capital_falls_with_the_rate_that_it_is_bet_against() -> None:
    rng = np.random.default_rng(0)
    assert np.all(np.diff(played(list(rng.random(500) < 0.2)).capital) < 0)


def test_an_audit_of_no_weight_changes_nothing() -> None:
    bets = played([1, 0, 1])
    before = bets.capital
    bets.play(0.0, 0.0)
    assert bets.capital == pytest.approx(before)


def test_streams_that_are_played_at_once_are_played_apart() -> None:
    rng = np.random.default_rng(1)
    misses = rng.random((3, 50)) < 0.3
    together = RestartingBets(RATES, (3,))
    for column in misses.T:
        together.play(column.astype(float), np.ones(3))
    assert together.capital == pytest.approx(np.array([played(list(row)).capital for row in misses]))


def test_all_capital_is_placed_in_the_end_but_never_more() -> None:
    shares = uninvested(np.array([0.0, 1e2, 1e6, 1e12]))
    assert shares[0] == 0.5
    assert np.all(np.diff(shares) < 0)
    assert 0 < shares[-1] < 0.03


def test_a_capital_that_would_overflow_stays_finite() -> None:
    bets = RestartingBets(np.array([1e-6]))
    for _ in range(400):
        bets.play(1.0, 1.0)
    assert np.isfinite(bets.capital).all()
    assert np.isfinite(capital_on_less(0.0, 1e9, 0.5))


def test_the_bets_from_the_first_audit_on_are_nearly_as_good_as_the_beta_binomial_mixture() -> None:
    # Robbins' mixture over all rates is the yardstick: a grid of seven bets loses little against it
    n, k, rate = 500, 50, 0.05
    grid = np.log(np.exp(k * LOG_ODDS - n * np.log1p(rate * np.expm1(LOG_ODDS))).mean())
    mixture = betaln(k + 0.5, n - k + 0.5) - betaln(0.5, 0.5) - k * np.log(rate) - (n - k) * np.log1p(-rate)
    assert grid > mixture - 1
