"""A text model that PyTorch runs."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

from numpy.typing import NDArray

from langchain_datashunt.errors import MissingExtraError, SmallModelError
from langchain_datashunt.small_models.folder_text_model import FolderTextModel, LoadedModel
from langchain_datashunt.small_models.tokens import TextTokenizer, TokenBatch, load_tokenizer


class TorchTextModel(FolderTextModel):
    """What `TransformersClassifier` and `SentenceEncoder` share."""

    device: str | None = None
    """Such as ``"cpu"`` or ``"cuda:1"``; None is CUDA where it is available, else the CPU."""

    dtype: Literal["float32", "float16", "bfloat16"] = "float32"
    """What the network computes in. A lower precision moves probabilities: fit the policy with the dtype you serve."""

    def __init__(self, path_or_hub_id: str | Path, **settings: Any) -> None:
        """Name a model and its settings; nothing is loaded yet."""
        super().__init__(path_or_hub_id, **settings)

    def _deciding_settings(self) -> dict[str, Any]:
        return {**super()._deciding_settings(), "dtype": self.dtype}

    @abstractmethod
    def _load_network(self, folder: Path) -> Any:
        """Return the network as it lies in the folder."""

    @abstractmethod
    def _read(self, output: Any, attention_mask: Any) -> Any:
        """Return a batch's ``(rows, width)`` result from the network's output."""

    def _default_max_length(self, folder: Path) -> int | None:  # noqa: ARG002  some folders name one
        """Return the limit that the folder names beside its tokenizer's and the network's."""
        return None

    def _load_now(self) -> LoadedModel:
        try:
            import torch  # noqa: PLC0415  an extra
            import transformers  # noqa: F401, PLC0415  an extra
        except ImportError as error:
            raise MissingExtraError(type(self).__name__, "transformers") from error
        tokenizer = self.tokenizer()
        device = self.device or ("cuda" if torch.cuda.is_available() else "cpu")
        network = self.network().to(device=device, dtype=getattr(torch, self.dtype)).eval()

        def forward(batch: TokenBatch) -> NDArray[Any]:
            with torch.inference_mode():
                mask = torch.from_numpy(batch.attention_mask).to(device)
                ids = torch.from_numpy(batch.input_ids).to(device)
                rows: NDArray[Any] = self._read(network(input_ids=ids, attention_mask=mask), mask).cpu().numpy()
                return rows

        return LoadedModel(tokenizer, forward)

    def tokenizer(self) -> TextTokenizer:
        """Return the tokenizer of the folder, which cuts as the settings say.

        Raises:
            SmallModelError: There is none, or `max_length` does not fit the model.
        """
        folder = self.folder()
        tokenizer: TextTokenizer = load_tokenizer(
            folder,
            positions=self._positions(),
            max_length=self.max_length or self._default_max_length(folder),
            truncation=self.truncation,
        )
        return tokenizer

    def network(self) -> Any:
        """Return a new PyTorch network with the weights of the folder, on the CPU, in the precision of its files.

        Raises:
            SmallModelError: The folder holds no such network.
        """
        from safetensors import SafetensorError  # noqa: PLC0415  an extra

        folder = self.folder()
        try:
            with no_progress_bar():
                return self._load_network(folder)
        except SmallModelError:
            raise
        except (OSError, ValueError, RuntimeError, SafetensorError) as error:
            raise SmallModelError(f"no {type(self).__name__} can be loaded from {folder}: {error}") from error


@contextmanager
def no_progress_bar() -> Iterator[None]:
    """Keep transformers from drawing a bar for what takes milliseconds."""
    logging: Any = import_module("transformers.utils.logging")
    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()
