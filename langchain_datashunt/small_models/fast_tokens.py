"""A model folder's tokenizer without transformers: ``tokenizer.json`` read by the package tokenizers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from langchain_datashunt.errors import SmallModelError
from langchain_datashunt.small_models.folders import read_json
from langchain_datashunt.small_models.tokens import TextTokenizer, Tokens, Truncation, room_for, special_tokens


def load_fast_tokenizer(
    folder: Path, *, positions: int | None, max_length: int | None, truncation: Truncation
) -> TextTokenizer:
    """Return the `TextTokenizer` of a folder with ``tokenizer.json`` and ``tokenizer_config.json``.

    Args:
        folder: Where the files are.
        positions: How many positions the model has; None where its configuration does not say.
        max_length: The wanted limit; None takes the smaller of the tokenizer's own and `positions`, else 512.
        truncation: The rule for longer texts.

    Raises:
        SmallModelError: A file is missing or malformed, the tokenizer cannot pad, or `max_length` does not fit.
    """
    tokenizer, settings = _read_tokenizer(folder), read_json(folder / "tokenizer_config.json")

    def content_tokens(texts: list[str]) -> list[Tokens]:
        return [encoding.ids for encoding in tokenizer.encode_batch(texts, add_special_tokens=False)]

    prefix, suffix = special_tokens(
        tokenizer.encode("a", add_special_tokens=False).ids, tokenizer.encode("a").ids, folder
    )
    return TextTokenizer(
        content_tokens=content_tokens,
        prefix=prefix,
        suffix=suffix,
        pad_id=_pad_id(tokenizer, settings, folder),
        pad_left=settings.get("padding_side") == "left",
        max_length=room_for(
            max_length, settings.get("model_max_length"), positions, special=len(prefix) + len(suffix), folder=folder
        ),
        truncation=truncation,
    )


def _read_tokenizer(folder: Path) -> Any:
    from tokenizers import Tokenizer  # noqa: PLC0415  an extra, whose presence the caller has checked

    file = folder / "tokenizer.json"
    if not file.is_file():
        raise SmallModelError(f"{folder} holds no tokenizer.json, the one format that tokenizers reads")
    try:
        tokenizer = Tokenizer.from_file(str(file))
    except Exception as error:  # the package raises nothing more exact
        raise SmallModelError(f"no tokenizer can be loaded from {file}: {error}") from error
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def _pad_id(tokenizer: Any, settings: dict[str, Any], folder: Path) -> int:
    named = settings.get("pad_token")
    token = named.get("content") if isinstance(named, dict) else named
    found = None if token is None else tokenizer.token_to_id(token)
    if found is None:
        raise SmallModelError(f"the tokenizer in {folder} has no padding token; set pad_token in tokenizer_config.json")
    return int(found)
