"""A plain function as a small model."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from langchain_datashunt.errors import SmallModelError
from langchain_datashunt.small_models.answers import probability_rows, unique_names
from langchain_datashunt.small_models.fingerprints import checked_version
from langchain_datashunt.types import FloatArray


class FunctionClassifier:
    """A vectorised function: a list of inputs in, one probability row an input out.

    Pickled as the function is, so a function of a module can be and a lambda cannot.

    Attributes:
        classes_: The labels, in column order.
        version: The identity that policies are tied to: change it whenever the function answers otherwise.

    Example:
        >>> small = FunctionClassifier(
        ...     lambda texts: [[0.9, 0.1] if "refund" in text else [0.4, 0.6] for text in texts],
        ...     classes=["complaint", "other"],
        ...     version="rules-2026-11",
        ... )
        >>> small.predict_proba(["I want a refund"])
        array([[0.9, 0.1]])
    """

    def __init__(self, function: Callable[[list[Any]], Any], *, classes: Sequence[Any], version: str) -> None:
        """Wrap a function.

        Raises:
            SmallModelError: It cannot be called, is a coroutine function, or classes or version are malformed.
        """
        if not callable(function):
            raise SmallModelError(f"FunctionClassifier wraps a function; got {type(function).__name__}: {function!r}")
        if inspect.iscoroutinefunction(function):
            raise SmallModelError(
                "FunctionClassifier wraps a synchronous function; wrap a coroutine function of one input by "
                "RunnableClassifier(RunnableLambda(function), ...)"
            )
        self._function = function
        self.classes_ = unique_names(classes)
        self.version = checked_version(version)

    def __repr__(self) -> str:
        name = getattr(self._function, "__qualname__", repr(self._function))
        return f"FunctionClassifier({name}, classes={list(self.classes_)}, version={self.version!r})"

    def predict_proba(self, inputs: Sequence[Any]) -> FloatArray:
        """Return the ``(n, k)`` probabilities of `n` inputs, from one call; no input, no call.

        Raises:
            SmallModelError: The function returned something else.
        """
        items = list(inputs)
        if not items:
            return np.zeros((0, len(self.classes_)))
        return probability_rows(self._function(items), len(items), self.classes_)
