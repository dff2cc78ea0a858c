"""Made-up texts of two classes, whose words tell the class a little: more rows make a better model."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from langchain_datashunt.types import HardSample

WORDS = [f"word{i}" for i in range(60)]
CLASSES = ("negative", "positive")
_WEIGHTS = np.array([np.r_[np.ones(30), np.full(30, 1.7)], np.r_[np.full(30, 1.7), np.ones(30)]])


def draw(n: int, seed: int) -> tuple[list[str], list[str]]:
    """Return texts and their labels."""
    rng = np.random.default_rng(seed)
    weights = _WEIGHTS / _WEIGHTS.sum(axis=1, keepdims=True)
    columns = rng.integers(0, 2, n)
    return [" ".join(rng.choice(WORDS, 25, p=weights[column])) for column in columns], [CLASSES[i] for i in columns]


def model_of(texts: list[str], labels: list[str]) -> Any:
    """Return a fitted classifier."""
    return make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(texts, labels)


def hard_samples(texts: list[str], labels: list[str], *, since: float = 0.0) -> list[HardSample]:
    """Return what a log keeps of deferred texts that a language model answered."""
    return [
        HardSample(
            input=text,
            route="large",
            reason="below_threshold",
            teacher_kind="llm",
            teacher="test/llm",
            label=label,
            complete=True,
            created_at=since + i,
        )
        for i, (text, label) in enumerate(zip(texts, labels, strict=True))
    ]
