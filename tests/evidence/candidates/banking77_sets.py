"""banking77: how many of 77 labels a deferred query needs, and what that saves of the prompt.

Run: ``python -m tests.evidence.candidates.banking77_sets``, about ten minutes on one CPU core.
"""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from langchain_datashunt import (
    DropMastered,
    EmbeddingClassifier,
    PredictionSet,
    PromptPruningTemplate,
    SentenceEncoder,
    ShuntPolicy,
    TargetRisk,
    TopK,
    fit_policy,
    learn_pruning,
)
from langchain_datashunt.candidates import CandidateLabels
from langchain_datashunt.demo.local_server import LocalServer
from langchain_datashunt.policy.certification import exact_interval
from langchain_datashunt.types import BoolArray
from tests.evidence.recorded.cross_fitting import Remembered
from tests.evidence.recorded.measure_banking77 import few_labels
from tests.evidence.recorded.recorded_rows import Rows, read_rows, recorded_folder

LEVELS = (0.8, 0.9, 0.95, 0.99)
GOAL = TargetRisk(0.1)
SPLITS = 50

CountTokens = Callable[[str], int]


@dataclass(frozen=True)
class Measured:
    """One rule on the deferred rows of a scored set."""

    rule: str
    level: float | None
    deferred: int
    hits: int
    candidates: float
    smallest: int
    largest: int
    tokens: float
    """Of the prompt for a deferred row, on average."""

    @property
    def coverage(self) -> float:
        return self.hits / self.deferred


@dataclass(frozen=True)
class Scored:
    """Deferred rows: their texts, calibrated probabilities and columns of their true labels."""

    texts: list[str]
    probabilities: NDArray[np.float64]
    targets: NDArray[np.intp]

    @classmethod
    def of(cls, policy: ShuntPolicy, small: Remembered, rows: Rows) -> Scored:
        judged = policy.judge(small.predict_proba(rows.texts))
        deferred = np.flatnonzero(~judged.accepted)
        columns = {label: column for column, label in enumerate(policy.classes)}
        targets = np.array([columns[label] for label in rows.labels[deferred]])
        return cls([rows.texts[i] for i in deferred], judged.probabilities[deferred], targets)

    def hits(self, kept: BoolArray) -> NDArray[np.bool_]:
        return kept[np.arange(len(kept)), self.targets]


def small_models(train: Rows, texts: Sequence[str]) -> dict[str, Remembered]:
    embedded = EmbeddingClassifier.fit(
        train.texts,
        train.labels.tolist(),
        embeddings=SentenceEncoder.embedded(),
        head=LogisticRegression(C=30.0, max_iter=2000),
    )
    words = make_pipeline(TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True), LogisticRegression(C=100.0))
    words.fit(train.texts, train.labels)
    unique = list(dict.fromkeys(texts))
    return {"embeddings + LR": Remembered(embedded, unique), "TF-IDF + LR": Remembered(words, unique)}


