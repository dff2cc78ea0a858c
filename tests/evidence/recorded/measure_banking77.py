"""banking77 dev: 77 classes, a small model of ten labels a class, and recorded answers of GPT-4.

Run: ``python -m tests.evidence.recorded.measure_banking77``, under a minute on two CPU cores.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from langchain_datashunt.small_models import EmbeddingClassifier, SentenceEncoder
from tests.evidence.recorded.comparison import (
    Pair,
    compare,
    print_calibration,
    print_complementarity,
    print_headline,
    print_selective_risk,
    print_stability,
)
from tests.evidence.recorded.cross_fitting import Remembered
from tests.evidence.recorded.outcomes import Outcome
from tests.evidence.recorded.recorded_rows import Rows, read_rows, recorded_folder

LABELS_A_CLASS = 10
LARGE_MODEL = "gpt-4-fewshot"


def measure(folder: Path) -> dict[str, Outcome]:
    """Train, compare and print; return the outcomes by name."""
    dev = read_rows(folder, "banking77", "dev")
    train = few_labels(read_rows(folder, "banking77", "train").without(dev.texts))
    print(f"banking77: {len(train)} training rows, {len(dev):,} rows scored, {len(set(train.labels))} classes\n")
    small = EmbeddingClassifier.fit(
        train.texts,
        train.labels.tolist(),
        embeddings=SentenceEncoder.embedded(),
        head=LogisticRegression(C=30.0, max_iter=2000),
    )
    baseline = make_pipeline(TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True), LogisticRegression(C=100.0))
    baseline.fit(train.texts, train.labels)
    remembered, remembered_baseline = Remembered(small, dev.texts), Remembered(baseline, dev.texts)
    pair = Pair(dev, remembered, LARGE_MODEL)
    outcomes = compare(pair, remembered_baseline)
    print_headline(pair, outcomes)
    print_selective_risk(pair)
    print_stability(pair)
    print_complementarity(pair, bands=5)
    print_calibration({"embeddings + LR": remembered, "TF-IDF + LR": remembered_baseline}, dev)
    return outcomes


def few_labels(train: Rows, seed: int = 0) -> Rows:
    """Choose ten rows of each class."""
    rng = np.random.default_rng(seed)
    of_each = (np.flatnonzero(train.labels == label) for label in np.unique(train.labels))
    return train.at(np.concatenate([rng.permutation(rows)[:LABELS_A_CLASS] for rows in of_each]))


if __name__ == "__main__":
    measure(recorded_folder())
