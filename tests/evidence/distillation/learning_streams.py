"""A stream of requests with recorded answers, and what each way of learning from it makes of a small model."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import t
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.feature_extraction.text import CountVectorizer, TfidfTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from langchain_datashunt.distillation.promotion_gate import PromotionGate
from langchain_datashunt.errors import InfeasibleTargetError
from langchain_datashunt.policy.shunt_policy import ShuntPolicy
from langchain_datashunt.types import BoolArray, FloatArray, HardSample
from tests.evidence.recorded.recorded_rows import Rows, read_rows
from tests.evidence.recorded.review_models import WORDS_AND_MARKS

LARGE_MODEL = "gpt-3.5-turbo-1106"
GOLD, GATE, STREAM, ROUNDS = 500, 5_000, 3_500, 2
RISK = 0.05


@dataclass(frozen=True)
class Parts:
    """The rows of one seed: none is in two parts."""

    gold: Rows
    gate: Rows
    stream: Rows
    test: Rows

    @classmethod
    def of(cls, folder: Path, seed: int) -> Parts:
        visible = read_rows(folder, "imdb", "eval")
        train = read_rows(folder, "imdb", "train").without(visible.texts)
        rng = np.random.default_rng(seed)
        chosen, requests = rng.permutation(len(train)), rng.permutation(len(visible))
        return cls(
            gold=train.at(chosen[:GOLD]),
            gate=train.at(chosen[GOLD : GOLD + GATE]),
            stream=visible.at(requests[:STREAM]),
            test=visible.at(requests[STREAM:]),
        )

    def requests(self, turn: int) -> Rows:
        """The requests of one round."""
        size = len(self.stream) // ROUNDS
        return self.stream.at(np.arange(turn * size, (turn + 1) * size))


def unfitted_model() -> Any:
    """TF-IDF of words and pairs of words that stand in two training texts, and logistic regression."""
    return make_pipeline(CountedWords(), TfidfTransformer(sublinear_tf=True), LogisticRegression(C=10.0, max_iter=1000))


class CountedWords(TransformerMixin, BaseEstimator):
    """``CountVectorizer(ngram_range=(1, 2), min_df=2)`` on texts that were counted once: a loop fits forty models."""

    def fit(self, texts: Sequence[str], labels: Any = None) -> CountedWords:
        in_texts = np.bincount(_counts(texts).indices, minlength=_COUNTED.width)
        self.columns_ = np.flatnonzero(in_texts >= 2)
        return self

    def transform(self, texts: Sequence[str]) -> Any:
        return _counts(texts)[:, self.columns_]


class _Counted:
    """The counts of every text that will be asked for, over one vocabulary."""

    def __init__(self) -> None:
        self.rows: dict[str, int] = {}
        self.matrix: Any = None
        self.width = 0

    def count(self, texts: Sequence[str]) -> None:
        self.rows = {text: row for row, text in enumerate(texts)}
        words = CountVectorizer(ngram_range=(1, 2), token_pattern=WORDS_AND_MARKS, dtype=np.float64)
        self.matrix = words.fit_transform(texts).tocsr()
        self.width = self.matrix.shape[1]


_COUNTED = _Counted()


def count_words(parts: Parts) -> None:
    """Count the words of all rows, before any model is fitted."""
    together = [part.texts for part in (parts.gold, parts.gate, parts.stream, parts.test)]
    _COUNTED.count(list(dict.fromkeys(text for texts in together for text in texts)))


def _counts(texts: Sequence[str]) -> Any:
    return _COUNTED.matrix[[_COUNTED.rows[text] for text in texts]]


@dataclass(frozen=True)
class Served:
    """A small model with the policy that it serves with; without one, all is deferred."""

    small: Any
    policy: ShuntPolicy | None

    def accepts(self, texts: list[str]) -> BoolArray:
        if self.policy is None:
            return np.zeros(len(texts), dtype=bool)
        return self.policy.accepts(self.small.predict_proba(texts))


@dataclass(frozen=True)
class Score:
    """What a served model does on rows that had no part in it."""

    deferral: float
    system_accuracy: float
    selective_risk: float
    small_accuracy: float

    @classmethod
    def of(cls, served: Served, rows: Rows) -> Score:
        right_large = np.array(rows.answers(LARGE_MODEL), dtype=object) == rows.labels
        probabilities = served.small.predict_proba(rows.texts)
        right_small = served.small.classes_[probabilities.argmax(axis=1)] == rows.labels
        accepted = np.zeros(len(rows), bool) if served.policy is None else served.policy.accepts(probabilities)
        risk = float((~right_small[accepted]).mean()) if accepted.any() else 0.0
        system = np.where(accepted, right_small, right_large)
        return cls(1 - float(accepted.mean()), float(system.mean()), risk, float(right_small.mean()))


@dataclass
class Seen:
    """What a way of learning has seen of the stream so far."""

    texts: list[str] = field(default_factory=list)
    samples: list[HardSample] = field(default_factory=list)

    @property
    def labels_paid(self) -> int:
        return len(self.samples)

    def see(self, rows: Rows, served: Served) -> None:
        """Serve requests: the deferred ones are logged with the recorded answer."""
        self.texts += rows.texts
        asked = rows.at(np.flatnonzero(~served.accepts(rows.texts)))
        self.samples += hard_samples(asked)


def hard_samples(rows: Rows, teacher: str = LARGE_MODEL) -> list[HardSample]:
    """The records of requests that the large model answered."""
    return [
        HardSample(
            input=text,
            route="large",
            reason="below_threshold",
            teacher=teacher,
            teacher_kind="llm",
            label=answer,
            complete=answer is not None,
            created_at=0.0,
            id=row["id"],
        )
        for text, answer, row in zip(rows.texts, rows.answers(teacher), rows.raw, strict=True)
    ]


def served_with(gate: PromotionGate, small: Any) -> Served:
    """A model with a policy of its own at the same certified risk."""
    try:
        return Served(small, gate.fit_policy(small))
    except InfeasibleTargetError:
        return Served(small, None)


def spread(values: Sequence[float] | FloatArray) -> str:
    """Return the mean over seeds, with the least and the most."""
    return f"{np.mean(values):.3f} ({min(values):.3f} to {max(values):.3f})"


def t_limits(changes: Sequence[float] | FloatArray) -> tuple[float, float]:
    """Return the ends of the 95 % t interval of the mean over seeds, two at least."""
    half = float(t.ppf(0.975, len(changes) - 1)) * np.std(changes, ddof=1) / np.sqrt(len(changes))
    return float(np.mean(changes) - half), float(np.mean(changes) + half)


def t_interval(changes: Sequence[float] | FloatArray) -> str:
    """Return the mean over seeds, with its 95 % t interval."""
    if len(changes) < 2 or not np.std(changes):
        return f"{np.mean(changes):+.4f}"
    low, high = t_limits(changes)
    return f"{np.mean(changes):+.4f} ({low:+.4f} to {high:+.4f})"


def seeds_to_measure() -> Iterator[int]:
    """Yield the seeds that the command line asks for, five by default."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=5)
    for seed in range(parser.parse_args().seeds):
        print(f"seed {seed}", flush=True)
        yield seed
