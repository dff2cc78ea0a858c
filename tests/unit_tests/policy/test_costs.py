from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from langchain_datashunt.policy.costs import CallCosts, Prices


def test_a_deferred_input_pays_for_both_calls() -> None:
    costs = CallCosts(small=0.1, large=[1.0, 2.0])
    assert costs.of_cascade(np.array([True, False])).tolist() == [0.1, 2.1]


def test_tokens_are_priced_by_the_million() -> None:
    costs = CallCosts.of_tokens([1_000_000, 500], [0, 1_000], input_price=2.0, output_price=8.0, small=0.0)
    assert costs.large == (2.0, 0.009)


def test_one_price_holds_for_every_input() -> None:
    assert CallCosts(small=0.0, large=3.0).large_of(2).tolist() == [3.0, 3.0]


def test_prices_for_another_number_of_inputs_are_refused() -> None:
    with pytest.raises(ValueError, match="2 entries for 3 inputs"):
        CallCosts(small=0.0, large=[1.0, 2.0]).large_of(3)


@pytest.mark.parametrize(
    "costs",
    [
        {"small": -1, "large": 1},
        {"small": 0, "large": [1, float("nan")]},
        {"small": 0, "large": 1, "setup": -1},
        {"small": "0", "large": 1},
        {"small": 0, "large": ["1", "2"]},
        {"small": 0, "large": None},
    ],
)
def test_negative_costs_are_refused(costs: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="must be 0 or more"):
        CallCosts(**costs)


@pytest.mark.parametrize("price", [-1, float("nan"), "0.25", None, [0.25], True])
def test_what_is_no_price_is_refused_by_name(price: Any) -> None:
    with pytest.raises(ValueError, match=r"Prices\.output must be a number, 0 or more, got"):
        Prices(input=0.25, output=price)


def test_token_counts_of_unequal_length_are_refused() -> None:
    with pytest.raises(ValueError, match="2 input and 1 output"):
        CallCosts.of_tokens([1, 2], [1], input_price=1.0, output_price=1.0, small=0.0)
