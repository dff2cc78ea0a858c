"""A stream of requests with recorded answers, and what each way of learning from it makes of a small model."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from langchain_datashunt.distillation.promotion_gate import PromotionGate
from langchain_datashunt.errors import InfeasibleTargetError
from langchain_datashunt.policy.shunt_policy import ShuntPolicy
from langchain_datashunt.types import BoolArray, HardSample
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
    """TF-IDF of words and pairs of words, and logistic regression."""
    words = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, min_df=2, token_pattern=WORDS_AND_MARKS)
    return make_pipeline(words, LogisticRegression(C=10.0, max_iter=1000))


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
        right_small = np.asarray(served.small.predict(rows.texts)) == rows.labels
        accepted = served.accepts(rows.texts)
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


def hard_samples(rows: Rows) -> list[HardSample]:
    """The records of requests that the large model answered."""
    return [
        HardSample(
            input=text,
            route="large",
            reason="below_threshold",
            teacher=LARGE_MODEL,
            teacher_kind="llm",
            label=answer,
            complete=answer is not None,
            created_at=0.0,
            id=row["id"],
        )
        for text, answer, row in zip(rows.texts, rows.answers(LARGE_MODEL), rows.raw, strict=True)
    ]


def served_with(gate: PromotionGate, small: Any) -> Served:
    """A model with a policy of its own at the same certified risk."""
    try:
        return Served(small, gate.fit_policy(small))
    except InfeasibleTargetError:
        return Served(small, None)
