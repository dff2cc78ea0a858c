"""The whole measurements of docs/audits.md; minutes."""

from __future__ import annotations

import pytest
from evidence.audits.audited_traffic import STRATA, TRAFFIC, simulate
from evidence.audits.audited_traffic import Traffic as Requests
from evidence.audits.live_bound_streams import (
    IN_CONTROL,
    LEVEL,
    LIVE,
    SHIFTS,
    Shift,
    Traffic,
    delays,
    false_alarms,
)
from scipy.stats import binom

pytestmark = [pytest.mark.evidence, pytest.mark.timeout(3600)]

STREAMS = 1000
REPETITIONS = 4000
CHANCE_OF_A_FALSE_ALARM = 1e-4


@pytest.mark.parametrize("traffic", IN_CONTROL, ids=lambda traffic: traffic.name)
def test_looked_at_20000_times_the_bounds_err_no_more_often_than_the_level_says(traffic: Traffic) -> None:
    most = binom.ppf(1 - CHANCE_OF_A_FALSE_ALARM, STREAMS, LEVEL) / STREAMS
    erred = false_alarms(traffic, STREAMS, 20_000, seed=1)
    assert erred.live <= most
    assert erred.live_upper <= most


@pytest.mark.parametrize("shift", SHIFTS, ids=str)
def test_a_rate_that_doubles_is_detected_before_the_stream_ends(shift: Shift) -> None:
    found = delays(LIVE, shift, shift.before, STREAMS, seed=1)
    assert found.false_alarms <= LEVEL
    if shift.requests - shift.shift >= 100_000:
        assert found.detected > 0.95
        assert found.requests[1] < 50_000
    else:
        assert found.detected > 0.45


@pytest.mark.parametrize("traffic", TRAFFIC, ids=lambda traffic: traffic.name)
def test_weighted_estimates_are_unbiased_and_cover_and_unweighted_ones_are_not(traffic: Requests) -> None:
    fewest = binom.ppf(CHANCE_OF_A_FALSE_ALARM, REPETITIONS, 0.95) / REPETITIONS
    found = {each.estimator: each for each in simulate(traffic, REPETITIONS, seed=1)}
    for estimator in ("weighted audits", "error, gold audits"):
        assert abs(found[estimator].mean_estimate - found[estimator].truth) < 4 * found[estimator].standard_error
        assert found[estimator].covered >= fewest
    assert found["error through 500 gold rows"].covered >= fewest
    assert found["all rows with an LLM's answer"].covered == 0


def test_with_two_audit_rates_intervals_cover_in_every_setting() -> None:
    covered = [strata.covered(1000, seed) for seed, strata in enumerate(STRATA)]
    assert min(covered) >= binom.ppf(CHANCE_OF_A_FALSE_ALARM, 1000, 0.95) / 1000
