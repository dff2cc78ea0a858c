"""The two tasks: small model, policy, prompts. The wording was chosen on development rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from langchain_core.prompts import BasePromptTemplate, ChatPromptTemplate

from langchain_datashunt import EmbeddingClassifier, MaxDeferral, SentenceEncoder, ShuntPolicy, Subtask, fit_policy
from langchain_datashunt.candidates import CandidateRule, TopK
from langchain_datashunt.demo.texts import default_cache
from langchain_datashunt.transfer.transfer_template import PromptTransferTemplate
from langchain_datashunt.types import FloatArray
from tests.evidence.hints.texts import SEED, Parts, Row, headlines, reviews


class Remembered:
    """A small model whose answers on the texts of a study were computed once, and are looked up from then on."""

    def __init__(self, classes: Sequence[str], version: str, rows: Mapping[str, FloatArray]) -> None:
        self.classes_ = list(classes)
        self.version = version
        self._rows = rows

    def predict_proba(self, texts: Sequence[str]) -> FloatArray:
        return np.stack([self._rows[text] for text in texts])


class ReviewVerdict:
    """Whether a review praises or complains on the whole: the small model's mean log-odds over its other sentences."""

    version = "mean log-odds"

    def __init__(self, of_sentences: Remembered) -> None:
        self.classes_ = of_sentences.classes_
        self._of_sentences = of_sentences

    def predict_proba(self, reviews: Sequence[Sequence[str]]) -> FloatArray:
        means = [
            np.log(self._of_sentences.predict_proba(each)).mean(axis=0) if each else [0.0, 0.0] for each in reviews
        ]
        raised = np.exp(np.array(means))
        normal: FloatArray = raised / raised.sum(axis=1, keepdims=True)
        return normal


@dataclass(frozen=True)
class Study:
    """One task."""

    name: str
    parts: Parts
    small: Remembered
    policy: ShuntPolicy
    prompts: Mapping[str, BasePromptTemplate[Any]]
    candidates: CandidateRule | None


def review_study() -> Study:
    parts = reviews()
    small, policy = _small_side("reviews", parts, deferral=0.8)
    question = "Classify the sentiment of the product review as positive or negative. Answer with one word.\n\n"
    opening = ("ai", "The sentiment of the review is")

    def asked(*sections: str) -> ChatPromptTemplate:
        return ChatPromptTemplate([("human", question + "\n\n".join((*sections, "Review: {text}"))), opening])

    plain = asked()
    whole = Subtask("whole", ReviewVerdict(small), input="others", min_confidence=0.6)
    transfer = PromptTransferTemplate(asked("The review as a whole is {whole}."), [whole])
    soft = asked("A small classifier estimates: {prior}. It can be wrong.")
    return Study("reviews", parts, small, policy, {"none": plain, "soft": soft, "transfer": transfer}, None)


def headline_study() -> Study:
    parts = headlines()
    small, policy = _small_side("headlines", parts, deferral=0.7)
    opening = ("ai", "The topic of the headline is")
    topics = "business, entertainment, politics, sports or tech"

    def asked(labels: str, *sections: str) -> ChatPromptTemplate:
        question = f"Classify the news headline as {labels}. Answer with one word."
        return ChatPromptTemplate([("human", "\n\n".join((question, *sections, "Headline: {text}"))), opening])

    estimate = "A small classifier estimates: {prior}. It can be wrong."
    own = {
        "none": asked(topics),
        "soft": asked(topics, estimate),
        "hard": asked("one of: {candidates}"),
        "both": asked("one of: {candidates}", estimate),
    }
    return Study("headlines", parts, small, policy, own, TopK(2))


def _small_side(name: str, parts: Parts, deferral: float) -> tuple[Remembered, ShuntPolicy]:
    """Return logistic regression on frozen vectors of all-MiniLM-L6-v2, and a policy that defers a share."""
    kept = default_cache() / f"hint-study-{name}.npz"
    if not kept.is_file():
        _train(parts, kept)
    with np.load(kept) as file:
        rows = dict(zip(file["texts"].tolist(), file["probabilities"], strict=True))
        small = Remembered(file["classes"].tolist(), str(file["version"]), rows)
    # another seed than that of the parts, whose rows lie close together in its order
    goal = MaxDeferral(deferral)
    return small, fit_policy(small, *columns(parts.policy), goal, certification_share=0.5, seed=SEED + 1)


def _train(parts: Parts, kept: Path) -> None:
    small = EmbeddingClassifier.fit(*columns(parts.training), embeddings=SentenceEncoder.embedded())
    asked = (*parts.policy, *parts.development, *parts.test)
    texts = sorted({text for row in asked for text in (row.text, *row.others)})
    probabilities = small.predict_proba(texts)
    np.savez(kept, texts=texts, probabilities=probabilities, classes=small.classes_, version=small.version)


def columns(rows: Sequence[Row]) -> tuple[list[str], list[str]]:
    return [row.text for row in rows], [row.label for row in rows]


STUDIES = {"reviews": review_study, "headlines": headline_study}
