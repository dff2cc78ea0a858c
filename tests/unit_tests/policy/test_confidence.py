from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from langchain_datashunt.errors import PolicyError
from langchain_datashunt.policy.confidence import confidence_of

SCORES = ["max_probability", "margin", "entropy"]


@pytest.mark.parametrize("score", SCORES)
@given(weights=arrays(np.float64, (10, 5), elements=st.floats(1e-9, 1.0)))
@settings(max_examples=50)
def test_every_score_lies_in_the_unit_interval(score: str, weights: np.ndarray) -> None:
    confidence = confidence_of(weights / weights.sum(axis=1, keepdims=True), score)
    assert ((confidence >= 0) & (confidence <= 1)).all()


@pytest.mark.parametrize("score", SCORES)
def test_a_certain_row_scores_one(score: str) -> None:
    assert confidence_of(np.array([[0.0, 1.0, 0.0]]), score)[0] == pytest.approx(1)


@pytest.mark.parametrize(("score", "least"), [("max_probability", 0.25), ("margin", 0.0), ("entropy", 0.0)])
def test_a_uniform_row_scores_least(score: str, least: float) -> None:
    assert confidence_of(np.full((1, 4), 0.25), score)[0] == pytest.approx(least)


@pytest.mark.parametrize("score", SCORES)
def test_for_two_classes_every_score_orders_rows_alike(score: str) -> None:
    first = np.linspace(0.5, 1.0, 50)
    assert (np.diff(confidence_of(np.column_stack([first, 1 - first]), score)) > 0).all()


def test_an_unknown_score_is_refused() -> None:
    with pytest.raises(PolicyError, match="unknown confidence score 'energy'"):
        confidence_of(np.array([[0.5, 0.5]]), "energy")  # type: ignore[arg-type]
