"""The whole measurements of docs/audits.md, with its seeds; minutes."""

from __future__ import annotations

import pytest
from evidence.audits.audited_traffic import (
    TRAFFIC,
    covered_in_all,
    korn_graubard,
    ours,
    print_coverage,
    simulate,
)
from evidence.audits.live_bound_streams import (
    IN_CONTROL,
    LEVEL,
    SHIFTS,
    false_alarms,
    played,
    print_delays,
    print_false_alarms,
)
from scipy.stats import binom

pytestmark = [pytest.mark.evidence, pytest.mark.timeout(3600)]

STREAMS = 1000
REPETITIONS = 4000
CHANCE_OF_A_FALSE_ALARM = 1e-4


@pytest.mark.parametrize("seed", range(len(IN_CONTROL)), ids=lambda seed: IN_CONTROL[seed].name)
def test_looked_at_20000_times_the_bounds_err_no_more_often_than_the_level_says(seed: int) -> None:
    most = binom.ppf(1 - CHANCE_OF_A_FALSE_ALARM, STREAMS, LEVEL) / STREAMS
    erred = false_alarms(IN_CONTROL[seed], STREAMS, 20_000, seed)
    print_false_alarms(erred)
    assert erred.live <= most
    assert erred.live_upper <= most


@pytest.mark.parametrize("seed", range(len(SHIFTS)), ids=lambda seed: str(SHIFTS[seed]))
def test_a_rate_that_doubles_is_detected_before_the_stream_ends(seed: int) -> None:
    shift = SHIFTS[seed]
    rules = played(shift, STREAMS, seed)
    for rule in rules:
        print_delays(rule)
    found = rules[0]
    assert found.false_alarms <= LEVEL
    if shift.requests - shift.shift >= 100_000:
        assert found.detected > 0.95
        assert found.requests[1] < 50_000
    else:
        assert found.detected > 0.45


@pytest.mark.parametrize("seed", range(len(TRAFFIC)), ids=lambda seed: TRAFFIC[seed].name)
def test_weighted_estimates_are_unbiased_and_cover_and_unweighted_ones_are_not(seed: int) -> None:
    fewest = binom.ppf(CHANCE_OF_A_FALSE_ALARM, REPETITIONS, 0.95) / REPETITIONS
    found = {each.estimator: each for each in simulate(TRAFFIC[seed], REPETITIONS, seed)}
    for each in found.values():
        print_coverage(TRAFFIC[seed], each)
    for estimator in ("weighted audits", "error, gold audits"):
        assert abs(found[estimator].mean_estimate - found[estimator].truth) < 4 * found[estimator].standard_error
        assert found[estimator].covered >= fewest
    assert found["error through 500 gold rows"].covered >= fewest
    assert found["all rows with an LLM's answer"].covered == 0


def test_with_two_audit_rates_our_intervals_cover_in_every_setting_and_those_of_korn_and_graubard_do_not() -> None:
    fewest = binom.ppf(CHANCE_OF_A_FALSE_ALARM, 1000, 0.95) / 1000
    assert min(covered_in_all(ours, 1000)) >= fewest
    assert min(covered_in_all(korn_graubard, 1000)) < fewest
