from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from drawn_rows import draw, parts, rows_of, true_risk
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom

from langchain_datashunt.errors import CalibrationDataError, InfeasibleTargetError
from langchain_datashunt.policy.certification import exact_interval
from langchain_datashunt.policy.costs import CallCosts
from langchain_datashunt.policy.goals import EndToEnd, MaxDeferral, TargetRisk
from langchain_datashunt.policy.threshold_walks import AccuracyWalk, RiskWalk, ScoredRows
from langchain_datashunt.policy.thresholds import find_end_to_end, find_max_deferral, find_target_risk, midpoints

FALSE_ALARM = 1e-5


def coverage_of(rows: ScoredRows, risk: float, confidence_level: float = 0.95) -> float:
    walk = RiskWalk(*parts(rows), 1 - confidence_level)
    passed = walk.passed(risk)
    return float(walk.accepted[passed - 1]) / walk.n if passed else 0.0


def system_coverage(rows: ScoredRows, margin: float) -> float:
    """Return the coverage of the cheapest certified threshold; -1 where there is none."""
    try:
        found = find_end_to_end(*parts(rows), EndToEnd((), margin=margin))
    except InfeasibleTargetError:
        return -1.0
    return float(found.observed["cheapest"]["coverage"])


def test_the_true_risk_exceeds_a_certified_target_no_more_often_than_the_level_says() -> None:
    rng = np.random.default_rng(0)
    repetitions, level = 1_000, 0.2
    violations = dict.fromkeys((0.05, 0.1, 0.2), 0)
    for _ in range(repetitions):
        walk = RiskWalk(*parts(draw(500, rng)), level)
        for risk in violations:
            passed = walk.passed(risk)
            violations[risk] += passed > 0 and true_risk(walk.thresholds[passed - 1]) > risk
    assert max(violations.values()) <= binom.ppf(1 - FALSE_ALARM, repetitions, level)
    assert max(violations.values()) > 0  # a test that a certificate of nothing would pass proves nothing


def test_a_plug_in_threshold_would_violate_its_target_about_half_the_time() -> None:
    rng = np.random.default_rng(0)
    violations = 0
    for _ in range(200):
        rows = draw(1_000, rng)
        order = np.argsort(-rows.confidence)
        risks = np.cumsum(rows.wrong[order]) / np.arange(1, 1_001)
        violations += true_risk(rows.confidence[order][np.flatnonzero(risks <= 0.1)[-1]]) > 0.1
    assert 60 < violations < 140


def test_five_thousand_rows_certify_most_of_the_coverage_there_is() -> None:
    rng = np.random.default_rng(0)
    coverages = [coverage_of(draw(5_000, rng), 0.1) for _ in range(20)]
    assert np.mean(coverages) > 0.8 * 0.4  # the oracle's coverage is 0.4: true risk 0.1 at threshold 0.8


@given(seed=st.integers(0, 1_000), n=st.integers(20, 2_000), low=st.floats(0.005, 0.3), step=st.floats(0.0, 0.3))
@settings(max_examples=60, deadline=None)
def test_a_higher_target_never_lowers_coverage(seed: int, n: int, low: float, step: float) -> None:
    rows = draw(n, np.random.default_rng(seed))
    assert coverage_of(rows, low) <= coverage_of(rows, low + step)


def test_a_higher_confidence_level_never_raises_coverage() -> None:
    for seed in range(20):
        rows = draw(2_000, np.random.default_rng(seed))
        coverages = [coverage_of(rows, 0.1, level) for level in (0.8, 0.9, 0.95, 0.99)]
        assert coverages == sorted(coverages, reverse=True)


@given(seed=st.integers(0, 100))
@settings(max_examples=20, deadline=None)
def test_the_order_of_rows_changes_no_threshold(seed: int) -> None:
    rng = np.random.default_rng(seed)
    rows = draw(1_000, rng, large_accuracy=0.8)
    shuffled = [rows_of(part, rng.permutation(len(part))) for part in parts(rows)]
    risk, accuracy = TargetRisk(0.2), EndToEnd((), margin=0.05)
    assert find_target_risk(*shuffled, risk).threshold == find_target_risk(*parts(rows), risk).threshold
    assert find_end_to_end(*shuffled, accuracy).threshold == find_end_to_end(*parts(rows), accuracy).threshold


