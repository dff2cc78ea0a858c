"""The small models for movie reviews: linear ones on n-grams, and their ensemble with a fine-tuned transformer."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.linear_model import LogisticRegression

from langchain_datashunt.policy.risk_coverage import risk_coverage
from langchain_datashunt.types import BoolArray, FloatArray
from tests.evidence.recorded.review_transformer import ReviewTransformer

WORDS_AND_MARKS = r"\w+(?:'\w+)?|[!?]+|\.\.+|[:;]-?[)(]"
TRAINING_ROWS = 20_000
"""The other 4,877 find the weights of an ensemble's parts."""

OPENING, ENDING = 25, 40
"""Words at a review's start and end whose n-grams count as features of their own: verdicts stand there."""


class NaiveBayesNgrams:
    """Logistic regression on the 1- to 3-grams of a text, each weighted by its naive-Bayes log-ratio.

    Wang and Manning 2012, "Baselines and bigrams"; here with n-grams of the first and last words marked as such.
    """

    def fit(self, texts: Sequence[str], positive: BoolArray) -> NaiveBayesNgrams:
        self._vectorizer = CountVectorizer(analyzer=_positioned_ngrams, binary=True, min_df=2, dtype=np.float32)
        present = self._vectorizer.fit_transform(texts)
        in_positive, in_negative = (1 + np.asarray(present[part].sum(axis=0)).ravel() for part in (positive, ~positive))
        self._ratio = np.log(in_positive / in_positive.sum()) - np.log(in_negative / in_negative.sum())
        self._model = _logistic_regression(1.0).fit(present.multiply(self._ratio).tocsr(), positive)
        return self

    def log_odds(self, texts: Sequence[str]) -> FloatArray:
        weighted = self._vectorizer.transform(texts).multiply(self._ratio).tocsr()
        return np.asarray(self._model.decision_function(weighted))


class TfidfNgrams:
    """Logistic regression on TF-IDF of the 1- to `longest`-grams."""

    def __init__(self, longest: int = 3, inverse_penalty: float = 100.0) -> None:
        self.longest = longest
        self.inverse_penalty = inverse_penalty

    def fit(self, texts: Sequence[str], positive: BoolArray) -> TfidfNgrams:
        self._vectorizer = TfidfVectorizer(
            ngram_range=(1, self.longest), sublinear_tf=True, min_df=2, token_pattern=WORDS_AND_MARKS, dtype=np.float32
        )
        self._model = _logistic_regression(self.inverse_penalty).fit(self._vectorizer.fit_transform(texts), positive)
        return self

    def log_odds(self, texts: Sequence[str]) -> FloatArray:
        return np.asarray(self._model.decision_function(self._vectorizer.transform(texts)))


class SentimentModel:
    """A small model as the shunt wants it: a weighted sum of its parts' log-odds, as probabilities.

    All parts are trained on the same 20,000 training rows; a logistic regression on the others finds their weights.
    Parts that are cheap to train are then trained again, on all rows.

    Args:
        parts: Models with `fit` and `log_odds`.
        version: The identity that policies are tied to.
    """

    classes_ = ("negative", "positive")

    def __init__(self, parts: Sequence[Any], version: str) -> None:
        self.parts = parts
        self.version = version

    def fit(self, texts: Sequence[str], labels: Sequence[str]) -> SentimentModel:
        positive = np.asarray(labels) == "positive"
        order = np.random.default_rng(0).permutation(len(texts))
        train, held_out = np.split(order, [TRAINING_ROWS])
        for part in self.parts:
            with clocked(f"training {type(part).__name__}"):
                part.fit([texts[i] for i in train], positive[train])
        log_odds = self._log_odds([texts[i] for i in held_out])
        blend = LogisticRegression(C=1e6, fit_intercept=False).fit(log_odds, positive[held_out])
        self.weights = blend.coef_[0]
        print("weights: " + ", ".join(f"{weight:.2f}" for weight in self.weights), flush=True)
        self._print_held_out(log_odds, positive[held_out])
        for part in self.parts:
            if not isinstance(part, ReviewTransformer):
                part.fit(texts, positive)
        return self

    def predict_proba(self, texts: Sequence[str]) -> FloatArray:
        with clocked(f"{self.version} on {len(texts):,} texts"):
            return _probabilities(self._log_odds(texts) @ self.weights)

    def _log_odds(self, texts: Sequence[str]) -> FloatArray:
        return np.stack([part.log_odds(texts) for part in self.parts], axis=1)

    def _print_held_out(self, log_odds: FloatArray, positive: BoolArray) -> None:
        names = [type(part).__name__ for part in self.parts]
        columns = {**dict(zip(names, log_odds.T, strict=True)), "weighted sum": log_odds @ self.weights}
        for name, column in columns.items():
            wrong = (column > 0) != positive
            area = risk_coverage(_probabilities(column).max(axis=1), wrong).area
            print(f"held-out training rows: {name}: accuracy {1 - wrong.mean():.4f}, AURC {area:.5f}", flush=True)


def best_small_model() -> SentimentModel:
    """The small model that was named beforehand: its parts were chosen on training rows alone."""
    parts = [NaiveBayesNgrams(), TfidfNgrams(), ReviewTransformer()]
    return SentimentModel(parts, version="naive-Bayes n-grams + TF-IDF n-grams + fine-tuned MiniLM")


def linear_small_model() -> SentimentModel:
    """The same without the transformer: trains in minutes, and needs no PyTorch."""
    return SentimentModel([NaiveBayesNgrams(), TfidfNgrams()], version="naive-Bayes n-grams + TF-IDF n-grams")


def baseline_small_model() -> SentimentModel:
    """TF-IDF of single words and logistic regression, what one would write first."""
    return SentimentModel([TfidfNgrams(longest=1, inverse_penalty=3.0)], version="TF-IDF + logistic regression")


@contextmanager
def clocked(what: str) -> Iterator[None]:
    started, cpu_started = time.perf_counter(), time.process_time()
    yield
    wall, cpu = time.perf_counter() - started, time.process_time() - cpu_started
    print(f"{what}: {wall:.0f} s, {cpu:.0f} CPU seconds", flush=True)


def _probabilities(log_odds: FloatArray) -> FloatArray:
    """Return ``(n, 2)`` probabilities; far from 0 the odds are capped, so that no two rows tie at exactly 1."""
    positive = 1 / (1 + np.exp(-np.clip(log_odds, -36, 36)))
    return np.stack([1 / (1 + np.exp(np.clip(log_odds, -36, 36))), positive], axis=1)


def _logistic_regression(inverse_penalty: float) -> LogisticRegression:
    return LogisticRegression(C=inverse_penalty, solver="liblinear", dual=True, max_iter=200, random_state=0)


def _positioned_ngrams(text: str) -> Iterator[str]:
    words = re.findall(WORDS_AND_MARKS, text.replace("<br />", " ").lower())
    yield from _ngrams(words, 3)
    yield from (f"start:{ngram}" for ngram in _ngrams(words[:OPENING], 2))
    yield from (f"end:{ngram}" for ngram in _ngrams(words[-ENDING:], 2))


def _ngrams(words: Sequence[str], longest: int) -> Iterator[str]:
    for length in range(1, longest + 1):
        for start in range(len(words) - length + 1):
            yield " ".join(words[start : start + length])
