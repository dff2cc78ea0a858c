"""Versions of a small scikit-learn model that disagree about everything, for tests of registries."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from langchain_datashunt import ShuntPolicy
from langchain_datashunt.small_models import class_names, version_of

PRAISE = ["a great film", "great story and actors", "good and great", "a good film"]
COMPLAINTS = ["an awful film", "awful story and actors", "bad and awful", "a bad film"]
TEXTS = PRAISE + COMPLAINTS
CLASSES = ("negative", "positive")


@cache
def fitted(seed: int) -> Any:
    """Return a model; with each seed another one: it is surer the higher, and an odd one says the opposite."""
    labels = ["positive"] * len(PRAISE) + ["negative"] * len(COMPLAINTS)
    if seed % 2:
        labels = labels[::-1]
    return make_pipeline(TfidfVectorizer(), LogisticRegression(C=1.0 + seed)).fit(TEXTS, labels)


def policy_for(small: Any, threshold: float = 0.5) -> ShuntPolicy:
    """Return a policy that accepts all, unless the threshold says otherwise."""
    return ShuntPolicy(classes=class_names(small), threshold=threshold, small_model_version=version_of(small))


def answers_of(small: Any) -> dict[str, tuple[str, float]]:
    """Return the label and the confidence that a model gives each text."""
    rows = np.asarray(small.predict_proba(TEXTS))
    return {text: (str(small.classes_[row.argmax()]), float(row.max())) for text, row in zip(TEXTS, rows, strict=True)}
