from __future__ import annotations

import numpy as np
import pytest

from langchain_datashunt.policy.costs import CallCosts
from langchain_datashunt.policy.verdict import judge_worth

HALF = np.arange(1_000) % 2 == 0
NONE = np.zeros(1_000, dtype=bool)


def test_a_cascade_that_saves_is_worth_it() -> None:
    verdict = judge_worth(HALF, CallCosts(small=0.01, large=1.0, setup=100.0))
    assert verdict.shunt
    assert verdict.saving == pytest.approx(0.49)
    assert verdict.saving_interval[0] < 0.49 < verdict.saving_interval[1]
    assert verdict.break_even_price == pytest.approx(0.02)
    assert verdict.break_even_inputs == 205  # 100 / 0.49, rounded up
    assert str(verdict).startswith("SHUNT: it saves 49.0%")


def test_at_the_break_even_price_nothing_is_saved() -> None:
    price = judge_worth(HALF, CallCosts(small=0.01, large=1.0)).break_even_price
    assert price is not None
    assert judge_worth(HALF, CallCosts(small=0.01, large=price)).saving == pytest.approx(0)


def test_accepting_nothing_is_only_waste() -> None:
    verdict = judge_worth(NONE, CallCosts(small=0.01, large=1.0))
    assert not verdict.shunt
    assert "wasted" in verdict.reason
    assert verdict.break_even_price is None
    assert verdict.break_even_inputs is None


def test_accepting_everything_needs_no_large_model() -> None:
    verdict = judge_worth(~NONE, CallCosts(small=0.01, large=1.0), (-0.002, 0.03))
    assert verdict.use == "small_model"
    assert not verdict.shunt
    assert str(verdict).startswith("NO LARGE MODEL NEEDED: the small model answers every input; it saves 99.0%")
    assert verdict.to_dict()["use"] == "small_model"


def test_one_deferred_input_needs_the_large_model() -> None:
    accepted = ~NONE
    accepted[0] = False
    assert judge_worth(accepted, CallCosts(small=0.01, large=1.0), (0.0, 0.03)).use == "cascade"


def test_accepting_everything_at_a_loss_of_accuracy_is_not_worth_it() -> None:
    verdict = judge_worth(~NONE, CallCosts(small=0.01, large=1.0), (-0.05, -0.02))
    assert verdict.use == "large_model"
    assert str(verdict).startswith("DO NOT SHUNT: the small model answers every input")


def test_a_small_call_that_is_too_dear_is_not_worth_it() -> None:
    verdict = judge_worth(HALF, CallCosts(small=0.9, large=1.0))
    assert str(verdict).startswith("DO NOT SHUNT: at coverage 0.500 it costs")
    assert verdict.saving < 0


def test_a_saving_that_may_be_none_is_open() -> None:
    verdict = judge_worth(np.array([True] + [False] * 99), CallCosts(small=0.001, large=1.0))
    assert not verdict.shunt
    assert "open" in verdict.reason


@pytest.mark.parametrize(
    ("change", "shunt", "words"),
    [
        ((-0.005, 0.01), True, "accuracy against"),
        ((-0.05, -0.02), False, "it loses"),
        ((-0.05, 0.01), False, "is open"),
    ],
)
def test_accuracy_decides_too_where_it_is_known(change: tuple[float, float], shunt: bool, words: str) -> None:
    verdict = judge_worth(HALF, CallCosts(small=0.01, large=1.0), change)
    assert verdict.shunt is shunt
    assert words in verdict.reason


def test_a_free_large_model_needs_no_shunt() -> None:
    assert not judge_worth(HALF, CallCosts(small=0.01, large=0.0)).shunt
    assert not judge_worth(HALF, CallCosts(small=0.0, large=0.0)).shunt


def test_dear_inputs_weigh_more() -> None:
    costs = CallCosts(small=0.0, large=np.where(HALF, 3.0, 1.0).tolist())
    assert judge_worth(HALF, costs).saving == pytest.approx(0.75)


def test_the_interval_covers_the_true_saving_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(500):
        large = rng.lognormal(size=300)
        accepted = rng.random(300) < 0.4
        low, high = judge_worth(accepted, CallCosts(small=0.0, large=large.tolist())).saving_interval
        covered += low <= 0.4 <= high
    assert covered > 450
