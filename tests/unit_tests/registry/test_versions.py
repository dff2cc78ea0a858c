"""What a registry keeps, and what it refuses."""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from langchain_core.embeddings import DeterministicFakeEmbedding
from review_versions import TEXTS, fitted, policy_for
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from tiny_models import save_tiny_bert, save_tiny_onnx

from langchain_datashunt import (
    EmbeddingClassifier,
    FunctionClassifier,
    ModelRegistry,
    OnnxClassifier,
    PolicyMismatchError,
    RegistryError,
    SentenceEncoder,
    ShuntPolicy,
    TransformersClassifier,
)
from langchain_datashunt.small_models import version_of

EMBEDDINGS = DeterministicFakeEmbedding(size=8)
LABELS = ["positive"] * 4 + ["negative"] * 4


def shortened(text: str) -> str:
    """Cut a text: a function of ours in a pipeline."""
    return text[:10].lower()


def transformers_model(folder: Path) -> Any:
    torch.set_num_threads(1)
    save_tiny_bert(folder / "bert")
    return TransformersClassifier(folder / "bert", truncation="head_tail", max_length=9, batch_size=3)


def onnx_model(folder: Path) -> Any:
    save_tiny_onnx(folder / "onnx")
    return OnnxClassifier(folder / "onnx", threads=1, labels=["a", "b", "c"])


def embedding_model(folder: Path) -> Any:
    torch.set_num_threads(1)
    save_tiny_bert(folder / "bert")
    return EmbeddingClassifier.fit(TEXTS, LABELS, embeddings=SentenceEncoder(folder / "bert", max_length=12))


def remote_embedding_model(_: Path) -> Any:
    return EmbeddingClassifier.fit(TEXTS, LABELS, embeddings=EMBEDDINGS, embeddings_version="fake")


KINDS = {
    "scikit-learn": lambda _: fitted(0),
    "transformers": transformers_model,
    "onnx": onnx_model,
    "embeddings": embedding_model,
    "remote embeddings": remote_embedding_model,
}


@pytest.mark.parametrize("make", KINDS.values(), ids=KINDS)
def test_a_model_of_every_kind_is_the_same_after_it_was_kept(make: Any, tmp_path: Path) -> None:
    small = make(tmp_path / "source")
    policy = policy_for(small)
    number = ModelRegistry(tmp_path / "models", embeddings=EMBEDDINGS).add(small, policy).number
    again = ModelRegistry(tmp_path / "models", embeddings=EMBEDDINGS).load(number)
    assert version_of(again.small) == version_of(small) == again.small_model_version
    assert again.policy == policy
    assert (np.asarray(again.small.predict_proba(TEXTS)) == np.asarray(small.predict_proba(TEXTS))).all()


@pytest.mark.parametrize("make", [transformers_model, onnx_model])
def test_a_version_does_not_need_the_folder_that_it_came_from(make: Any, tmp_path: Path) -> None:
    registry = ModelRegistry(tmp_path / "models")
    small = make(tmp_path / "source")
    expected = small.predict_proba(TEXTS)
    registry.add(small, policy_for(small))
    shutil.rmtree(tmp_path / "source")
    assert (np.asarray(registry.load(1).small.predict_proba(TEXTS)) == expected).all()


def test_nothing_in_a_registry_is_a_pickle(tmp_path: Path) -> None:
    registry = ModelRegistry(tmp_path / "models", embeddings=EMBEDDINGS)
    for name, make in KINDS.items():
        small = make(tmp_path / name)
        registry.add(small, policy_for(small))
    suffixes = {path.suffix for path in (tmp_path / "models").rglob("*") if path.is_file()}
    assert suffixes == {".json", ".skops", ".safetensors", ".onnx"}


def test_a_card_says_what_a_version_is_and_where_it_comes_from(registry: ModelRegistry) -> None:
    small = fitted(7)
    policy = policy_for(small)
    registry.add(small, policy, parents=[1, 2], data={"gold": 500, "acquire": 812}, metrics={"accuracy": 0.91})
    card = registry.version(4).card
    assert (card.parents, card.data, card.metrics) == ((1, 2), {"gold": 500, "acquire": 812}, {"accuracy": 0.91})
    assert (card.small_model_version, card.policy_id) == (version_of(small), policy.policy_id)
    assert registry.versions()[-1] == registry.version(4)


def test_versions_are_numbered_and_never_overwritten(registry: ModelRegistry) -> None:
    before = {path: path.stat().st_mtime_ns for path in registry.folder.rglob("*") if path.is_file()}
    small = fitted(3)
    assert registry.add(small, policy_for(small)).number == 4
    assert [version.number for version in registry.versions()] == [1, 2, 3, 4]
    assert all(path.stat().st_mtime_ns == changed for path, changed in before.items())


def test_a_policy_of_another_model_is_refused(registry: ModelRegistry) -> None:
    with pytest.raises(PolicyMismatchError, match="was fitted for small model"):
        registry.add(fitted(0), policy_for(fitted(1)))
    assert len(registry.versions()) == 3


