"""Embeddings and a scikit-learn head as a small model: what a few hundred labels can train in seconds."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
from langchain_core.embeddings import Embeddings
from langchain_core.load.serializable import Serializable
from pydantic import ConfigDict

from langchain_datashunt.errors import CalibrationDataError, MissingExtraError, SmallModelError
from langchain_datashunt.small_models.answers import class_names, label_name, probability_rows
from langchain_datashunt.small_models.fingerprints import checked_version, fingerprint, version_of
from langchain_datashunt.small_models.folders import read_json
from langchain_datashunt.small_models.linear_head import LinearHead
from langchain_datashunt.small_models.sentence_encoder import SentenceEncoder
from langchain_datashunt.small_models.tokens import checked_texts
from langchain_datashunt.types import FloatArray

FORMAT_VERSION = 1
"""Of the JSON that `EmbeddingClassifier.save` writes."""


class EmbeddingClassifier(Serializable):
    """A frozen text encoder and a fitted classifier of its vectors.

    Made by `fit`, which returns the finished value. With the default head, logistic regression, it can be saved as
    JSON; serving it then needs no scikit-learn.

    Example::

        small = EmbeddingClassifier.fit(texts, labels, embeddings=SentenceEncoder.embedded())
        small.save("small.json")
        small = EmbeddingClassifier.load("small.json", embeddings=SentenceEncoder.embedded())
    """

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)

    embeddings: Embeddings
    """A `SentenceEncoder`, or any LangChain embeddings model."""

    head: Any
    """A fitted classifier of ``(n, d)`` vectors, a `LinearHead` or a scikit-learn classifier."""

    embeddings_version: str
    """Identity of the embeddings model."""

    @classmethod
    def fit(
        cls,
        texts: Sequence[str],
        labels: Sequence[Any],
        *,
        embeddings: Embeddings,
        head: Any = None,
        embeddings_version: str | None = None,
    ) -> Self:
        """Embed the texts, fit a copy of the head on the vectors, and return the finished classifier.

        Args:
            texts: At least two.
            labels: One a text, of at least two classes.
            embeddings: What turns texts into vectors; it is not trained.
            head: An unfitted scikit-learn classifier with `predict_proba`; None is ``LogisticRegression(C=10)`` (see
                `default_head`).
            embeddings_version: Identity of `embeddings`, for example ``"text-embedding-3-small"``; needed where they
                have no `version` of their own.

        Raises:
            CalibrationDataError: There are not as many labels as texts, or fewer than two classes.
            SmallModelError: The embeddings have no version, or return something other than one vector a text.
            MissingExtraError: scikit-learn is not installed.
        """
        try:
            from sklearn.base import clone  # noqa: PLC0415  an extra
            from sklearn.linear_model import LogisticRegression  # noqa: PLC0415  an extra
        except ImportError as error:
            raise MissingExtraError("EmbeddingClassifier.fit", "fit") from error
        names = [label_name(label) for label in labels]
        if len(names) != len(texts) or len(set(names)) < 2:  # noqa: PLR2004  two is what "to classify" means
            raise CalibrationDataError(
                f"a classifier is fitted on one label a text, of at least two classes; got {len(texts)} texts and "
                f"{len(names)} labels of {len(set(names))} classes"
            )
        version = _embeddings_version(embeddings, embeddings_version)
        fitted = (default_head() if head is None else clone(head)).fit(_vectors(embeddings, texts), names)
        if type(fitted) is LogisticRegression and fitted.solver != "liblinear":  # liblinear's rows are no softmax
            fitted = LinearHead.of_logistic_regression(fitted)
        return cls(embeddings=embeddings, head=fitted, embeddings_version=version)

    @classmethod
    def load(cls, path: str | Path, *, embeddings: Embeddings) -> Self:
        """Return the classifier that `save` wrote, over the same embeddings model.

        Raises:
            SmallModelError: The file is malformed, or was written for embeddings of another version.
        """
        saved = read_json(Path(path))
        if saved.get("format_version") != FORMAT_VERSION or not {"head", "embeddings_version"} <= saved.keys():
            raise SmallModelError(
                f"{path} is no EmbeddingClassifier of format {FORMAT_VERSION}: it says format_version="
                f"{saved.get('format_version')!r} and holds {sorted(saved)}"
            )
        written_for = checked_version(saved["embeddings_version"])
        version = _embeddings_version(embeddings, written_for)
        if version != written_for:
            raise SmallModelError(f"{path} was fitted on the embeddings {written_for!r}; got {version!r}")
        return cls(embeddings=embeddings, head=LinearHead(**saved["head"]), embeddings_version=version)

    def save(self, path: str | Path) -> None:
        """Write the head as JSON, exact to the last digit; the encoder stays where it is.

        Raises:
            SmallModelError: The head is not logistic regression; such a classifier can only be pickled.
        """
        if not isinstance(self.head, LinearHead):
            raise SmallModelError(
                f"only a logistic regression can be saved as JSON; the head is {type(self.head).__name__}"
            )
        saved = {
            "format_version": FORMAT_VERSION,
            "embeddings_version": self.embeddings_version,
            "head": self.head.model_dump(),
        }
        Path(path).write_text(json.dumps(saved), encoding="utf-8")

    @classmethod
    def is_lc_serializable(cls) -> bool:
        """Return True; it can be loaded again if the embeddings can, and the head is a `LinearHead`."""
        return True

    @property
    def classes_(self) -> tuple[str, ...]:
        """The labels, in column order."""
        return class_names(self.head)

    @property
    def version(self) -> str:
        """Identity, made of that of the embeddings and the head's numbers."""
        head_version = version_of(self.head)
        if head_version is None:
            raise SmallModelError(f"the head {type(self.head).__name__} has no identity; give it a `version`")
        return f"EmbeddingClassifier-{fingerprint((self.embeddings_version, head_version))}"

    def predict_proba(self, inputs: Sequence[str]) -> FloatArray:
        """Return the ``(n, k)`` probabilities of `n` texts.

        Raises:
            InvalidInputError: An input is no string.
            SmallModelError: The embeddings or the head answered nonsense.
        """
        texts = checked_texts(inputs)
        if not texts:
            return np.zeros((0, len(self.classes_)))
        return self._classify(self.vectors(texts))

    def vectors(self, texts: Sequence[str]) -> FloatArray:
        """Return the ``(n, d)`` vectors that the head reads.

        Raises:
            InvalidInputError: A text is no string.
            SmallModelError: The embeddings answered nonsense.
        """
        return _vectors(self.embeddings, texts)

    async def apredict_proba(self, inputs: Sequence[str]) -> FloatArray:
        """Return the same, without blocking the event loop: a remote model is awaited, a local encoder has a thread."""
        texts = checked_texts(inputs)
        if not texts or isinstance(self.embeddings, SentenceEncoder):
            return await asyncio.to_thread(self.predict_proba, texts)
        return self._classify(_checked_vectors(await self.embeddings.aembed_documents(texts), len(texts)))

    def _classify(self, vectors: FloatArray) -> FloatArray:
        return probability_rows(self.head.predict_proba(vectors), len(vectors), self.classes_)


