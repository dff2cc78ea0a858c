from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from evidence.audits.audited_traffic import TRAFFIC, Coverage, Strata, Traffic, korn_graubard, simulate
from scipy.stats import binom, binomtest

from langchain_datashunt.bounds.audit_estimates import AuditCounts, error_through_teacher, estimate_rate
from langchain_datashunt.errors import AuditError

REPETITIONS = 250
FEWEST_COVERED = float(binom.ppf(1e-4, REPETITIONS, 0.95)) / REPETITIONS


def counts(probabilities: list[float], audits: list[int], misses: list[int]) -> AuditCounts:
    return AuditCounts(np.array(probabilities), np.array(audits), np.array(misses))


@pytest.mark.parametrize(("misses", "audits"), [(0, 1), (0, 50), (7, 50), (50, 50), (313, 4000)])
@pytest.mark.parametrize("probability", [0.02, 1.0])
def test_with_one_audit_rate_the_interval_is_clopper_and_pearsons(misses: int, audits: int, probability: float) -> None:
    found = estimate_rate("disagreement", counts([probability], [audits], [misses]))
    exact = binomtest(misses, audits).proportion_ci(0.95, "exact")
    assert (found.low, found.high) == pytest.approx((exact.low, exact.high))
    assert (found.rate, found.audits, found.misses) == (misses / audits, audits, misses)
    assert found.method == "Clopper-Pearson"


def test_equal_weights_in_two_groups_give_the_exact_interval_too() -> None:
    one, two = counts([0.02], [90], [5]), counts([0.02, 0.02], [40, 50], [3, 2])
    assert estimate_rate("error", two).high == pytest.approx(estimate_rate("error", one).high)
    assert estimate_rate("error", two).low == pytest.approx(estimate_rate("error", one).low)


def test_weights_undo_the_audit_rates() -> None:
    # 1,000 inputs audited at 10 % miss 20 % of the time, 1,000 audited at 50 % miss 4 %: 12 % of all
    assert estimate_rate("disagreement", counts([0.1, 0.5], [100, 500], [20, 20])).rate == pytest.approx(0.12)


def test_only_ratios_of_audit_rates_matter() -> None:
    low, high = (estimate_rate("error", counts([p, 5 * p], [70, 300], [4, 9])) for p in (0.02, 0.2))
    assert (low.rate, low.low, low.high) == pytest.approx((high.rate, high.low, high.high))


def test_a_rate_in_use_without_audits_widens_the_interval() -> None:
    without, with_it = counts([0.1], [500], [0]), counts([0.01, 0.1], [0, 500], [0, 0])
    assert estimate_rate("error", with_it).high > 2 * estimate_rate("error", without).high


def test_without_audits_nothing_is_known() -> None:
    found = estimate_rate("error", counts([], [], []))
    assert (found.rate, found.low, found.high) == (None, 0.0, 1.0)


def test_rows_are_counted_by_sampling_probability() -> None:
    found = AuditCounts.of_rows([True, False, True, False], [0.1, 0.1, 0.02, 0.1])
    assert found.sampling_probabilities.tolist() == [0.02, 0.1]
    assert (found.audits.tolist(), found.misses.tolist()) == ([1, 3], [1, 1])


@pytest.mark.parametrize("probability", [0.0, -0.1, 1.1, float("nan")])
def test_a_sampling_probability_that_is_none_is_refused(probability: float) -> None:
    with pytest.raises(AuditError, match=r"\(0, 1\]"):
        AuditCounts.of_rows([True], probability)


@pytest.mark.parametrize(("audits", "misses"), [([3], [4]), ([3], [-1]), ([3, 3], [1])])
def test_counts_that_do_not_fit_together_are_refused(audits: list[int], misses: list[int]) -> None:
    with pytest.raises(AuditError, match="cannot be misses"):
        counts([0.02], audits, misses)


@pytest.mark.parametrize("level", [0.0, 1.0, 95])
def test_a_confidence_level_out_of_range_is_refused(level: float) -> None:
    with pytest.raises(AuditError, match="confidence_level"):
        estimate_rate("error", counts([0.02], [3], [1]), level)


def test_through_a_faultless_teacher_the_error_is_nearly_the_disagreement() -> None:
    audits = counts([0.02], [4000], [120])
    found = error_through_teacher(audits, counts([1.0], [100_000], [0]))
    seen = estimate_rate("disagreement", audits, 0.975)
    assert (found.low, found.high) == pytest.approx((seen.low, seen.high), abs=1e-4)
    assert found.rate is None


def test_through_an_unknown_teacher_nothing_is_known_of_the_error() -> None:
    found = error_through_teacher(counts([0.02], [4000], [120]), counts([], [], []))
    assert (found.low, found.high) == (0.0, 1.0)


@pytest.fixture(scope="module", params=[TRAFFIC[0], TRAFFIC[2]], ids=lambda traffic: traffic.name)
def simulated(request: pytest.FixtureRequest) -> dict[str, Coverage]:
    traffic: Traffic = replace(request.param, requests=20_000)
    return {found.estimator: found for found in simulate(traffic, REPETITIONS, seed=11)}


@pytest.mark.parametrize("estimator", ["weighted audits", "error, gold audits"])
def test_weighted_estimates_are_unbiased_and_their_intervals_cover(
    simulated: dict[str, Coverage], estimator: str
) -> None:
    found = simulated[estimator]
    assert abs(found.mean_estimate - found.truth) < 4 * found.standard_error
    assert found.covered >= FEWEST_COVERED


def test_the_share_of_all_rows_with_an_llms_answer_estimates_something_else(simulated: dict[str, Coverage]) -> None:
    found = simulated["all rows with an LLM's answer"]
    assert found.mean_estimate > 3 * found.truth
    assert found.covered == 0


def test_bounds_through_the_teacher_cover_and_cost_width(simulated: dict[str, Coverage]) -> None:
    found = simulated["error through 500 gold rows"]
    assert found.covered >= FEWEST_COVERED
    assert found.width > simulated["error, gold audits"].width


def test_unweighted_audits_of_mixed_rates_are_biased() -> None:
    found = {each.estimator: each for each in simulate(TRAFFIC[4], 100, seed=3)}["unweighted audits"]
    assert found.mean_estimate < 0.6 * found.truth
    assert found.covered < 0.1


@pytest.mark.parametrize(
    "strata",
    [Strata(2000, 50.0, 0.1, (0.1, 0.0)), Strata(2000, 3.0, 0.1, (0.4, 0.0)), Strata(20_000, 10.0, 0.9, (0.4, 0.4))],
)
def test_intervals_cover_where_misses_hide_in_a_rarely_audited_stratum(strata: Strata) -> None:
    assert strata.covered(REPETITIONS, seed=5) >= FEWEST_COVERED


def test_the_usual_effective_sample_size_interval_does_not_cover_there() -> None:
    assert Strata(2000, 50.0, 0.1, (0.1, 0.0)).covered(REPETITIONS, seed=5, interval=korn_graubard) < 0.8
