"""What would have happened at another threshold: against a past in which everything is known."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from langchain_datashunt.bounds.other_thresholds import (
    AnsweredRows,
    Outcome,
    PastTraffic,
    outcome_at,
    thresholds_by_coverage,
)

PRESENT = 0.8
NAN = np.nan


@dataclass(frozen=True)
class Past:
    """Every request of the past, and what nobody saw of it."""

    confidence: np.ndarray
    small_wrong: np.ndarray
    large_wrong: np.ndarray
    disagrees: np.ndarray
    cost: np.ndarray

    @classmethod
    def drawn(cls, n: int, seed: int) -> Past:
        rng = np.random.default_rng(seed)
        confidence = np.round(rng.uniform(0.5, 1, n), 3)
        small_wrong = rng.random(n) > confidence
        large_wrong = rng.random(n) < 0.05
        disagrees = small_wrong != large_wrong
        return cls(confidence, small_wrong, large_wrong, disagrees, rng.gamma(4, 25, n))

    def seen(self, rate: np.ndarray, labelled: float, seed: int) -> PastTraffic:
        """Return what the log knows: all deferred requests, audits of the others, people's labels of a share."""
        rng = np.random.default_rng([seed, 1])  # independent of what happened
        accepted = self.confidence >= PRESENT
        audited = accepted & (rng.random(len(rate)) < rate)
        by_people = rng.random(len(rate)) < labelled
        return PastTraffic(
            threshold=PRESENT,
            accepted_requests=int(accepted.sum()),
            deferred_requests=int((~accepted).sum()),
            audits=self._rows(audited, rate, by_people),
            deferred=self._rows(~accepted, np.ones(len(rate)), by_people),
        )

    def _rows(self, which: np.ndarray, rate: np.ndarray, by_people: np.ndarray) -> AnsweredRows:
        return AnsweredRows(
            confidence=self.confidence[which],
            counts=np.ones(which.sum(), dtype=np.int64),
            sampling_probability=rate[which],
            disagrees=self.disagrees[which].astype(float),
            small_wrong=np.where(by_people, self.small_wrong, NAN)[which],
            large_wrong=np.where(by_people, self.large_wrong, NAN)[which],
            cost=self.cost[which],
        )

    def truth(self, threshold: float) -> dict[str, float]:
        small = self.confidence >= threshold
        return {
            "coverage": small.mean(),
            "bill": self.cost[~small].sum(),
            "disagreement": (small & self.disagrees).mean(),
            "error": np.where(small, self.small_wrong, self.large_wrong).mean(),
            "selective_risk": self.small_wrong[small].mean() if small.any() else NAN,
        }


def values(outcome: Outcome) -> dict[str, float | None]:
    return {
        name: getattr(outcome, name).value for name in ("coverage", "bill", "disagreement", "error", "selective_risk")
    }


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 10_000), st.sampled_from([0.0, 0.55, 0.7, PRESENT, 0.9, 0.97]))
def test_where_everything_was_audited_and_labelled_the_past_is_told_as_it_was(seed: int, threshold: float) -> None:
    past = Past.drawn(400, seed)
    outcome = outcome_at(past.seen(np.ones(400), 1.0, seed), threshold)
    assert values(outcome) == pytest.approx(past.truth(threshold), nan_ok=True)


def test_at_the_present_threshold_calls_and_bill_are_counted_and_not_estimated() -> None:
    past = Past.drawn(500, 1)
    outcome = outcome_at(past.seen(np.full(500, 0.05), 0.0, 1), PRESENT)
    assert outcome.coverage.low == outcome.coverage.high == pytest.approx(past.truth(PRESENT)["coverage"])
    assert outcome.bill.low == outcome.bill.high == pytest.approx(past.truth(PRESENT)["bill"])


