"""Who sees which rows: whole reviews are dealt out, so that no review has sentences on two sides."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

from langchain_datashunt.demo.texts import Snippet
from langchain_datashunt.errors import InvalidInputError

DEVELOPMENT_REVIEWS = "datashunt-demo"
"""Salt of the hash by which every fourth review is a development review, in every run."""

TEST_SHARE = 0.25
TRAIN_SHARE = 0.2
"""Shares of the other reviews; what is left calibrates."""


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
    """Deal reviews out by a seeded hash, then take the rows asked for from all reviews of a part.

    How many rows one part has changes no row of another, and more rows of a part contain the fewer.

    Raises:
        InvalidInputError: A part has not as many rows.
    """
    parts: dict[str, list[Snippet]] = {"development": [], "training": [], "test": [], "calibration": []}
    for snippet in snippets:
        parts[_part_of(snippet.review, seed)].append(snippet)
    return Split(
        development=tuple(parts["development"]),
        train=_take(parts["training"], train_rows, "training", seed),
        test=_take(parts["test"], test_rows, "test", seed),
        calibration=_take(parts["calibration"], calibration_rows, "calibration", seed),
    )


def _part_of(review: str, seed: int) -> str:
    if _hash(DEVELOPMENT_REVIEWS, review) % 4 == 0:
        return "development"
    drawn = _hash(str(seed), review) / 2**256
    if drawn < TEST_SHARE:
        return "test"
    return "training" if drawn < TEST_SHARE + TRAIN_SHARE else "calibration"


def _take(rows: list[Snippet], wanted: int, purpose: str, seed: int) -> tuple[Snippet, ...]:
    if len(rows) < wanted:
        raise InvalidInputError(
            f"{wanted} {purpose} rows were asked for; with seed {seed} there are {len(rows)}: ask for fewer"
        )
    return tuple(sorted(rows, key=lambda row: _hash(str(seed), row.text))[:wanted])


def _hash(salt: str, text: str) -> int:
    return int(hashlib.sha256(f"{salt}:{text}".encode()).hexdigest(), 16)
