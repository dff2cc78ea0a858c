from __future__ import annotations

import numpy as np
import pytest
from drawn_rows import draw, parts

from langchain_datashunt.errors import InfeasibleTargetError
from langchain_datashunt.policy.goals import EndToEnd, TargetRisk
from langchain_datashunt.policy.threshold_walks import RiskWalk, ScoredRows
from langchain_datashunt.policy.thresholds import find_end_to_end, find_target_risk


def shortfall(rows: ScoredRows, goal: TargetRisk | EndToEnd) -> InfeasibleTargetError:
    find = find_target_risk if isinstance(goal, TargetRisk) else find_end_to_end
    with pytest.raises(InfeasibleTargetError) as raised:
        find(*parts(rows), goal)
    return raised.value


def test_the_error_says_what_is_achievable() -> None:
    rows = draw(400, np.random.default_rng(0))
    error = shortfall(rows, TargetRisk(0.02))
    assert error.best is not None
    assert error.n == 360
    for part in (
        "target risk 0.02",
        "360 certification rows",
        "level 0.95",
        f"{error.best:.4f}",
        f"{error.coverage:.3f}",
    ):
        assert part in str(error)


def test_the_best_achievable_is_achieved_and_less_is_not() -> None:
    calibration, certification = parts(draw(400, np.random.default_rng(0)))
    best = shortfall(draw(400, np.random.default_rng(0)), TargetRisk(0.02)).best
    assert best is not None
    walk = RiskWalk(calibration, certification, 0.05)
    assert walk.passed(best)
    assert not walk.passed(best - 1e-9)


def test_with_the_estimated_labels_the_goal_is_usually_reached() -> None:
    more = [shortfall(draw(400, np.random.default_rng(seed)), TargetRisk(0.03)).more_labels for seed in range(5)]
    assert all(labels is not None for labels in more)
    n = 400 + int(np.median([labels for labels in more if labels is not None]))
    reached = [RiskWalk(*parts(draw(n, np.random.default_rng(seed))), 0.05).passed(0.03) > 0 for seed in range(50)]
    assert 0.5 < np.mean(reached) <= 1


def test_no_number_of_labels_helps_a_model_that_is_never_good_enough() -> None:
    rng = np.random.default_rng(0)
    rows = ScoredRows(rng.uniform(0.5, 1, 2_000), rng.random(2_000) < 0.3)
    error = shortfall(rows, TargetRisk(0.1))
    assert error.more_labels is None
    assert "no number of labels would do" in str(error)


def test_a_model_that_is_always_wrong_certifies_nothing() -> None:
    rng = np.random.default_rng(0)
    error = shortfall(ScoredRows(rng.uniform(0.5, 1, 200), np.ones(200, dtype=bool)), TargetRisk(0.5))
    assert error.best is None
    assert error.coverage is None


def test_an_infeasible_margin_says_what_is_achievable() -> None:
    error = shortfall(draw(600, np.random.default_rng(1), large_accuracy=0.97), EndToEnd((), margin=0.0))
    assert error.best is not None
    assert "within margin 0 of the large model's" in str(error)
    assert error.more_labels is None or error.more_labels > 0
