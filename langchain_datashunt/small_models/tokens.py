"""Texts to padded batches of tokens: cut by a named rule, and sorted by length so that little is padded."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from langchain_datashunt.errors import InvalidInputError, SmallModelError

Truncation = Literal["head", "head_tail"]
"""How a text that is too long is cut.

* ``"head"``: its first tokens stay.
* ``"head_tail"``: a quarter of the room goes to its first tokens, the rest to its last: reviews and letters often
  conclude at their end. (128 of 510 tokens in Sun et al. 2019, "How to Fine-Tune BERT for Text Classification?".)
"""

Tokens = list[int]

_VOCABULARIES = ("tokenizer.json", "vocab.*", "*.model", "*.tiktoken")

DEFAULT_MAX_LENGTH = 512
"""The limit where neither the tokenizer nor the model names one."""


_CHUNK = 256  # texts at once: what a tokenizer returns is far larger than the tokens that stay


class TokenBatch(NamedTuple):
    """Rows of one padded batch; `rows` says where they stand among the texts."""

    rows: NDArray[np.intp]
    input_ids: NDArray[np.int64]
    attention_mask: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class TextTokenizer:
    """A tokenizer with its special tokens, its room, and the rule for texts that are too long.

    Attributes:
        content_tokens: Texts to token ids, without special tokens and uncut.
        prefix: The special tokens before a text.
        suffix: The special tokens behind it.
        pad_id: The token that fills up short rows; the model does not look at it.
        pad_left: Whether it stands before them.
        max_length: Most tokens a text, special ones included.
        truncation: The rule for longer texts.
    """

    content_tokens: Callable[[list[str]], list[Tokens]]
    prefix: Tokens
    suffix: Tokens
    pad_id: int
    pad_left: bool
    max_length: int
    truncation: Truncation

    def tokens(self, texts: Sequence[str]) -> list[Tokens]:
        """Return each text's token ids, at most `max_length`, special tokens included."""
        room = self.max_length - len(self.prefix) - len(self.suffix)
        return [
            [*self.prefix, *cut(content, room, self.truncation), *self.suffix]
            for start in range(0, len(texts), _CHUNK)
            for content in self.content_tokens(list(texts[start : start + _CHUNK]))
        ]

    def batches(self, texts: Sequence[str], batch_size: int) -> Iterator[TokenBatch]:
        """Yield batches of texts of similar length, the longest first: what does not fit into memory fails at once."""
        tokens = self.tokens(texts)
        longest_first = np.argsort([-len(ids) for ids in tokens], kind="stable")
        for start in range(0, len(tokens), batch_size):
            rows = longest_first[start : start + batch_size]
            yield self.padded(rows, [tokens[row] for row in rows])

    def padded(self, rows: NDArray[np.intp], tokens: list[Tokens]) -> TokenBatch:
        """Return token ids as one batch, filled up to the longest."""
        # A row without any token (an empty text, no special tokens) gets one: models do not run on nothing.
        width = max(1, *(len(ids) for ids in tokens))
        input_ids = np.full((len(tokens), width), self.pad_id, dtype=np.int64)
        attention_mask = np.zeros_like(input_ids)
        for row, ids in enumerate(tokens):
            length = max(1, len(ids))
            place = slice(width - length, width) if self.pad_left else slice(0, length)
            input_ids[row, place] = ids or self.pad_id
            attention_mask[row, place] = 1
        return TokenBatch(rows, input_ids, attention_mask)


def cut(tokens: Tokens, room: int, truncation: Truncation) -> Tokens:
    """Return at most `room` tokens, chosen by the named rule.

    Example:
        >>> cut([1, 2, 3, 4, 5, 6], 4, "head"), cut([1, 2, 3, 4, 5, 6], 4, "head_tail")
        ([1, 2, 3, 4], [1, 4, 5, 6])
    """
    if len(tokens) <= room:
        return tokens
    head = room if truncation == "head" else room // 4
    return [*tokens[:head], *tokens[len(tokens) - (room - head) :]]


