"""A small model as files, and back: safetensors, ONNX, JSON or skops, never pickle."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Collection
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from langchain_core.embeddings import Embeddings

from langchain_datashunt.errors import MissingExtraError, RegistryError
from langchain_datashunt.small_models.embedding_classifier import EmbeddingClassifier
from langchain_datashunt.small_models.folder_text_model import FolderTextModel
from langchain_datashunt.small_models.folders import read_json
from langchain_datashunt.small_models.onnx_classifier import OnnxClassifier
from langchain_datashunt.small_models.sentence_encoder import SentenceEncoder
from langchain_datashunt.small_models.transformers_classifier import TransformersClassifier
from langchain_datashunt.types import SmallModel

DESCRIPTION = "model.json"
HEAD = "head.json"
ESTIMATOR = "estimator.skops"
WEIGHTS = "weights"

_OF_THE_MACHINE = {"path_or_hub_id", "revision", "device"}
"""Settings that say where a model lay and ran, and are not kept."""


class Needs(NamedTuple):
    """What a model in a registry needs from whoever loads it.

    Attributes:
        embeddings: For an `EmbeddingClassifier` over embeddings that are not a `SentenceEncoder`.
        trusted_types: Full names of classes and functions that a scikit-learn model may hold, beside those that skops
            trusts by itself.
    """

    embeddings: Embeddings | None = None
    trusted_types: Collection[str] = ()


class _Kind(NamedTuple):
    write: Callable[[Any, Path], dict[str, Any]]
    read: Callable[[Path, dict[str, Any], Needs], SmallModel]


def write_model(small: SmallModel, folder: Path) -> None:
    """Write a small model into an empty folder.

    Raises:
        RegistryError: There is no file format for it.
        MissingExtraError: skops is not installed, and it is a scikit-learn estimator.
    """
    kind = _kind_of(small)
    settings = _KINDS[kind].write(small, folder)
    (folder / DESCRIPTION).write_text(json.dumps({"kind": kind, "settings": settings}, indent=2), encoding="utf-8")


def read_model(folder: Path, needs: Needs) -> SmallModel:
    """Return the small model of a folder.

    Raises:
        RegistryError: The folder holds no such model, or one that needs what `needs` does not have.
        SmallModelError: Its files are damaged.
        MissingExtraError: Its packages are not installed.
    """
    description = read_json(folder / DESCRIPTION)
    kind = _KINDS.get(description.get("kind", ""))
    if kind is None:
        raise RegistryError(f"{folder} holds a model of the kind {description.get('kind')!r}; known: {list(_KINDS)}")
    return kind.read(folder, description["settings"], needs)


def untrusted_types(folder: Path) -> list[str]:
    """Return the names of all in a model's folder that skops does not trust by itself; empty for other kinds."""
    file = folder / ESTIMATOR
    return sorted(_skops().get_untrusted_types(file=file)) if file.is_file() else []


def _kind_of(small: Any) -> str:
    if isinstance(small, TransformersClassifier):
        return "transformers"
    if isinstance(small, OnnxClassifier):
        return "onnx"
    if isinstance(small, EmbeddingClassifier):
        return "embeddings and head"
    if any(parent.__module__ == "sklearn.base" for parent in type(small).__mro__):
        return "scikit-learn"
    raise RegistryError(
        f"a registry keeps scikit-learn estimators, EmbeddingClassifier, TransformersClassifier and OnnxClassifier; "
        f"{type(small).__name__} has no file format that runs no code when it is loaded"
    )


def _write_folder_model(small: FolderTextModel, folder: Path) -> dict[str, Any]:
    files = small.files()
    pickles = [path.name for path in files if path.suffix == ".bin"]
    if pickles:
        raise RegistryError(
            f"{pickles} of {small.path_or_hub_id!r} are pickles, which can run code; save the model as safetensors: "
            "AutoModelForSequenceClassification.from_pretrained(folder).save_pretrained(other_folder)"
        )
    (folder / WEIGHTS).mkdir()
    for path in files:
        shutil.copyfile(path, folder / WEIGHTS / path.name)
    return small.model_dump(mode="json", exclude=_OF_THE_MACHINE)


def _read_transformers(folder: Path, settings: dict[str, Any], _: Needs) -> SmallModel:
    return TransformersClassifier(folder / WEIGHTS, **settings)


def _read_onnx(folder: Path, settings: dict[str, Any], _: Needs) -> SmallModel:
    return OnnxClassifier(folder / WEIGHTS, **settings)


def _write_head(small: EmbeddingClassifier, folder: Path) -> dict[str, Any]:
    small.save(folder / HEAD)
    encoder = small.embeddings
    if not isinstance(encoder, SentenceEncoder):
        return {"encoder": None}
    settings = encoder.model_dump(mode="json", exclude={"device"})
    if Path(encoder.path_or_hub_id).is_dir():
        settings["path_or_hub_id"] = str(Path(encoder.path_or_hub_id).resolve())
    return {"encoder": settings}


def _read_head(folder: Path, settings: dict[str, Any], needs: Needs) -> SmallModel:
    encoder = needs.embeddings
    if settings["encoder"] is not None:
        encoder = _encoder(json.dumps(settings["encoder"], sort_keys=True))
    if encoder is None:
        version = read_json(folder / HEAD).get("embeddings_version")
        raise RegistryError(f"this model reads vectors of {version!r}; give these embeddings: embeddings=...")
    return EmbeddingClassifier.load(folder / HEAD, embeddings=encoder)


@lru_cache(maxsize=4)
def _encoder(settings: str) -> SentenceEncoder:
    """Return the encoder of these settings, one for all versions: it is frozen, and takes seconds to load."""
    return SentenceEncoder(**json.loads(settings))


def _write_estimator(small: Any, folder: Path) -> dict[str, Any]:
    _skops().dump(small, folder / ESTIMATOR)
    return {}


def _read_estimator(folder: Path, _: dict[str, Any], needs: Needs) -> SmallModel:
    unknown = [name for name in untrusted_types(folder) if name not in needs.trusted_types]
    if unknown:
        raise RegistryError(
            f"the scikit-learn model in {folder} holds {unknown}, which may run code when it is loaded; if you know "
            f"where it comes from, name them: trusted_types={unknown}"
        )
    return _skops().load(folder / ESTIMATOR, trusted=sorted(needs.trusted_types))  # type: ignore[no-any-return]


def _skops() -> Any:
    try:
        import skops.io  # noqa: PLC0415  an extra
    except ImportError as error:
        raise MissingExtraError("a scikit-learn model in a registry", "fit") from error
    return skops.io


_KINDS = {
    "transformers": _Kind(_write_folder_model, _read_transformers),
    "onnx": _Kind(_write_folder_model, _read_onnx),
    "embeddings and head": _Kind(_write_head, _read_head),
    "scikit-learn": _Kind(_write_estimator, _read_estimator),
}