def test_the_certificate_says_what_was_seen() -> None:
    calibration, certification = parts(draw(5_000, np.random.default_rng(0)))
    found = find_target_risk(calibration, certification, TargetRisk(0.1))
    assert found.certificate is not None
    accepted = certification.confidence >= found.threshold
    assert found.certificate.n == len(certification)
    assert found.certificate.n_accepted == accepted.sum()
    assert found.certificate.observed == certification.wrong[accepted].mean()
    assert exact_interval(int(certification.wrong[accepted].sum()), int(accepted.sum()), 0.9)[1] <= 0.1


def test_rows_of_equal_confidence_stay_together() -> None:
    rng = np.random.default_rng(0)
    confidence = rng.choice([0.6, 0.8, 0.99], 3_000)
    rows = ScoredRows(confidence, rng.random(3_000) > confidence)
    threshold = find_target_risk(*parts(rows), TargetRisk(0.03)).threshold
    assert 0.8 < threshold < 0.99


def test_midpoints_separate_neighbours_and_end_with_accepting_all() -> None:
    assert midpoints(np.array([0.5, 0.9, 0.7, 0.9])).tolist() == [pytest.approx(0.8), pytest.approx(0.6), 0.0]


@pytest.mark.parametrize("share", [0.1, 0.3118, 0.9])
def test_max_deferral_spends_its_budget_and_no_more(share: float) -> None:
    rows = draw(1_000, np.random.default_rng(0))
    found = find_max_deferral(rows, MaxDeferral(share))
    deferred = (rows.confidence < found.threshold).mean()
    assert share - 0.001 <= deferred <= share
    assert found.certificate is None


def test_max_deferral_with_ties_stays_within_the_budget() -> None:
    rows = ScoredRows(np.array([0.6] * 50 + [0.9] * 50), np.zeros(100, dtype=bool))
    assert find_max_deferral(rows, MaxDeferral(0.3)).threshold == 0.0
    assert find_max_deferral(rows, MaxDeferral(0.6)).threshold == pytest.approx(0.75)


def test_a_certified_deferral_rate_holds_at_its_level() -> None:
    rng = np.random.default_rng(0)
    goal = MaxDeferral(0.3, confidence_level=0.9)
    repetitions = 400
    rates = [2 * (find_max_deferral(draw(300, rng), goal).threshold - 0.5) for _ in range(repetitions)]
    assert (np.array(rates) > 0.3).sum() <= binom.ppf(1 - FALSE_ALARM, repetitions, 0.1)
    assert np.mean(rates) > 0.25


def test_too_few_rows_to_certify_a_deferral_rate_defer_nothing() -> None:
    found = find_max_deferral(draw(5, np.random.default_rng(0)), MaxDeferral(0.05, confidence_level=0.95))
    assert found.threshold == 0.0


def test_with_large_answers_the_budget_is_spent_only_where_that_helps() -> None:
    rows = draw(4_000, np.random.default_rng(0), large_accuracy=0.8)
    found = find_max_deferral(rows, MaxDeferral(0.9, large_answers=()))
    assert found.threshold == pytest.approx(0.8, abs=0.05)  # beyond, the small model is the better one


def test_a_budget_of_cost_counts_dear_calls_more() -> None:
    rows = draw(1_000, np.random.default_rng(0))
    dear_at_the_bottom = replace(rows, large_costs=np.where(rows.confidence < 0.6, 10.0, 1.0))
    goal = MaxDeferral(0.5, costs=CallCosts(small=0.1, large=1.0))
    threshold = find_max_deferral(dear_at_the_bottom, goal).threshold
    spent = 0.1 * 1_000 + dear_at_the_bottom.large_costs[rows.confidence < threshold].sum()
    assert spent <= 0.5 * dear_at_the_bottom.large_costs.sum()
    assert threshold < find_max_deferral(rows, MaxDeferral(0.5)).threshold


