from __future__ import annotations

import json
import time
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from evidence.audits.live_bound_streams import (
    IN_CONTROL,
    LEVEL,
    LIVE,
    PLAIN,
    Shift,
    delays,
    false_alarms,
    with_restarts,
)
from scipy.stats import binom

from langchain_datashunt.bounds.live_bound import LiveBound
from langchain_datashunt.errors import AuditError


def bound(target: float = 0.05, rate: float = 0.02, **options: Any) -> LiveBound:
    return LiveBound("disagreement", target, lowest_audit_rate=rate, **options)


def misses(n: int, rate: float, seed: int = 0) -> list[bool]:
    return list(np.random.default_rng(seed).random(n) < rate)


def test_without_audits_nothing_is_known() -> None:
    fresh = bound()
    assert (fresh.audits, fresh.estimate, fresh.lower, fresh.upper, fresh.alarm) == (0, None, 0.0, 1.0, None)
    assert "no audits yet" in str(fresh)


def test_the_bounds_enclose_the_rate_and_close_in_on_it() -> None:
    live, widths = bound(0.3), []
    for seed in range(4):
        live.update(misses(2000, 0.1, seed), 0.02)
        assert live.lower <= 0.1 <= live.upper
        widths.append(live.upper - live.lower)
    assert widths == sorted(widths, reverse=True)
    assert widths[-1] < 0.035
    assert live.alarm is None


def test_the_alarm_goes_off_once_when_the_lower_bound_reaches_the_target() -> None:
    live = bound(0.05)
    alarms = [live.update(miss, 0.02) for miss in misses(1000, 0.15)]
    (alarm,) = [each for each in alarms if each is not None]
    assert alarm == live.alarm
    assert alarm.lower >= alarm.target == 0.05
    assert alarms.index(alarm) + 1 == alarm.audits
    assert "disagreement among accepted inputs has passed its target 0.05" in str(alarm)
    assert "ALARM" in str(live)


def test_many_audits_at_once_are_the_same_as_one_by_one() -> None:
    together, apart = bound(), bound()
    together.update(misses(300, 0.1), [0.02, 0.5] * 150)
    for miss, rate in zip(misses(300, 0.1), [0.02, 0.5] * 150, strict=True):
        apart.update(miss, rate)
    assert together.to_dict() == apart.to_dict()


def test_the_upper_bound_needs_about_ln_20_audits_per_rate_without_a_miss() -> None:
    live = bound()
    live.update([False] * 500, 0.02)
    assert 3 / 500 < live.upper < 5.5 / 500  # 3 / n is the exact limit of a sample that is looked at once


def test_a_bound_that_is_saved_and_loaded_goes_on_as_if_nothing_had_happened(tmp_path: Path) -> None:
    path = tmp_path / "live.json"
    whole, first = bound(), bound()
    whole.update(misses(700, 0.09), 0.02)
    first.update(misses(700, 0.09)[:400], 0.02)
    first.save(path)
    resumed = LiveBound.load(path)
    resumed.update(misses(700, 0.09)[400:], 0.02)
    assert resumed.to_dict() == whole.to_dict()
    assert [each.name for each in tmp_path.iterdir()] == ["live.json"]


def test_a_saved_bound_does_not_grow_with_the_audits(tmp_path: Path) -> None:
    sizes = []
    for n in (10, 5000):
        live = bound()
        live.update(misses(n, 0.05), 0.02)
        sizes.append(len(json.dumps(live.to_dict())))
    assert max(sizes) < 30_000


def test_an_audit_costs_far_less_than_a_call() -> None:
    live = bound()
    started = time.perf_counter()
    live.update(misses(1000, 0.05), 0.02)
    assert time.perf_counter() - started < 1.0  # 1 ms each at the very most


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"format": "other"}, "no live bound"),
        ({"format_version": 2}, "version 2"),
        ({"placed": [[1.0]]}, "malformed"),
        ({"target": "high"}, "malformed"),
        ({"alarm": {"target": 1}}, "malformed"),
    ],
)
def test_a_record_that_is_no_live_bound_is_refused(change: dict[str, Any], match: str) -> None:
    with pytest.raises(AuditError, match=match):
        LiveBound.from_dict({**bound().to_dict(), **change})


