from __future__ import annotations

import pytest

from langchain_datashunt.demo.splits import Split, split_by_review
from langchain_datashunt.demo.texts import Snippet
from langchain_datashunt.errors import InvalidInputError

SNIPPETS = [
    Snippet(f"sentence {sentence} of review {review}", "positive", 1.0, str(review))
    for review in range(200)
    for sentence in range(1 + review % 7)
]


def split(seed: int = 0, snippets: list[Snippet] = SNIPPETS, **rows: int) -> Split:
    asked = {"train_rows": 50, "calibration_rows": 80, "test_rows": 60, **rows}
    return split_by_review(snippets, seed=seed, **asked)


def parts(of: Split) -> list[tuple[Snippet, ...]]:
    return [of.development, of.train, of.test, of.calibration]


def test_no_review_has_sentences_in_two_parts() -> None:
    reviews = [{row.review for row in rows} for rows in parts(split())]
    assert sum(map(len, reviews)) == len(set().union(*reviews))


def test_each_part_has_the_rows_asked_for() -> None:
    assert [len(rows) for rows in parts(split())][1:] == [50, 60, 80]


def test_development_reviews_are_the_same_whatever_the_seed() -> None:
    assert split(0).development == split(1).development
    assert split(0).test != split(1).test


def test_the_order_of_the_snippets_moves_no_row() -> None:
    assert parts(split(snippets=SNIPPETS[::-1]))[1:] == parts(split())[1:]


def test_more_training_rows_change_no_test_row() -> None:
    assert split(train_rows=20).test == split(train_rows=60).test


def test_more_rows_of_a_part_contain_the_fewer() -> None:
    assert split(test_rows=20).test == split(test_rows=60).test[:20]


def test_the_rows_of_a_part_come_from_many_reviews() -> None:
    assert len({row.review for row in split(test_rows=20).test}) > 10


def test_too_many_rows_are_refused_with_the_number_there_is() -> None:
    there_are = len(SNIPPETS) - len(split().development)
    with pytest.raises(InvalidInputError, match=f"{there_are} training rows .* there are .*: ask for fewer"):
        split(train_rows=there_are)
