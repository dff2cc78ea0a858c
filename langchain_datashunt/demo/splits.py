"""Who sees which rows: whole reviews are dealt out, so that no review has sentences on two sides."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from langchain_datashunt.demo.texts import Snippet
from langchain_datashunt.errors import InvalidInputError

DEVELOPMENT_REVIEWS = "datashunt-demo"
"""Salt of the hash by which every fourth review is a development review, in every run."""


@dataclass(frozen=True, slots=True)
class Split:
    """The rows of one run, by what they are for.

    Attributes:
        development: Reviews that no run trains, calibrates or scores on, whatever its seed: on them the large model's
            prompt was chosen.
        train: Labels that the small model learns from.
        test: Rows that are scored, and used for nothing else.
        calibration: They calibrate the small model, and choose and certify its threshold.
    """

    development: tuple[Snippet, ...]
    train: tuple[Snippet, ...]
    test: tuple[Snippet, ...]
    calibration: tuple[Snippet, ...]


def split_by_review(
    snippets: Iterable[Snippet], *, train_rows: int, calibration_rows: int, test_rows: int, seed: int
) -> Split:
    """Deal the reviews out by a seeded hash; the last review of a part is cut to the rows asked for.

    Raises:
        InvalidInputError: There are not enough rows.
    """
    development: list[Snippet] = []
    reviews: dict[str, list[Snippet]] = {}
    for snippet in snippets:
        if _hash(DEVELOPMENT_REVIEWS, snippet.review) % 4 == 0:
            development.append(snippet)
        else:
            reviews.setdefault(snippet.review, []).append(snippet)
    in_order = (reviews[review] for review in sorted(reviews, key=lambda review: _hash(str(seed), review)))
    test = _take(in_order, test_rows)
    train = _take(in_order, train_rows)
    calibration = _take(in_order, calibration_rows)
    if len(calibration) < calibration_rows:
        raise InvalidInputError(
            f"{test_rows} test, {train_rows} training and {calibration_rows} calibration rows were asked for; without "
            f"the development reviews there are {sum(map(len, reviews.values()))}, in whole reviews: ask for fewer"
        )
    return Split(tuple(development), train, test, calibration)


def _take(reviews: Iterator[list[Snippet]], rows: int) -> tuple[Snippet, ...]:
    """Take whole reviews until there are `rows` rows, and cut the last one."""
    taken: list[Snippet] = []
    while len(taken) < rows and (review := next(reviews, None)) is not None:
        taken.extend(review)
    return tuple(taken[:rows])


def _hash(salt: str, review: str) -> int:
    return int(hashlib.sha256(f"{salt}:{review}".encode()).hexdigest(), 16)