def test_small_calls_that_exceed_the_budget_are_infeasible() -> None:
    rows = replace(draw(100, np.random.default_rng(0)), large_costs=np.ones(100))
    with pytest.raises(InfeasibleTargetError, match="small calls alone"):
        find_max_deferral(rows, MaxDeferral(0.1, costs=CallCosts(small=0.2, large=1.0)))


def test_a_certified_system_loses_more_than_its_margin_no_more_often_than_the_level_says() -> None:
    rng = np.random.default_rng(0)
    repetitions, level = 500, 0.2
    violations = dict.fromkeys((0.0, 0.02), 0)
    for _ in range(repetitions):
        rows = parts(draw(1_000, rng, large_accuracy=0.9))
        walk = AccuracyWalk(*rows, level)
        for margin in violations:
            passed = walk.passed(margin)
            threshold = max(walk.thresholds[passed - 1], 0.5)
            true_loss = 2 * (1 - threshold) * (true_risk(threshold) - 0.1)
            violations[margin] += passed > 0 and true_loss > margin
    assert max(violations.values()) <= binom.ppf(1 - FALSE_ALARM, repetitions, level)


def test_end_to_end_accepts_more_where_the_large_model_is_worse() -> None:
    thresholds = []
    for large_accuracy in (0.95, 0.85, 0.75):
        rows = draw(20_000, np.random.default_rng(0), large_accuracy)
        thresholds.append(find_end_to_end(*parts(rows), EndToEnd((), margin=0.0)).threshold)
    assert thresholds == sorted(thresholds, reverse=True)


def test_the_most_accurate_threshold_is_no_cheaper_and_no_less_accurate() -> None:
    rows = draw(20_000, np.random.default_rng(0), 0.8)
    cheapest = find_end_to_end(*parts(rows), EndToEnd((), margin=0.0))
    accurate = find_end_to_end(*parts(rows), EndToEnd((), margin=0.0, prefer="most_accurate"))
    assert accurate.threshold == pytest.approx(0.8, abs=0.05)
    assert accurate.threshold > cheapest.threshold
    assert accurate.observed == cheapest.observed
    assert accurate.observed["most_accurate"]["system_accuracy"] > accurate.observed["cheapest"]["system_accuracy"]


@given(
    seed=st.integers(0, 10_000),
    n=st.integers(20, 1_500),
    large_accuracy=st.floats(0.5, 1.0),
    low=st.sampled_from([0.0, 1e-9, 0.005]) | st.floats(0, 0.2),
    step=st.floats(0, 0.2),
)
@settings(max_examples=80, deadline=None)
def test_a_wider_margin_never_lowers_coverage(
    seed: int, n: int, large_accuracy: float, low: float, step: float
) -> None:
    rows = draw(n, np.random.default_rng(seed), large_accuracy)
    assert system_coverage(rows, low) <= system_coverage(rows, low + step)


def test_costs_are_reported_for_both_thresholds() -> None:
    rows = replace(draw(5_000, np.random.default_rng(0), 0.8), large_costs=np.full(5_000, 2.0))
    goal = EndToEnd((), margin=0.0, costs=CallCosts(small=0.1, large=2.0))
    observed = find_end_to_end(*parts(rows), goal).observed
    for name in ("cheapest", "most_accurate"):
        assert observed[name]["cost"] == pytest.approx(0.1 + 2 * (1 - observed[name]["coverage"]))
        assert observed[name]["cost_of_large_alone"] == pytest.approx(2)


def test_end_to_end_without_large_answers_is_refused() -> None:
    with pytest.raises(CalibrationDataError, match="large_answers"):
        find_end_to_end(*parts(draw(100, np.random.default_rng(0))), EndToEnd((), margin=0.0))
