from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from langchain_datashunt.errors import InvalidInputError
from langchain_datashunt.small_models.tokens import TextTokenizer, Truncation, checked_texts, cut

CLS, SEP, PAD = 101, 102, 0

rules = st.sampled_from(["head", "head_tail"])


def tokenizer_of_characters(*, max_length: int = 8, pad_left: bool = False, special: bool = True) -> TextTokenizer:
    return TextTokenizer(
        content_tokens=lambda texts: [[ord(character) for character in text] for text in texts],
        prefix=[CLS] if special else [],
        suffix=[SEP] if special else [],
        pad_id=PAD,
        pad_left=pad_left,
        max_length=max_length,
        truncation="head",
    )


@given(st.lists(st.integers(), max_size=30), st.integers(1, 12), rules)
def test_a_cut_text_fills_the_room_and_keeps_its_order(tokens: list[int], room: int, rule: Truncation) -> None:
    kept = cut(list(range(len(tokens))), room, rule)
    assert len(kept) == min(len(tokens), room)
    assert kept == sorted(kept)


def test_the_rules_keep_what_their_names_say() -> None:
    tokens = list(range(100))
    assert cut(tokens, 8, "head") == [0, 1, 2, 3, 4, 5, 6, 7]
    assert cut(tokens, 8, "head_tail") == [0, 1, 94, 95, 96, 97, 98, 99]
    assert cut(tokens, 100, "head_tail") == tokens


@given(st.lists(st.text("ab", max_size=12), max_size=20), st.integers(1, 7), st.booleans())
def test_batches_hold_every_text_once_unpadded_tokens_intact(texts: list[str], size: int, pad_left: bool) -> None:
    tokenizer = tokenizer_of_characters(pad_left=pad_left)
    batches = list(tokenizer.batches(texts, size))
    seen = [int(row) for batch in batches for row in batch.rows]
    assert sorted(seen) == list(range(len(texts)))
    for batch in batches:
        assert len(batch.rows) <= size
        for row, ids, mask in zip(batch.rows, batch.input_ids, batch.attention_mask, strict=True):
            assert ids[mask == 1].tolist() == tokenizer.tokens([texts[row]])[0]
            assert (ids[mask == 0] == PAD).all()


def test_the_longest_texts_come_first() -> None:
    batches = list(tokenizer_of_characters().batches(["a", "abcd", "ab", "abc"], 2))
    assert [batch.rows.tolist() for batch in batches] == [[1, 3], [2, 0]]
    assert [batch.input_ids.shape[1] for batch in batches] == [6, 4]


def test_an_empty_text_without_special_tokens_still_gives_the_model_something_to_read() -> None:
    (batch,) = tokenizer_of_characters(special=False).batches(["", "ab"], 2)
    assert batch.attention_mask.sum(axis=1).tolist() == [2, 1]


def test_no_text_gives_no_batch() -> None:
    assert list(tokenizer_of_characters().batches([], 4)) == []


@pytest.mark.parametrize(
    ("inputs", "said"), [("text", "one string"), (["a", None], "input 1 is NoneType"), ([b"a"], "bytes")]
)
def test_only_lists_of_strings_are_texts(inputs: object, said: str) -> None:
    with pytest.raises(InvalidInputError, match=said):
        checked_texts(inputs)  # type: ignore[arg-type]
