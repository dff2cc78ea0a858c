from __future__ import annotations

import json
import pickle
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from langchain_core.embeddings import DeterministicFakeEmbedding, Embeddings
from langchain_core.load import dumps, loads
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from tiny_models import WORDS

from langchain_datashunt.errors import CalibrationDataError, InvalidInputError, MissingExtraError, SmallModelError
from langchain_datashunt.small_models import EmbeddingClassifier, LinearHead, SentenceEncoder, class_names, version_of
from langchain_datashunt.types import SmallModel

RNG = np.random.default_rng(0)
TEXTS = [" ".join(RNG.choice(WORDS, size=6)) for _ in range(60)]
THREE = [("low", "middle", "high")[i % 3] for i in range(60)]
TWO = [bool(i % 2) for i in range(60)]


class LetterCounts(Embeddings):
    """Real vectors of a text, from a model that is only reached by its list interface, as a remote one is."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        self.calls.append("embed")
        return [[text.count(letter) / (1 + len(text)) for letter in "aeiorstn"] for text in texts]

    async def aembed_documents(self, texts: list[str]) -> list[list[float]]:
        self.calls.append("aembed")
        return [[text.count(letter) / (1 + len(text)) for letter in "aeiorstn"] for text in texts]

    def embed_query(self, text: str) -> list[float]:
        return self.embed_documents([text])[0]


def fitted(labels: list[Any] = THREE, **settings: Any) -> EmbeddingClassifier:
    options = {"embeddings": LetterCounts(), "embeddings_version": "letters-1"} | settings
    return EmbeddingClassifier.fit(TEXTS, labels, **options)


@pytest.mark.parametrize("labels", [TWO, THREE])
def test_its_linear_head_answers_as_scikit_learns_logistic_regression_does(labels: list[Any]) -> None:
    small = fitted(labels, head=LogisticRegression(C=3.0))
    vectors = LetterCounts().embed_documents(TEXTS)
    reference = LogisticRegression(C=3.0).fit(vectors, [str(label) for label in labels])
    assert isinstance(small, SmallModel)
    assert isinstance(small.head, LinearHead)
    assert small.classes_ == tuple(reference.classes_)
    assert np.abs(small.predict_proba(TEXTS) - reference.predict_proba(vectors)).max() < 1e-12


async def test_a_batch_takes_one_call_of_the_embeddings_and_awaits_remote_ones() -> None:
    remote = LetterCounts()
    small = fitted(embeddings=remote)
    remote.calls.clear()
    rows = small.predict_proba(TEXTS)
    assert (await small.apredict_proba(TEXTS) == rows).all()
    assert remote.calls == ["embed", "aembed"]
    assert small.predict_proba([]).shape == (await small.apredict_proba([])).shape == (0, 3)
    assert remote.calls == ["embed", "aembed"]


def test_any_scikit_learn_classifier_can_be_the_head_and_is_left_unfitted() -> None:
    forest = RandomForestClassifier(5, random_state=0)
    small = fitted(head=forest)
    assert not hasattr(forest, "classes_")
    assert np.allclose(small.predict_proba(TEXTS).sum(axis=1), 1)
    assert version_of(small) == version_of(fitted(head=forest))
    assert pickle.loads(pickle.dumps(small.head)).classes_.tolist() == list(small.classes_)


def test_one_versus_rest_heads_keep_their_own_probabilities() -> None:
    small = fitted(TWO, head=LogisticRegression(solver="liblinear"))
    assert isinstance(small.head, LogisticRegression)
    assert np.allclose(small.predict_proba(TEXTS).sum(axis=1), 1)


def test_saving_keeps_every_digit(tmp_path: Path) -> None:
    small = fitted()
    small.save(tmp_path / "small.json")
    again = EmbeddingClassifier.load(tmp_path / "small.json", embeddings=LetterCounts())
    assert (again.predict_proba(TEXTS) == small.predict_proba(TEXTS)).all()
    assert again.version == small.version
    assert class_names(again) == class_names(small)


def test_a_file_of_other_embeddings_or_of_another_format_is_refused(tiny_bert: Path, tmp_path: Path) -> None:
    path = tmp_path / "small.json"
    fitted().save(path)
    with pytest.raises(SmallModelError, match=r"'letters-1'; got 'SentenceEncoder-"):
        EmbeddingClassifier.load(path, embeddings=SentenceEncoder(tiny_bert))
    saved = json.loads(path.read_text())
    for change, said in [
        ({"format_version": 99}, "format_version=99"),
        ({"embeddings_version": None}, "a version is a string"),
        ({"head": {**saved["head"], "intercepts": [0.0]}}, "1 intercepts"),
        ({"head": {**saved["head"], "intercepts": [0.0, 0.0, "x"]}}, "no linear head"),
    ]:
        path.write_text(json.dumps(saved | change))
        with pytest.raises(SmallModelError, match=said):
            EmbeddingClassifier.load(path, embeddings=LetterCounts())
    path.write_text("{")
    with pytest.raises(SmallModelError, match="cannot be read as JSON"):
        EmbeddingClassifier.load(path, embeddings=LetterCounts())


def test_only_plain_numbers_are_saved(tmp_path: Path) -> None:
    with pytest.raises(SmallModelError, match="RandomForestClassifier"):
        fitted(head=RandomForestClassifier(2)).save(tmp_path / "small.json")


@pytest.mark.filterwarnings("ignore:The function `loads` is in beta")
def test_langchain_can_write_it_down_and_load_it_again(tiny_bert: Path) -> None:
    small = fitted(embeddings=SentenceEncoder(tiny_bert))
    again = loads(
        dumps(small),
        allowed_objects=[EmbeddingClassifier, LinearHead, SentenceEncoder],
        valid_namespaces=["langchain_datashunt"],
    )
    assert again.version == small.version
    assert (again.predict_proba(TEXTS) == small.predict_proba(TEXTS)).all()


async def test_a_local_encoder_is_picklable_versioned_and_runs_beside_the_event_loop(tiny_bert: Path) -> None:
    small = fitted(embeddings=SentenceEncoder(tiny_bert))
    again = pickle.loads(pickle.dumps(small))
    assert again.version == small.version
    assert small.embeddings_version == SentenceEncoder(tiny_bert).version
    assert (await again.apredict_proba(TEXTS) == small.predict_proba(TEXTS)).all()


def test_the_version_is_that_of_embeddings_and_head() -> None:
    small = fitted()
    versions = [small.version, fitted(TWO).version, fitted(embeddings_version="letters-2").version]
    assert len(set(versions)) == 3
    assert fitted().version == small.version


@pytest.mark.parametrize("labels", [THREE[:-1], ["same"] * 60, []])
def test_labels_that_nothing_can_be_fitted_on_are_refused(labels: list[str]) -> None:
    with pytest.raises(CalibrationDataError, match="one label a text"):
        fitted(labels)


def test_a_name_in_the_place_of_embeddings_is_refused() -> None:
    with pytest.raises(SmallModelError, match=r"embeddings are a LangChain Embeddings.*got str 'all-MiniLM"):
        EmbeddingClassifier.fit(TEXTS, THREE, embeddings="all-MiniLM-L6-v2", embeddings_version="1")  # type: ignore[arg-type]


def test_embeddings_without_a_version_must_be_given_one() -> None:
    with pytest.raises(SmallModelError, match="DeterministicFakeEmbedding has no `version`"):
        EmbeddingClassifier.fit(TEXTS, THREE, embeddings=DeterministicFakeEmbedding(size=4))


class Broken(LetterCounts):
    """Answers what it is told to."""

    def __init__(self, vectors: Any) -> None:
        self.vectors = vectors

    def embed_documents(self, texts: list[str]) -> Any:
        return self.vectors


@pytest.mark.parametrize(
    ("vectors", "said"),
    [
        ([[1.0] * 8], r"embeddings of 2 texts .* got shape \(1, 8\)"),
        ([[1.0] * 8, [float("nan")] * 8], "8 of them not finite"),
        ([[1.0], [1.0, 2.0]], "all of one length"),
        ([[1.0] * 3] * 2, r"reads vectors of 8 dimensions; got shape \(2, 3\)"),
    ],
)
def test_vectors_that_do_not_fit_are_refused(vectors: Any, said: str) -> None:
    small = EmbeddingClassifier(embeddings=Broken(vectors), head=fitted().head, embeddings_version="1")
    with pytest.raises(SmallModelError, match=said):
        small.predict_proba(["a", "b"])


def test_what_is_no_text_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="input 0 is NoneType"):
        fitted().predict_proba([None])  # type: ignore[list-item]


def test_fitting_without_scikit_learn_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.linear_model", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'langchain-datashunt\[fit\]'"):
        fitted()
