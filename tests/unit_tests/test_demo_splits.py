from __future__ import annotations

import pytest

from langchain_datashunt.demo.splits import Split, split_by_review
from langchain_datashunt.demo.texts import Snippet
from langchain_datashunt.errors import InvalidInputError

SNIPPETS = [
    Snippet(f"sentence {sentence} of review {review}", "positive", 1.0, str(review))
    for review in range(100)
    for sentence in range(1 + review % 7)
]


def split(seed: int = 0, snippets: list[Snippet] = SNIPPETS) -> Split:
    return split_by_review(snippets, train_rows=50, calibration_rows=80, test_rows=60, seed=seed)


def parts(of: Split) -> dict[str, tuple[Snippet, ...]]:
    return {
        "development": of.development,
        "train": of.train,
        "test": of.test,
        "calibration": of.calibration,
    }


def test_no_review_has_sentences_in_two_parts() -> None:
    reviews = [{row.review for row in rows} for rows in parts(split()).values()]
    assert sum(map(len, reviews)) == len(set().union(*reviews))


def test_each_part_has_the_rows_asked_for() -> None:
    assert [len(rows) for rows in parts(split()).values()][1:] == [50, 60, 80]


def test_development_reviews_are_the_same_whatever_the_seed() -> None:
    assert split(0).development == split(1).development
    assert split(0).test != split(1).test


def test_the_order_of_the_snippets_moves_no_review() -> None:
    backwards = parts(split(snippets=SNIPPETS[::-1]))
    for name, rows in parts(split()).items():
        assert {row.review for row in rows} == {row.review for row in backwards[name]}


def test_more_test_rows_move_no_training_review_into_the_test() -> None:
    few = split_by_review(SNIPPETS, train_rows=20, calibration_rows=20, test_rows=20, seed=0)
    more = split_by_review(SNIPPETS, train_rows=20, calibration_rows=20, test_rows=60, seed=0)
    assert set(few.test) <= set(more.test)


def test_too_many_rows_are_refused_with_the_number_there_is() -> None:
    there_are = len(SNIPPETS) - len(split().development)
    with pytest.raises(InvalidInputError, match=f"there are {there_are}, in whole reviews: ask for fewer"):
        split_by_review(SNIPPETS, train_rows=200, calibration_rows=200, test_rows=200, seed=0)