def checked_texts(inputs: Sequence[Any]) -> list[str]:
    """Return the inputs as a list of strings.

    Raises:
        InvalidInputError: One is something else, or the inputs are one string.
    """
    if isinstance(inputs, str):
        raise InvalidInputError("a small model takes a list of texts; got one string: put it into a list")
    texts = list(inputs)
    for index, text in enumerate(texts):
        if not isinstance(text, str):
            raise InvalidInputError(f"this small model reads strings; input {index} is {type(text).__name__}: {text!r}")
    return texts


def load_tokenizer(folder: Path, *, positions: int | None, max_length: int | None, truncation: Truncation) -> Any:
    """Return the `TextTokenizer` of a model folder.

    Args:
        folder: Where the tokenizer's files are.
        positions: How many positions the model has; None where its configuration does not say.
        max_length: The wanted limit; None takes the smaller of the tokenizer's own and `positions`, else 512.
        truncation: The rule for longer texts.

    Raises:
        SmallModelError: There is no tokenizer, it cannot pad, or `max_length` does not fit the model.
    """
    from transformers import AutoTokenizer  # noqa: PLC0415  an extra, whose presence the caller has checked

    # Without any of these transformers 5 makes an empty tokenizer, to which every text is unknown.
    if not any(list(folder.glob(pattern)) for pattern in _VOCABULARIES):
        raise SmallModelError(f"{folder} holds no tokenizer (tokenizer.json, or a vocabulary)")
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError) as error:
        raise SmallModelError(f"no tokenizer can be loaded from {folder}: {error}") from error
    if tokenizer.pad_token_id is None:
        raise SmallModelError(f"the tokenizer in {folder} has no padding token; set pad_token in tokenizer_config.json")

    def content_tokens(texts: list[str]) -> list[Tokens]:
        ids: list[Tokens] = tokenizer(texts, add_special_tokens=False, truncation=False, verbose=False)["input_ids"]
        return ids

    bare = tokenizer("a", add_special_tokens=False, truncation=False)["input_ids"]
    whole = tokenizer("a", add_special_tokens=True, truncation=False)["input_ids"]
    prefix, suffix = special_tokens(bare, whole, folder)
    return TextTokenizer(
        content_tokens=content_tokens,
        prefix=prefix,
        suffix=suffix,
        pad_id=int(tokenizer.pad_token_id),
        pad_left=tokenizer.padding_side == "left",
        max_length=room_for(
            max_length, tokenizer.model_max_length, positions, special=len(prefix) + len(suffix), folder=folder
        ),
        truncation=truncation,
    )


def room_for(
    wanted: int | None, tokenizer_limit: int | None, positions: int | None, *, special: int, folder: Path
) -> int:
    """Return the most tokens that a text may have: `wanted`, else the smaller of the known limits, else 512.

    Args:
        wanted: What the user asked for.
        tokenizer_limit: The tokenizer's own; those without a limit say 1e30.
        positions: How many the model has.
        special: Tokens around a text.
        folder: The model's, for the error.

    Raises:
        SmallModelError: `wanted` does not fit the model, or leaves no room for a text.
    """
    if wanted is not None and positions is not None and wanted > positions:
        raise SmallModelError(f"max_length={wanted} is more than the {positions} positions of the model in {folder}")
    known = [limit for limit in (tokenizer_limit, positions) if limit is not None and limit < 10**6]
    length = wanted or int(min(known, default=DEFAULT_MAX_LENGTH))
    if length <= special:
        raise SmallModelError(f"max_length={length} leaves no room beside {special} special tokens")
    return length


def special_tokens(bare: Tokens, whole: Tokens, folder: Path) -> tuple[Tokens, Tokens]:
    """Return what a tokenizer puts before and behind a text.

    Args:
        bare: The tokens of ``"a"`` without special tokens.
        whole: The same with them.
        folder: The model's, for the error.

    Raises:
        SmallModelError: `bare` is empty, or not found in `whole`.
    """
    for start in range(len(whole) - len(bare) + 1):
        if bare and whole[start : start + len(bare)] == bare:
            return whole[:start], whole[start + len(bare) :]
    raise SmallModelError(f"the tokenizer in {folder} makes no token of 'a': its special tokens cannot be told")
