from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from langchain_datashunt.errors import SmallModelError
from langchain_datashunt.small_models import FunctionClassifier, class_names, version_of
from langchain_datashunt.types import SmallModel

CLASSES = ["negative", "positive"]


def by_length(texts: list[str]) -> np.ndarray[Any, Any]:
    positive = np.array([min(len(text), 10) / 10 for text in texts])
    return np.column_stack([1 - positive, positive])


def test_a_vectorised_function_is_called_once_a_batch() -> None:
    batches: list[list[str]] = []

    def function(texts: list[str]) -> np.ndarray[Any, Any]:
        batches.append(texts)
        return by_length(texts)

    small = FunctionClassifier(function, classes=CLASSES, version="1")
    assert isinstance(small, SmallModel)
    assert small.predict_proba(("", "abcdefghij", "abcde")).tolist() == [[1.0, 0.0], [0.0, 1.0], [0.5, 0.5]]
    assert small.predict_proba([]).shape == (0, 2)
    assert batches == [["", "abcdefghij", "abcde"]]


def test_it_is_known_by_its_version_and_classes() -> None:
    small = FunctionClassifier(by_length, classes=[0, 1], version="rules-7")
    assert version_of(small) == "rules-7"
    assert class_names(small) == ("0", "1")
    assert repr(small) == "FunctionClassifier(by_length, classes=['0', '1'], version='rules-7')"


def test_a_function_of_a_module_is_pickled_by_name() -> None:
    small = pickle.loads(pickle.dumps(FunctionClassifier(divmod, classes=CLASSES, version="1")))
    assert small.version == "1"


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ([[0.5, 0.5]], r"shape \(2, 2\); the small model returned shape \(1, 2\)"),
        ([[0.5, float("nan")], [0.5, 0.5]], "not finite"),
        ([[3.0, -2.0], [0.5, 0.5]], "logits"),
        ([[0.5, 0.6], [0.5, 0.5]], r"row 0: \[0.5, 0.6\]"),
        ("positive", "array of floats"),
    ],
)
def test_a_function_that_returns_no_probability_rows_is_refused(answer: object, said: str) -> None:
    with pytest.raises(SmallModelError, match=said):
        FunctionClassifier(lambda _: answer, classes=CLASSES, version="1").predict_proba(["a", "b"])


async def coroutine_function(texts: list[str]) -> list[list[float]]:
    return [[0.5, 0.5] for _ in texts]


@pytest.mark.parametrize(
    ("function", "settings", "said"),
    [
        ("by_length", {}, "got str"),
        (coroutine_function, {}, "RunnableLambda"),
        (by_length, {"version": ""}, "a version is a string"),
        (by_length, {"version": 3}, "got 3"),
        (by_length, {"classes": ["one"]}, "at least two"),
        (by_length, {"classes": [1, "1"]}, "more than once"),
    ],
)
def test_what_cannot_be_wrapped_is_refused_at_once(
    function: Callable[..., Any], settings: dict[str, Any], said: str
) -> None:
    with pytest.raises(SmallModelError, match=said):
        FunctionClassifier(function, **({"classes": CLASSES, "version": "1"} | settings))