def test_a_file_that_is_no_json_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("{")
    with pytest.raises(AuditError, match="not JSON"):
        LiveBound.load(tmp_path / "x")


@pytest.mark.parametrize("options", [{"target": 0.0}, {"target": 1.0}, {"confidence_level": 1.0}, {"rate": 0.0}])
def test_numbers_out_of_their_range_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(AuditError, match="must lie"):
        bound(**options)


def test_a_quantity_that_audits_do_not_measure_is_refused() -> None:
    with pytest.raises(AuditError, match="'accuracy'"):
        LiveBound("accuracy", 0.05, lowest_audit_rate=0.02)  # type: ignore[arg-type]


@pytest.mark.parametrize(("miss", "rate"), [(True, 0.01), (True, 1.5), (True, float("nan")), (0.5, 0.02)])
def test_an_audit_that_does_not_fit_is_refused_and_changes_nothing(miss: float, rate: float) -> None:
    live = bound()
    before = live.to_dict()
    with pytest.raises(AuditError):
        live.update([True, miss], [0.02, rate])
    assert live.to_dict() == before


def test_against_calibration_the_target_is_an_exact_upper_limit_at_half_the_error_level() -> None:
    live = LiveBound.against_calibration("disagreement", 40, 2000, lowest_audit_rate=0.02)
    assert binom.cdf(40, 2000, live.target) == pytest.approx(0.025)
    assert live.confidence_level == pytest.approx(0.975)


def test_the_simulation_plays_the_same_bets_as_the_live_bound() -> None:
    drawn = np.array([misses(1500, rate, seed) for seed, rate in enumerate((0.03, 0.1, 0.2))])
    alarms = []
    for row in drawn:
        live = bound(0.05)
        live.update(row, 0.02)
        alarms.append(1500 if live.alarm is None else live.alarm.audits - 1)
    assert alarms == with_restarts(drawn, 0.05).tolist()
    assert alarms[0] == 1500
    assert max(alarms[1:]) < 1500


STREAMS = 300
played = cache(false_alarms)
MOST_FALSE_ALARMS = float(binom.ppf(1 - 1e-4, STREAMS, LEVEL)) / STREAMS


@pytest.mark.parametrize("traffic", IN_CONTROL, ids=lambda traffic: traffic.name)
def test_looked_at_after_every_audit_the_bounds_err_no_more_often_than_the_level_says(traffic: Any) -> None:
    erred = played(traffic, STREAMS, 1500, seed=7)
    assert erred.live <= MOST_FALSE_ALARMS
    assert erred.live_upper <= MOST_FALSE_ALARMS


def test_a_fixed_sample_limit_that_is_looked_at_after_every_audit_errs_far_more_often() -> None:
    assert played(IN_CONTROL[0], STREAMS, 1500, seed=7).peeked > 4 * LEVEL


def test_without_weights_audits_of_mixed_rates_raise_false_alarms() -> None:
    assert played(IN_CONTROL[-1], STREAMS, 1500, seed=7).unweighted > 4 * LEVEL


def test_audits_of_mixed_rates_detect_a_rate_that_has_doubled() -> None:
    risen = replace(IN_CONTROL[-1], miss_rates=(0.04, 0.16))
    assert false_alarms(risen, 100, 3000, seed=7).live > 0.9


def test_a_rate_that_doubles_is_detected_although_the_past_was_good() -> None:
    found = delays(LIVE, Shift(0.05, 0.1, 50_000), 0.05, 100, seed=0)
    plain = delays(PLAIN, Shift(0.05, 0.1, 50_000), 0.05, 100, seed=0)
    assert found.false_alarms <= 0.12
    assert found.detected > 0.95
    assert found.audits[1] < 600
    assert found.requests[1] < plain.requests[1]