@pytest.mark.parametrize("threshold", [0.6, PRESENT, 0.9])
def test_the_intervals_cover_what_was_at_their_level(threshold: float) -> None:
    """300 pasts of 2,000 requests, a tenth of the accepted ones audited, the surest ones less."""
    covered = dict.fromkeys(("coverage", "bill", "disagreement", "error", "selective_risk"), 0)
    repetitions = 300
    for seed in range(repetitions):
        past = Past.drawn(2000, seed)
        rate = np.where(past.confidence > 0.95, 0.05, 0.1)
        outcome, truth = outcome_at(past.seen(rate, 0.5, seed), threshold), past.truth(threshold)
        for name in covered:
            known = getattr(outcome, name)
            covered[name] += known.low - 1e-9 <= truth[name] <= known.high + 1e-9
    assert min(covered.values()) / repetitions > 0.93, covered  # simulation error .013


def test_without_audits_nothing_is_known_above_the_present_threshold_nor_of_accepted_answers() -> None:
    traffic = Past.drawn(300, 2).seen(np.zeros(300), 1.0, 2)
    above, present = outcome_at(traffic, 0.9), outcome_at(traffic, PRESENT)
    assert above.bill.value is None
    assert above.bill.high == np.inf
    assert above.coverage.value is None
    assert present.disagreement.value is present.error.value is None
    share = traffic.accepted_requests / traffic.requests
    assert present.disagreement.low == 0.0
    assert present.disagreement.high == pytest.approx(share)
    assert max(thresholds_by_coverage(traffic, [0.1, 0.3, 0.9])) == PRESENT


def test_without_peoples_labels_errors_are_not_known_but_disagreement_is() -> None:
    outcome = outcome_at(Past.drawn(300, 3).seen(np.full(300, 0.5), 0.0, 3), 0.7)
    assert outcome.error.value is None
    assert outcome.disagreement.value is not None


def test_without_records_of_deferred_requests_nothing_is_made_up() -> None:
    traffic = Past.drawn(300, 4).seen(np.full(300, 0.5), 1.0, 4)
    outcome = outcome_at(replace(traffic, deferred=traffic.deferred.where(np.zeros(len(traffic.deferred), bool))), 0.6)
    assert outcome.bill.value is outcome.coverage.value is outcome.error.value is None


def test_always_asking_accepts_nothing_and_is_never_unlike_the_large_model() -> None:
    outcome = outcome_at(Past.drawn(300, 5).seen(np.full(300, 0.2), 1.0, 5), 2.0)
    assert (outcome.coverage.value, outcome.disagreement.value, outcome.disagreement.high) == (0.0, 0.0, 0.0)


def test_a_row_of_equal_requests_counts_as_many() -> None:
    traffic = Past.drawn(200, 6).seen(np.full(200, 0.5), 1.0, 6)

    def repeated(rows: AnsweredRows) -> AnsweredRows:
        return AnsweredRows(*(np.repeat(getattr(rows, name), 3) for name in AnsweredRows.__slots__))

    def counted(rows: AnsweredRows) -> AnsweredRows:
        return replace(rows, counts=3 * rows.counts, cost=3 * rows.cost)

    thrice = [
        replace(traffic, audits=make(traffic.audits), deferred=make(traffic.deferred)) for make in (repeated, counted)
    ]
    a, b = (outcome_at(each, 0.9) for each in thrice)
    assert values(a) == pytest.approx(values(b))
    assert (a.error.low, a.error.high) == pytest.approx((b.error.low, b.error.high))


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 10_000))
def test_thresholds_by_coverage_reach_about_these_coverages(seed: int) -> None:
    past = Past.drawn(500, seed)
    traffic = past.seen(np.ones(500), 0.0, seed)
    found = thresholds_by_coverage(traffic, [0.1, 0.5, 0.9])
    assert PRESENT in found
    assert found == sorted(found, reverse=True)
    reached = [past.truth(threshold)["coverage"] for threshold in found if threshold != PRESENT]
    assert reached == pytest.approx([0.1, 0.5, 0.9], abs=0.02)