def default_head() -> Any:
    """Return the unfitted head that `EmbeddingClassifier.fit` takes by default.

    Vectors of length 1 want less shrinkage than scikit-learn's ``C=1``. Accuracy over all-MiniLM-L6-v2 at C = 1, 10
    and 100, on training rows held out (2026-11-23): BANKING77 with 770 labels .66, .82, .83 (n = 2,230, 2 splits); SMS
    spam with 200 labels .90, .96, .97 (n = 1,800, 10 splits); the first 600 characters of IMDB reviews with 200 labels
    .70, .70, .68 (n = 600, 10 splits), where C=100 is also far too sure of itself (log loss .60, .59, .83).
    """
    from sklearn.linear_model import LogisticRegression  # noqa: PLC0415  an extra

    return LogisticRegression(C=10.0, max_iter=1000)


def _embeddings_version(embeddings: Embeddings, given: str | None) -> str:
    if not callable(getattr(embeddings, "embed_documents", None)):
        raise SmallModelError(
            "embeddings are a LangChain Embeddings, such as SentenceEncoder.embedded(); got "
            f"{type(embeddings).__name__} {embeddings!r:.80}"
        )
    own = version_of(embeddings)
    if own is None and given is None:
        raise SmallModelError(
            f"{type(embeddings).__name__} has no `version`; give embeddings_version=..., such as the model's name"
        )
    return checked_version(given if own is None else own)


def _vectors(embeddings: Embeddings, texts: Sequence[str]) -> FloatArray:
    if isinstance(embeddings, SentenceEncoder):
        return embeddings.encode(texts)
    return _checked_vectors(embeddings.embed_documents(checked_texts(texts)), len(texts))


def _checked_vectors(vectors: Any, n: int) -> FloatArray:
    try:
        rows = np.asarray(vectors, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise SmallModelError(f"embeddings are one vector of numbers a text, all of one length: {error}") from error
    if rows.ndim != 2 or len(rows) != n or not np.isfinite(rows).all():  # noqa: PLR2004  rows and columns
        raise SmallModelError(
            f"embeddings of {n} texts are {n} vectors of finite numbers; got shape {rows.shape}, "
            f"{int((~np.isfinite(rows)).sum())} of them not finite"
        )
    return rows
