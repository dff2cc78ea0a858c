from __future__ import annotations

import numpy as np
import pytest

from langchain_datashunt.demo.scores import Answers, clustered_interval, random_shunt, right_answers, score

REVIEWS = ["a", "a", "b", "b", "c", "d", "e", "f"]
SMALL = Answers("small alone", np.array([1, 1, 1, 0, 0, 1, 0, 1.0]), 0, 0, 0.1)
LARGE = Answers("LLM alone", np.array([1, 0, 1, 1, 1, 1, 1, 0.0]), 8, 800, 8.0)
CASCADE = Answers("cascade", np.array([1, 1, 1, 1, 1, 1, 0, 1.0]), 4, 400, 4.1)


def test_an_invalid_reply_is_never_right() -> None:
    assert right_answers(["positive", None, "negative"], ["positive", "positive", "positive"]).tolist() == [1, 0, 0]


def test_a_random_shunt_lies_between_the_two_models() -> None:
    between = random_shunt(SMALL, LARGE, 0.5)
    assert between.right.mean() == pytest.approx((SMALL.right.mean() + LARGE.right.mean()) / 2)
    assert between.large_calls == 4
    assert random_shunt(SMALL, LARGE, 0).right.tolist() == SMALL.right.tolist()
    assert random_shunt(SMALL, LARGE, 1).right.tolist() == LARGE.right.tolist()


def test_a_score_holds_accuracy_calls_and_the_cascades_gain() -> None:
    found = score(LARGE, CASCADE, REVIEWS, seed=0)
    assert found.accuracy == 0.75
    assert found.interval is not None
    assert found.interval[0] < 0.75 < found.interval[1]
    assert found.cascade_gain == pytest.approx(1 / 8)
    assert found.large_call_share == 1


def test_the_cascade_is_not_compared_with_itself() -> None:
    found = score(CASCADE, CASCADE, REVIEWS, seed=0)
    assert (found.cascade_gain, found.cascade_gain_interval) == (None, None)


def test_an_average_over_draws_has_no_interval_of_counts() -> None:
    assert score(random_shunt(SMALL, LARGE, 0.5), CASCADE, REVIEWS, seed=0).interval is None


def test_rows_that_always_come_together_widen_the_interval() -> None:
    rng = np.random.default_rng(0)
    of_review = rng.integers(2, size=40).astype(float)
    values, reviews = np.repeat(of_review, 10), [str(review) for review in range(40) for _ in range(10)]
    together = clustered_interval(values, reviews, seed=0)
    alone = clustered_interval(values, [str(row) for row in range(400)], seed=0)
    assert together[1] - together[0] > 2 * (alone[1] - alone[0])
    assert together[0] < values.mean() < together[1]


def test_the_interval_holds_the_truth_nineteen_times_in_twenty() -> None:
    rng = np.random.default_rng(1)
    held = 0
    for seed in range(200):
        values = (rng.random(100) < 0.6).astype(float)
        low, high = clustered_interval(values, [str(row) for row in range(100)], seed=seed)
        held += low <= 0.6 <= high
    assert 0.90 <= held / 200 <= 0.99