def on_dev(small: Remembered, rest: Rows, dev: Rows, count_tokens: CountTokens) -> Iterator[Measured]:
    """Fit the policy on one half of the rows that train nothing, learn on the other, and score dev."""
    half = np.random.default_rng(0).permutation(len(rest))
    fitting, learning = rest.at(half[: len(half) // 2]), rest.at(half[len(half) // 2 :])
    policy = fit_policy(small, fitting.texts, fitting.labels.tolist(), GOAL)
    scored = Scored.of(policy, small, dev)
    template = PromptPruningTemplate(list(policy.classes), instructions="What does the customer want?", hints="hard")
    measure = Measure(template, scored, count_tokens)
    yield measure.of("all labels", None, np.ones(scored.probabilities.shape, dtype=bool))
    for level in LEVELS:
        learned = learn_pruning(policy, small, learning.texts, learning.labels.tolist(), PredictionSet(level))
        assert learned.candidate_rule is not None
        found = measure.of("PredictionSet", level, learned.candidate_rule.select(scored.probabilities))
        yield found
        for k in (int(np.floor(found.candidates)), int(np.ceil(found.candidates))):
            yield measure.of(f"TopK({k})", None, TopK(k).select(scored.probabilities))
    for rules in ([DropMastered(0.02)], [PredictionSet(0.9), DropMastered(0.02)]):
        learned = learn_pruning(policy, small, learning.texts, learning.labels.tolist(), *rules)
        assert learned.candidate_rule is not None
        level = 0.9 if len(rules) > 1 else None
        name = " and ".join(type(rule).__name__ for rule in rules)
        yield measure.of(name, level, learned.candidate_rule.select(scored.probabilities))


@dataclass(frozen=True)
class Measure:
    template: PromptPruningTemplate
    scored: Scored
    count_tokens: CountTokens

    def of(self, rule: str, level: float | None, kept: BoolArray) -> Measured:
        sizes = kept.sum(axis=1)
        return Measured(
            rule=rule,
            level=level,
            deferred=len(kept),
            hits=int(self.scored.hits(kept).sum()),
            candidates=float(sizes.mean()),
            smallest=int(sizes.min()),
            largest=int(sizes.max()),
            tokens=float(np.mean([self._tokens(i, kept[i]) for i in range(len(kept))])),
        )

    def _tokens(self, i: int, kept: BoolArray) -> int:
        labels = list(self.template.labels)
        candidates = CandidateLabels.of(labels, self.scored.probabilities[i], kept)
        messages = self.template.format_messages(text=self.scored.texts[i], candidates=candidates)
        return self.count_tokens("\n".join(message.text for message in messages))


def over_splits(small: Remembered, rows: Rows) -> dict[float, list[float]]:
    """Per level: coverage on the third part of random splits in three (policy, candidates, scored)."""
    found: dict[float, list[float]] = {level: [] for level in LEVELS}
    for seed in range(SPLITS):
        parts = [rows.at(part) for part in np.array_split(np.random.default_rng(seed).permutation(len(rows)), 3)]
        policy = fit_policy(small, parts[0].texts, parts[0].labels.tolist(), GOAL, seed=seed)
        scored = Scored.of(policy, small, parts[2])
        for level in LEVELS:
            learned = learn_pruning(policy, small, parts[1].texts, parts[1].labels.tolist(), PredictionSet(level))
            assert learned.candidate_rule is not None
            found[level].append(float(scored.hits(learned.candidate_rule.select(scored.probabilities)).mean()))
    return found


def tokenizer_of(base_url: str) -> CountTokens:
    """Return a counter of SmolLM2's tokens, asked of its server; equal texts are asked once."""
    address = base_url.removesuffix("/v1") + "/tokenize"
    known: dict[str, int] = {}

    def count(text: str) -> int:
        if text not in known:
            body = json.dumps({"content": text}).encode()
            request = urllib.request.Request(address, body, {"Content-Type": "application/json"})  # noqa: S310  loopback
            with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310  loopback
                known[text] = len(json.load(answer)["tokens"])
        return known[text]

    return count


def measure(folder: Path) -> dict[str, dict[float, list[float]]]:
    """Print the tables; return the coverages over random splits, by small model and level."""
    dev = read_rows(folder, "banking77", "dev")
    train = read_rows(folder, "banking77", "train").without(dev.texts)
    few = few_labels(train)
    rest = train.without(few.texts)
    models = small_models(few, [*rest.texts, *dev.texts])
    print(f"{len(few)} rows train, {len(rest):,} fit the policy and the candidates, {len(dev):,} are scored\n")
    with LocalServer() as server:
        count_tokens = tokenizer_of(server.base_url)
        for name, small in models.items():
            print(f"{name}\n")
            show(list(on_dev(small, rest, dev, count_tokens)))
    found: dict[str, dict[float, list[float]]] = {}
    both = Rows([*rest.texts, *dev.texts], np.concatenate([rest.labels, dev.labels]), [*rest.raw, *dev.raw])
    for name, small in models.items():
        print(f"{name}: coverage over {SPLITS} random splits in three of {len(both):,} rows\n")
        found[name] = over_splits(small, both)
        for level, shares in found[name].items():
            print(f"level {level}: mean {np.mean(shares):.4f}, s.d. {np.std(shares):.4f}", flush=True)
        print()
    return found


def show(found: Sequence[Measured]) -> None:
    print("| rule | level | true label in | 95 % interval | candidates (from, to) | prompt tokens | saved |")
    print("|" + "---|" * 7)
    for each in found:
        low, high = exact_interval(each.hits, each.deferred)
        level = "" if each.level is None else f"{each.level:g}"
        share = f"{each.hits} of {each.deferred}: {each.coverage:.3f}"
        print(
            f"| {each.rule} | {level} | {share} | [{low:.3f}, {high:.3f}] | "
            f"{each.candidates:.1f} ({each.smallest}, {each.largest}) | {each.tokens:.0f} | "
            f"{found[0].tokens - each.tokens:.0f} |",
            flush=True,
        )
    print()


if __name__ == "__main__":
    measure(recorded_folder())
