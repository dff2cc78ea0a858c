"""A text model that is named by where its files are: loaded at its first use, and never pickled."""

from __future__ import annotations

import threading
from abc import abstractmethod
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np
from langchain_core.load.serializable import Serializable
from numpy.typing import NDArray
from pydantic import ConfigDict, Field, PrivateAttr, ValidationError

from langchain_datashunt.errors import SmallModelError
from langchain_datashunt.small_models.fingerprints import files_fingerprint
from langchain_datashunt.small_models.folders import TORCH_WEIGHTS, deciding_files, model_folder, read_json
from langchain_datashunt.small_models.tokens import TextTokenizer, TokenBatch, Truncation

# fmt: off
_COUNT_AFTER_PADDING = frozenset({
    "camembert", "data2vec-text", "esm", "ibert", "layoutlmv3", "lilt", "longformer", "luke", "markuplm", "mpnet",
    "roberta", "roberta-prelayernorm", "xlm-roberta", "xlm-roberta-xl", "xmod",
})
# fmt: on
"""Kinds of model whose first token has the position after the padding token's id, so that the first ones are unused."""

# Two threads must not load one model twice. Loading is rare, so one lock serves all models, and none must be pickled.
_LOADING = threading.Lock()


class LoadedModel(NamedTuple):
    """What is in memory once a model is loaded.

    Attributes:
        tokenizer: Texts to padded batches.
        forward: A batch to its ``(rows, width)`` result.
    """

    tokenizer: TextTokenizer
    forward: Callable[[TokenBatch], NDArray[Any]]


class FolderTextModel(Serializable):
    """What `TransformersClassifier`, `OnnxClassifier` and `SentenceEncoder` share.

    The object holds the place of the files and the settings. Only these are pickled and serialised; weights are loaded
    at the first call, by one thread. A loaded model may be used by many threads.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    weight_patterns: ClassVar[tuple[str, ...]] = TORCH_WEIGHTS
    """Which files are weights; the first pattern that finds any decides."""

    path_or_hub_id: str
    """A folder, ``"package:NAME"`` (the folder ``model`` of an installed package), or a Hugging Face hub id."""

    revision: str | None = None
    """Branch, tag or commit of a hub id. None is the hub's main branch, which may change under your policy."""

    max_length: int | None = Field(default=None, ge=1)
    """Most tokens of a text, special tokens included; None is the model's own limit."""

    truncation: Truncation = "head"
    """Which tokens of a longer text stay: ``"head"`` the first, ``"head_tail"`` a quarter first and the rest last."""

    batch_size: int = Field(default=16, ge=1)
    """Texts a forward pass. On CPUs 8 to 32 is fastest; a GPU takes more."""

    _loaded: LoadedModel | None = PrivateAttr(default=None)
    _version: str | None = PrivateAttr(default=None)

    def __init__(self, path_or_hub_id: str | Path, **settings: Any) -> None:
        """Name a model and its settings; nothing is loaded yet.

        Raises:
            SmallModelError: A setting is unknown or out of range.
        """
        try:
            super().__init__(path_or_hub_id=str(path_or_hub_id), **settings)
        except ValidationError as error:
            raise SmallModelError(f"{type(self).__name__}({str(path_or_hub_id)!r}) cannot be made: {error}") from error

    @classmethod
    def is_lc_serializable(cls) -> bool:
        """Return True: the place and the settings are plain JSON."""
        return True

    def __getstate__(self) -> dict[Any, Any]:
        """Leave the loaded weights out: the process that unpickles loads them from the same place."""
        state = super().__getstate__()
        return {**state, "__pydantic_private__": dict.fromkeys(state["__pydantic_private__"] or {})}

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> Self:
        """Return the object itself: it never changes, and its weights need no second copy."""
        return self

    @property
    def version(self) -> str:
        """Identity, by the content of weight, configuration and tokenizer files, and settings that change answers."""
        if self._version is None:
            digest = files_fingerprint(self.files(), self._deciding_settings())
            self._version = f"{type(self).__name__}-{digest}"
        return self._version

    def files(self) -> list[Path]:
        """Return the files that decide the answers; with the settings they are the whole model."""
        return deciding_files(self.folder(), self.weight_patterns)

    def folder(self) -> Path:
        """Return the folder of the files; a hub id is downloaded once."""
        return model_folder(self.path_or_hub_id, self.revision)

    def _deciding_settings(self) -> dict[str, Any]:
        return {"max_length": self.max_length, "truncation": self.truncation}

    def _config(self) -> dict[str, Any]:
        return read_json(self.folder() / "config.json")

    def _positions(self) -> int | None:
        """Return how many tokens have a position of their own; None if the configuration does not say."""
        config = self._config()
        positions: int | None = config.get("max_position_embeddings")
        if positions is None or config.get("model_type") not in _COUNT_AFTER_PADDING:
            return positions
        return positions - int(config.get("pad_token_id", 1)) - 1

    @abstractmethod
    def _load_now(self) -> LoadedModel:
        """Return the model as it lies in the folder."""

    def _run(self, texts: Sequence[str], width: int) -> NDArray[Any]:
        """Return the ``(n, width)`` results in the order of the texts."""
        if not texts:
            return np.zeros((0, width))
        loaded = self._load()
        results: Any = None
        batches = list(loaded.tokenizer.batches(texts, self._rows_a_batch(len(texts))))
        for batch, rows in zip(batches, self._forward_each(loaded, batches), strict=True):
            if results is None:
                results = np.zeros((len(texts), rows.shape[1]), dtype=rows.dtype)
            results[batch.rows] = rows
        return np.asarray(results)

    def _rows_a_batch(self, n: int) -> int:  # noqa: ARG002  some share n rows out
        """Return how many of `n` texts go into one forward pass."""
        return self.batch_size

    def _forward_each(self, loaded: LoadedModel, batches: Sequence[TokenBatch]) -> Iterable[NDArray[Any]]:
        """Return the results of batches, in their order."""
        return map(loaded.forward, batches)

    def _load(self) -> LoadedModel:
        if self._loaded is None:
            with _LOADING:
                if self._loaded is None:
                    self._loaded = self._load_now()
        return self._loaded
