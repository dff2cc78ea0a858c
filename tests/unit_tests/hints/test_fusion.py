"""The logarithmic opinion pool of two models."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from langchain_datashunt.hints.fusion import WEIGHTS, Fusion
from langchain_datashunt.types import FloatArray

N, K = 12, 3
positive = arrays(np.float64, (N, K), elements=st.floats(0.01, 1.0))
columns = arrays(np.intp, N, elements=st.integers(0, K - 1))


def normal(rows: FloatArray) -> FloatArray:
    return rows / rows.sum(axis=1, keepdims=True)


def right(fusion: Fusion, small: FloatArray, large: FloatArray, targets: np.ndarray) -> int:
    return int((fusion.probabilities(small, large).argmax(axis=1) == targets).sum())


@given(positive, positive, st.floats(0, 1))
def test_fused_rows_are_distributions_and_the_ends_are_the_models_themselves(
    small: FloatArray, large: FloatArray, weight: float
) -> None:
    small, large = normal(small), normal(large)
    assert Fusion(weight).probabilities(small, large).sum(axis=1) == pytest.approx(1)
    assert Fusion(0.0).probabilities(small, large) == pytest.approx(small)
    assert Fusion(1.0).probabilities(small, large) == pytest.approx(large)


@given(positive, positive, columns)
def test_on_the_rows_that_fit_it_no_weight_is_right_more_often(
    small: FloatArray, large: FloatArray, targets: np.ndarray
) -> None:
    small, large = normal(small), normal(large)
    fitted = right(Fusion.fit(small, large, targets), small, large, targets)
    assert fitted == max(right(Fusion(weight), small, large, targets) for weight in WEIGHTS)


@given(positive, positive, columns, st.permutations(range(N)))
def test_the_order_of_rows_does_not_matter(
    small: FloatArray, large: FloatArray, targets: np.ndarray, order: list[int]
) -> None:
    shuffled = Fusion.fit(normal(small)[order], normal(large)[order], targets[order])
    fitted = Fusion.fit(normal(small), normal(large), targets)
    assert right(shuffled, normal(small), normal(large), targets) == right(
        fitted, normal(small), normal(large), targets
    )


def test_two_independent_opinions_together_beat_each_alone() -> None:
    rng = np.random.default_rng(0)
    targets = rng.integers(K, size=4000)
    small, large = (normal(np.exp(rng.normal(size=(4000, K)) + np.eye(K)[targets])) for _ in range(2))
    fusion = Fusion.fit(small[:2000], large[:2000], targets[:2000])
    scored = small[2000:], large[2000:], targets[2000:]
    assert 0.3 < fusion.weight < 0.7
    assert right(fusion, *scored) > max(right(Fusion(end), *scored) for end in (0.0, 1.0)) + 100


def test_a_probability_of_zero_is_no_veto() -> None:
    fused = Fusion(0.5).probabilities(np.array([[1.0, 0.0]]), np.array([[0.0, 1.0]]))
    assert fused == pytest.approx(np.array([[0.5, 0.5]]))
