"""Texts of made-up words, of two classes that differ in how often they use which, and a teacher that errs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from hard_samples import sample
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from langchain_datashunt.types import HardSample

CLASSES = ("negative", "positive")
WORDS = [f"word{i}" for i in range(60)]
OFTEN = 1.7


def draw(n: int, seed: int) -> tuple[list[str], list[str]]:
    """Return texts and their true labels."""
    rng = np.random.default_rng(seed)
    columns = rng.integers(0, 2, n)
    chances = np.array([np.r_[np.ones(30), np.full(30, OFTEN)], np.r_[np.full(30, OFTEN), np.ones(30)]])
    chances /= chances.sum(axis=1, keepdims=True)
    texts = [" ".join(rng.choice(WORDS, 25, p=chances[column])) for column in columns]
    return texts, [CLASSES[column] for column in columns]


def other(label: str) -> str:
    return CLASSES[1 - CLASSES.index(label)]


def linear_model(texts: Sequence[str], labels: Sequence[str]) -> Any:
    return make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(texts, labels)


def answered(texts: Sequence[str], labels: Sequence[str], **fields: Any) -> list[HardSample]:
    """Return hard samples of which the teacher said these labels."""
    return [
        sample(text, label=label, id=str(place), **fields)
        for place, (text, label) in enumerate(zip(texts, labels, strict=True))
    ]
