"""The small side of the demo: a frozen encoder with a trained head, its policy, and the simple baseline."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from langchain_datashunt.demo.texts import Snippet
from langchain_datashunt.errors import InfeasibleTargetError, MissingExtraError
from langchain_datashunt.fitting import fit_policy
from langchain_datashunt.policy.goals import MaxDeferral, TargetRisk
from langchain_datashunt.policy.shunt_policy import ShuntPolicy
from langchain_datashunt.small_models import EmbeddingClassifier, SentenceEncoder
from langchain_datashunt.types import SmallModel

FALLBACK_DEFERRAL = 0.5


def columns(rows: Sequence[Snippet]) -> tuple[list[str], list[str]]:
    """Return texts and labels."""
    return [row.text for row in rows], [row.label for row in rows]


def train_small(rows: Sequence[Snippet]) -> EmbeddingClassifier:
    """Return logistic regression on the frozen vectors of all-MiniLM-L6-v2."""
    texts, labels = columns(rows)
    return EmbeddingClassifier.fit(texts, labels, embeddings=SentenceEncoder.embedded())


def train_tfidf(rows: Sequence[Snippet]) -> Any:
    """Return the baseline: logistic regression on weighted words and pairs of words."""
    try:
        from sklearn.feature_extraction.text import TfidfVectorizer  # noqa: PLC0415  an extra
        from sklearn.linear_model import LogisticRegression  # noqa: PLC0415  likewise
        from sklearn.pipeline import make_pipeline  # noqa: PLC0415  likewise
    except ImportError as error:
        raise MissingExtraError("the baseline", "fit") from error
    vectors = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True)
    return make_pipeline(vectors, LogisticRegression(C=10.0, max_iter=1000)).fit(*columns(rows))


def fit_demo_policy(
    small: SmallModel, rows: Sequence[Snippet], target_risk: float, seed: int
) -> tuple[ShuntPolicy, str | None]:
    """Return a policy with the certificate, or one without and the reason why none was possible."""
    texts, labels = columns(rows)
    try:
        return fit_policy(small, texts, labels, TargetRisk(target_risk), seed=seed), None
    except InfeasibleTargetError as error:
        return fit_policy(small, texts, labels, MaxDeferral(FALLBACK_DEFERRAL), seed=seed), str(error)