def test_what_has_no_file_format_is_refused_and_leaves_nothing(registry: ModelRegistry) -> None:
    small = FunctionClassifier(lambda texts: [[0.5, 0.5]] * len(texts), classes=["a", "b"], version="1")
    with pytest.raises(RegistryError, match="FunctionClassifier has no file format"):
        registry.add(small, policy_for(small))
    with pytest.raises(RegistryError, match="has no version 9; it has"):
        registry.add(fitted(0), policy_for(fitted(0)), parents=[9])
    with pytest.raises(RegistryError, match="plain JSON only"):
        registry.add(fitted(0), policy_for(fitted(0)), metrics={"risk": float("nan")})
    names = [path.name for path in (registry.folder / "versions").iterdir()]
    assert sorted(names) == ["000001", "000002", "000003"]


def test_pickled_weights_are_refused(registry: ModelRegistry, tmp_path: Path) -> None:
    small = transformers_model(tmp_path / "source")
    folder = small.folder()
    torch.save({}, folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    pickled = TransformersClassifier(folder)
    with pytest.raises(RegistryError, match=r"\['pytorch_model.bin'\] .* are pickles, which can run code"):
        registry.add(pickled, policy_for(pickled))


def test_types_that_may_run_code_stand_on_the_card_and_are_loaded_only_by_name(tmp_path: Path) -> None:
    small = make_pipeline(TfidfVectorizer(preprocessor=shortened), LogisticRegression()).fit(TEXTS, LABELS)
    registry = ModelRegistry(tmp_path / "models")
    (name,) = registry.add(small, policy_for(small)).card.untrusted_types
    assert name.endswith(".shortened")
    with pytest.raises(RegistryError, match=r"may run code when it is loaded; .* trusted_types="):
        registry.load(1)
    again = ModelRegistry(tmp_path / "models", trusted_types=[name]).load(1)
    assert (again.small.predict_proba(TEXTS) == small.predict_proba(TEXTS)).all()


def damaged(change: str, folder: Path) -> None:
    if change == "foreign":
        (folder / "model" / "extra.py").write_text("print('hello')")
    elif change == "missing":
        (folder / "card.json").unlink()
    elif change == "changed":
        content = bytearray((folder / "model" / "estimator.skops").read_bytes())
        content[len(content) // 2] ^= 1
        (folder / "model" / "estimator.skops").write_bytes(content)
    elif change == "plain file":
        (folder / "model" / "link").symlink_to("/etc/hostname")
    else:
        (folder / "manifest.json").unlink()


@pytest.mark.parametrize("change", ["foreign", "missing", "changed", "plain file", "manifest"])
def test_a_version_that_is_not_as_it_was_published_is_neither_loaded_nor_promoted(
    registry: ModelRegistry, change: str
) -> None:
    damaged(change, registry.version(2).folder)
    for refuse in (registry.load, registry.promote):
        with pytest.raises(RegistryError, match=change):
            refuse(2)
    assert registry.load(1).number == 1


def test_a_policy_that_was_exchanged_with_a_new_manifest_is_still_refused(registry: ModelRegistry) -> None:
    from langchain_datashunt.registry.manifest import write_manifest

    shutil.copy(registry.version(1).folder / "policy.json", registry.version(2).folder / "policy.json")
    write_manifest(registry.version(2).folder)
    with pytest.raises(PolicyMismatchError, match="was fitted for small model"):
        registry.load(2)


def test_a_folder_that_is_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(RegistryError, match="is there and is no registry"):
        ModelRegistry(tmp_path)
    with pytest.raises(RegistryError, match="is no folder"):
        ModelRegistry(tmp_path / "notes.txt")
    (tmp_path / "notes.txt").unlink()
    (tmp_path / "registry.json").write_text(json.dumps({"format": "langchain-datashunt/registry", "format_version": 9}))
    with pytest.raises(RegistryError, match="'format_version': 9"):
        ModelRegistry(tmp_path)


def test_an_absent_folder_is_an_empty_registry_and_is_not_made_by_looking(tmp_path: Path) -> None:
    registry = ModelRegistry(tmp_path / "models")
    assert (registry.versions(), registry.history(), registry.promoted()) == ([], [], None)
    with pytest.raises(RegistryError, match="has no version 1; it has"):
        registry.promote(1)
    assert not registry.folder.exists()


def test_what_a_crash_left_is_ignored_and_swept_after_a_day(registry: ModelRegistry) -> None:
    old, new = (registry.folder / "versions" / f".unfinished-{age}" for age in ("old", "new"))
    for left in (old, new):
        shutil.copytree(registry.version(1).folder, left)
    os.utime(old, (time.time() - 90_000,) * 2)
    small = fitted(3)
    assert registry.add(small, policy_for(small)).number == 4
    assert [version.number for version in registry.versions()] == [1, 2, 3, 4]
    assert (old.exists(), new.exists()) == (False, True)


def test_a_head_over_other_embeddings_asks_for_them(tmp_path: Path) -> None:
    small = remote_embedding_model(tmp_path)
    ModelRegistry(tmp_path / "models", embeddings=EMBEDDINGS).add(small, policy_for(small))
    with pytest.raises(RegistryError, match="reads vectors of 'fake'; give these embeddings"):
        ModelRegistry(tmp_path / "models").load(1)


def test_without_skops_it_names_the_extra(registry: ModelRegistry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "skops.io", None)
    with pytest.raises(ImportError, match=r"langchain-datashunt\[fit\]"):
        registry.load(1)


def test_a_policy_that_is_tied_to_no_model_can_be_kept(tmp_path: Path) -> None:
    small = fitted(0)
    registry = ModelRegistry(tmp_path / "models")
    registry.add(small, ShuntPolicy(classes=("negative", "positive"), threshold=0.9))
    assert registry.load(1).policy.small_model_version is None
