"""A text model of PyTorch that is named by where its files are: loaded at its first use, and never pickled."""

from __future__ import annotations

import threading
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any, Literal, NamedTuple, Self

import numpy as np
from langchain_core.load.serializable import Serializable
from numpy.typing import NDArray
from pydantic import ConfigDict, Field, PrivateAttr, ValidationError

from langchain_datashunt.errors import MissingExtraError, SmallModelError
from langchain_datashunt.small_models.fingerprints import files_fingerprint
from langchain_datashunt.small_models.folders import deciding_files, model_folder, read_json
from langchain_datashunt.small_models.tokens import TextTokenizer, Truncation, load_tokenizer

# Two threads must not load one model twice. Loading is rare, so one lock serves all models, and none must be pickled.
_LOADING = threading.Lock()


class _Loaded(NamedTuple):
    network: Any
    tokenizer: TextTokenizer
    device: str


class TorchTextModel(Serializable):
    """What `TransformersClassifier` and `SentenceEncoder` share.

    The object holds the place of the files and the settings. Only these are pickled and serialised; weights are loaded
    at the first call, by one thread. A loaded model may be used by many threads.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

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

    device: str | None = None
    """Such as ``"cpu"`` or ``"cuda:1"``; None is CUDA where it is available, else the CPU."""

    dtype: Literal["float32", "float16", "bfloat16"] = "float32"
    """What the network computes in. A lower precision moves probabilities: fit the policy with the dtype you serve."""

    _loaded: _Loaded | None = PrivateAttr(default=None)
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
        return {**super().__getstate__(), "__pydantic_private__": {"_loaded": None, "_version": None}}

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> Self:
        """Return the object itself: it never changes, and its weights need no second copy."""
        return self

    @property
    def version(self) -> str:
        """Identity: the weight, configuration and tokenizer files by content, and the settings that change answers."""
        if self._version is None:
            digest = files_fingerprint(deciding_files(self._folder()), self._deciding_settings())
            self._version = f"{type(self).__name__}-{digest}"
        return self._version

    def _deciding_settings(self) -> dict[str, Any]:
        return {"max_length": self.max_length, "truncation": self.truncation, "dtype": self.dtype}

    def _folder(self) -> Path:
        return model_folder(self.path_or_hub_id, self.revision)

    def _config(self) -> dict[str, Any]:
        return read_json(self._folder() / "config.json")

    @abstractmethod
    def _load_network(self, folder: Path) -> Any:
        """Return the network as it lies in the folder."""

    @abstractmethod
    def _read(self, output: Any, attention_mask: Any) -> Any:
        """Return a batch's ``(rows, width)`` result from the network's output."""

    def _default_max_length(self, folder: Path) -> int | None:  # noqa: ARG002  some folders name one
        """Return the limit that the folder names beside its tokenizer's and the network's."""
        return None

    def _run(self, texts: Sequence[str], width: int) -> NDArray[Any]:
        """Return the ``(n, width)`` results in the order of the texts."""
        if not texts:
            return np.zeros((0, width))
        loaded = self._load()
        import torch  # noqa: PLC0415  an extra

        results: Any = None
        for batch in loaded.tokenizer.batches(texts, self.batch_size):
            with torch.inference_mode():
                mask = torch.from_numpy(batch.attention_mask).to(loaded.device)
                ids = torch.from_numpy(batch.input_ids).to(loaded.device)
                rows = self._read(loaded.network(input_ids=ids, attention_mask=mask), mask).cpu().numpy()
            if results is None:
                results = np.zeros((len(texts), rows.shape[1]), dtype=rows.dtype)
            results[batch.rows] = rows
        return np.asarray(results)

    def _load(self) -> _Loaded:
        if self._loaded is None:
            with _LOADING:
                if self._loaded is None:
                    self._loaded = self._load_now()
        return self._loaded

    def _load_now(self) -> _Loaded:
        try:
            import torch  # noqa: PLC0415  an extra
            import transformers  # noqa: F401, PLC0415  an extra
            from safetensors import SafetensorError  # noqa: PLC0415  an extra
        except ImportError as error:
            raise MissingExtraError(type(self).__name__, "transformers") from error
        folder = self._folder()
        device = self.device or ("cuda" if torch.cuda.is_available() else "cpu")
        tokenizer: TextTokenizer = load_tokenizer(
            folder,
            positions=self._config().get("max_position_embeddings"),
            max_length=self.max_length or self._default_max_length(folder),
            truncation=self.truncation,
        )
        try:
            with _no_progress_bar():
                network = self._load_network(folder)
        except SmallModelError:
            raise
        except (OSError, ValueError, RuntimeError, SafetensorError) as error:
            raise SmallModelError(f"no {type(self).__name__} can be loaded from {folder}: {error}") from error
        return _Loaded(network.to(device=device, dtype=getattr(torch, self.dtype)).eval(), tokenizer, device)


@contextmanager
def _no_progress_bar() -> Iterator[None]:
    """Keep transformers from drawing a bar for what takes milliseconds."""
    logging: Any = import_module("transformers.utils.logging")
    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()
