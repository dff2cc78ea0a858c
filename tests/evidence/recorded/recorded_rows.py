"""Rows of public data sets with gold labels and the recorded answers of real large models."""

from __future__ import annotations

import gzip
import json
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

BESIDE_THE_CHECKOUT = Path(__file__).resolve().parents[4] / "shared"


def recorded_folder() -> Path:
    """The folder that DATASHUNT_SHARED names, or `shared` beside the checkout; SystemExit where there is none."""
    folder = Path(os.environ.get("DATASHUNT_SHARED", BESIDE_THE_CHECKOUT))
    if not (folder / "data").is_dir():
        raise SystemExit(f"skipped: no recorded answers in {folder}; name their folder with DATASHUNT_SHARED")
    return folder


@dataclass(frozen=True)
class Rows:
    """Texts, their true labels, and what large models said about them."""

    texts: list[str]
    labels: NDArray[np.str_]
    raw: list[dict[str, Any]]

    def __len__(self) -> int:
        return len(self.texts)

    def at(self, index: Sequence[int] | NDArray[np.intp]) -> Rows:
        return Rows([self.texts[i] for i in index], self.labels[index], [self.raw[i] for i in index])

    def with_answer_of(self, model: str) -> Rows:
        """The rows on which this model was recorded."""
        return self.at(np.array([i for i, row in enumerate(self.raw) if model in row.get("answers", {})]))

    def without(self, texts: Sequence[str]) -> Rows:
        """The rows whose text, but for case and punctuation, is none of these: no test row may train a model."""
        unwanted = {_words_of(text) for text in texts}
        return self.at(np.array([i for i, text in enumerate(self.texts) if _words_of(text) not in unwanted]))

    def answers(self, model: str) -> list[str | None]:
        """One answer a row; None where the reply, stripped of white space, is none of the labels."""
        known = set(self.labels)
        replies = [str(row["answers"][model]).strip() for row in self.raw]
        return [reply if reply in known else None for reply in replies]

    def tokens(self, model: str, kind: str) -> list[int]:
        """Counts that the provider billed, one a row; `kind` is prompt_tokens or completion_tokens."""
        return [row["usage"][model][kind] for row in self.raw]


def _words_of(text: str) -> tuple[str, ...]:
    return tuple(re.findall(r"\w+", text.lower()))


def read_rows(folder: Path, data_set: str, part: str) -> Rows:
    with gzip.open(folder / "data" / data_set / f"{part}.jsonl.gz", "rt", encoding="utf-8") as lines:
        raw = [json.loads(line) for line in lines]
    return Rows([row["text"] for row in raw], np.array([row["label"] for row in raw]), raw)
