"""At least 2,000 calibration sets in each setting, with the seeds of docs/thresholds.md; minutes."""

from __future__ import annotations

import sys
from functools import cache
from pathlib import Path

import pytest
from scipy.stats import binom

sys.path.insert(0, str(Path(__file__).parent))

from measure_certificates import rows
from populations import POPULATIONS
from simulation import LEVEL, SIZES, Result, simulate

pytestmark = [pytest.mark.evidence, pytest.mark.timeout(3600)]

REPETITIONS = 2000
CHANCE_OF_A_FALSE_ALARM = 1e-4


@cache
def simulated(name: str, n: int) -> list[Result]:
    results = list(simulate(POPULATIONS[name](), n, REPETITIONS, seed=n))
    print("\n" + "\n".join(rows(results)), flush=True)
    return results


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("name", POPULATIONS)
def test_the_true_risk_exceeds_the_target_no_more_often_than_the_level_says(name: str, n: int) -> None:
    most = binom.ppf(1 - CHANCE_OF_A_FALSE_ALARM, REPETITIONS, LEVEL)
    for result in simulated(name, n):
        if result.rule == "certified":
            assert result.violations <= most, result


@pytest.mark.parametrize("name", POPULATIONS)
def test_with_5000_rows_the_gap_to_the_oracle_is_hardly_wider_than_that_of_the_invalid_bound(name: str) -> None:
    gaps = {(result.target, result.rule): result.mean_gap for result in simulated(name, 5_000)}
    for (target, rule), gap in gaps.items():
        if rule == "certified":
            assert gap <= 1.5 * gaps[target, "pointwise"], (target, gap, gaps[target, "pointwise"])
