"""What docs/distillation.md claims, measured again: run by `make evidence`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binom

from tests.evidence.distillation import measure_ablations, measure_imdb_loop
from tests.evidence.distillation.simulated_candidates import BUDGET, CANDIDATES, SETTINGS, Setting, fool, print_fooled

pytestmark = [pytest.mark.evidence, pytest.mark.timeout(7200)]

SEEDS = 5
CHANCE_OF_A_FALSE_ALARM = 1e-4


@pytest.mark.recorded
def test_the_imdb_loop_defers_at_most_three_quarters_of_what_it_did(recorded_data: Path) -> None:
    by_seed = [measure_imdb_loop.loop_of_one_seed(recorded_data, seed) for seed in range(SEEDS)]
    measure_imdb_loop.print_entries(by_seed)
    ratios = []
    for start, *later in by_seed:
        last = [entry for entry in later if entry.way == measure_imdb_loop.LOOP][-1]
        ratios.append(last.score.deferral / start.score.deferral)
    assert np.mean(ratios) <= 0.75


@pytest.mark.recorded
def test_without_retain_and_gold_rows_a_student_forgets(recorded_data: Path) -> None:
    by_seed = [measure_ablations.ablations_of_one_seed(recorded_data, seed) for seed in range(SEEDS)]
    measure_ablations.print_ablations(by_seed)
    easy = {
        name: np.mean([each.easy for seed in by_seed for each in seed if each.variant == name])
        for name in ("before", "without gold rows", "without gold rows and retain")
    }
    assert easy["before"] - easy["without gold rows"] < 0.03
    assert easy["without gold rows"] - easy["without gold rows and retain"] > 0.02


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.name)
def test_no_better_candidates_are_promoted_no_more_often_than_stated(setting: Setting) -> None:
    found = fool(setting)
    print_fooled([found])
    assert found.candidates >= CANDIDATES
    assert found.wrongly * found.candidates <= binom.ppf(1 - CHANCE_OF_A_FALSE_ALARM, found.candidates, BUDGET)
