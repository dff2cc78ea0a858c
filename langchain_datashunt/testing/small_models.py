"""Small models whose answers are written down."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import numpy as np
from typing_extensions import override

from langchain_datashunt.types import FloatArray

_COUNTING = threading.Lock()  # of the module, since a lock on an instance could not be pickled

Rule = Callable[[Any], Sequence[float]]


class ScriptedSmallModel:
    """A small model whose probabilities you write down.

    Args:
        classes: The labels, in column order.
        rows: Input -> probability row, or a function that gives the row of an input.
        default: The row of an input that is not in `rows`; uniform by default.
        raise_on: Inputs that make the *whole* `predict_proba` call raise `ValueError`, as vectorised models do.
        nan_on: Inputs whose row is all NaN.
        version: The identity that policies are tied to.

    Attributes:
        batch_sizes: How many inputs each call had, in order. Safe to read and to append to from several threads.

    Example:
        >>> small = ScriptedSmallModel(["no", "yes"], {"sure": [0.01, 0.99]})
        >>> small.predict_proba(["sure", "who knows"]).tolist()
        [[0.01, 0.99], [0.5, 0.5]]
        >>> small.calls, small.batch_sizes
        (1, [2])
    """

    def __init__(
        self,
        classes: Sequence[str],
        rows: Mapping[Any, Sequence[float]] | Rule,
        *,
        default: Sequence[float] | None = None,
        raise_on: Collection[Any] = (),
        nan_on: Collection[Any] = (),
        version: str | None = "scripted",
    ) -> None:
        self.classes_ = list(classes)
        self.version = version
        self.batch_sizes: list[int] = []
        self._rows = rows
        self._default = [1 / len(self.classes_)] * len(self.classes_) if default is None else list(default)
        self._raise_on = raise_on
        self._nan_on = nan_on

    @property
    def calls(self) -> int:
        """How often `predict_proba` was called."""
        return len(self.batch_sizes)

    def predict_proba(self, inputs: Sequence[Any], /) -> FloatArray:
        """Return one row an input, ``(n, k)``."""
        with _COUNTING:
            self.batch_sizes.append(len(inputs))
        for item in inputs:
            if item in self._raise_on:
                raise ValueError(f"this small model was told to raise on {item!r}")
        rows = [self._row(item) for item in inputs]
        return np.array(rows, dtype=np.float64) if rows else np.empty((0, len(self.classes_)))

    def _row(self, item: Any) -> Sequence[float]:
        if item in self._nan_on:
            return [float("nan")] * len(self.classes_)
        return self._rows(item) if callable(self._rows) else self._rows.get(item, self._default)


class KeywordSmallModel(ScriptedSmallModel):
    """A small model that is sure where a text has the keywords of exactly one class, and uniform elsewhere.

    Args:
        keywords: Class -> words that speak for it; the order gives the columns.
        confidence: The probability of the class whose keyword was found, in (1/k, 1]; the rest is shared equally.
        raise_on: See `ScriptedSmallModel`.
        nan_on: See `ScriptedSmallModel`.
        version: See `ScriptedSmallModel`.

    Example:
        >>> small = KeywordSmallModel({"positive": ["great"], "negative": ["awful"]}, confidence=0.75)
        >>> small.predict_proba(["a great day", "great, but awful"]).tolist()
        [[0.75, 0.25], [0.5, 0.5]]
    """

    def __init__(
        self,
        keywords: Mapping[str, Collection[str]],
        *,
        confidence: float = 0.98,
        raise_on: Collection[Any] = (),
        nan_on: Collection[Any] = (),
        version: str | None = "keywords",
    ) -> None:
        super().__init__(list(keywords), {}, raise_on=raise_on, nan_on=nan_on, version=version)
        self._keywords = {label: frozenset(words) for label, words in keywords.items()}
        self._confidence = confidence

    @override
    def _row(self, item: Any) -> Sequence[float]:
        words = set(re.findall(r"\w+", str(item).lower()))
        found = [label for label, keywords in self._keywords.items() if words & keywords]
        if item in self._nan_on or len(found) != 1:
            return super()._row(item)
        rest = (1 - self._confidence) / (len(self.classes_) - 1)
        return [self._confidence if label == found[0] else rest for label in self.classes_]
