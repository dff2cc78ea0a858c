from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from langchain_datashunt.policy.splitting import as_uniform, data_fingerprint, default_certification_share, hash_inputs


@given(inputs=st.lists(st.text(), max_size=20), seed=st.integers(-5, 5))
def test_an_inputs_hash_depends_on_it_and_the_seed_only(inputs: list[str], seed: int) -> None:
    together = hash_inputs(inputs, seed)
    assert together.tolist() == [hash_inputs([each], seed)[0] for each in inputs]


def test_another_seed_splits_otherwise() -> None:
    inputs = [str(i) for i in range(100)]
    assert (hash_inputs(inputs, 0) != hash_inputs(inputs, 1)).all()


@given(n=st.integers(0, 10**9))
def test_more_rows_never_leave_fewer_to_calibrate_nor_to_certify(n: int) -> None:
    calibrating, certifying = (
        [rows * share for rows in (n, n + 1) for share in [part(default_certification_share(rows))]]
        for part in (lambda share: 1 - share, lambda share: share)
    )
    assert calibrating[0] <= calibrating[1] + 1e-6
    assert certifying[0] <= certifying[1] + 1e-6


def test_hashes_are_spread_evenly() -> None:
    uniform = as_uniform(hash_inputs([str(i) for i in range(10_000)], seed=0))
    assert 0 <= uniform.min() < uniform.max() < 1
    np.testing.assert_allclose(np.histogram(uniform, 10, (0, 1))[0], 1_000, atol=150)


@pytest.mark.parametrize(
    "each", ["text", "", "\ud800 a lone surrogate", {"b": 1, "a": "x"}, ["a", 1], np.array([1.5, 2.0]), 3]
)
def test_equal_inputs_of_any_kind_have_equal_hashes(each: object) -> None:
    copy = each.copy() if isinstance(each, dict | list | np.ndarray) else each
    assert hash_inputs([each], 0) == hash_inputs([copy], 0)


@pytest.mark.parametrize(
    "array",
    [
        np.array([1.5, 2.0]),
        np.array([0.1, 0.2], dtype=np.float32),
        np.arange(3),
        np.eye(2),
        np.array(["a"]),
        np.zeros(0),
    ],
)
@pytest.mark.parametrize("put", [lambda each: each, lambda each: {"x": each, "n": 1}])
def test_an_array_is_the_list_that_a_log_keeps_of_it(array: Any, put: Callable[[Any], Any]) -> None:
    assert hash_inputs([put(array)], 0) == hash_inputs([put(array.tolist())], 0)


@pytest.mark.parametrize("size", [2, 2_000])
def test_inputs_that_differ_in_one_number_have_other_hashes(size: int) -> None:
    first, second = np.zeros(size), np.zeros(size)
    second[size // 2] = 1e-12
    for put in (list, np.array, lambda each: {"x": each}):
        assert hash_inputs([put(first)], 0) != hash_inputs([put(second)], 0)


def test_whole_numbers_too_large_for_a_float_have_hashes() -> None:
    assert hash_inputs([[10**400]], 0) != hash_inputs([[10**400 + 1]], 0)


def test_the_order_of_keys_in_a_mapping_does_not_matter() -> None:
    assert hash_inputs([{"a": 1, "b": 2}], 0) == hash_inputs([{"b": 2, "a": 1}], 0)


def test_the_fingerprint_ignores_the_order_of_rows_and_nothing_else() -> None:
    fingerprint = data_fingerprint(["a", "b"], ["x", "y"])
    assert fingerprint == data_fingerprint(["b", "a"], ["y", "x"])
    assert fingerprint != data_fingerprint(["a", "b"], ["y", "x"])
    assert fingerprint != data_fingerprint(["a", "b", "b"], ["x", "y", "y"])
