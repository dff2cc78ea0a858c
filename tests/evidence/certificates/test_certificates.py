"""At least 2,000 calibration sets in each setting; minutes."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from scipy.stats import binom

sys.path.insert(0, str(Path(__file__).parent))

from populations import POPULATIONS
from simulation import LEVEL, SIZES, simulate

pytestmark = [pytest.mark.evidence, pytest.mark.timeout(3600)]

REPETITIONS = 2000
CHANCE_OF_A_FALSE_ALARM = 1e-4


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("name", POPULATIONS)
def test_the_true_risk_exceeds_the_target_no_more_often_than_the_level_says(name: str, n: int) -> None:
    most = binom.ppf(1 - CHANCE_OF_A_FALSE_ALARM, REPETITIONS, LEVEL)
    for result in simulate(POPULATIONS[name](), n, REPETITIONS, seed=n):
        if result.rule == "certified":
            assert result.violations <= most, result


@pytest.mark.parametrize("name", POPULATIONS)
def test_with_5000_rows_the_gap_to_the_oracle_is_hardly_wider_than_that_of_the_invalid_bound(name: str) -> None:
    results = list(simulate(POPULATIONS[name](), 5_000, REPETITIONS, seed=5_000))
    gaps = {(result.target, result.rule): result.mean_gap for result in results}
    for (target, rule), gap in gaps.items():
        if rule == "certified":
            assert gap <= 1.5 * gaps[target, "pointwise"], (target, gap, gaps[target, "pointwise"])
