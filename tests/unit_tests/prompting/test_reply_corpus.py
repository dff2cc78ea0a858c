"""Replies that SmolLM2 gave, and replies written to mislead: each is read as a careful person would, or refused.

The files have one reply a line: ``label`` is what a person reads in it (null: nothing, or not one thing), ``cut`` says
that it ended at its token limit, ``refused`` that the parser refuses what a person could have read. Replies of Llama-2
and the GPT models are in the recorded data (`tests/integration_tests/test_parser_on_recorded_replies.py`).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from langchain_datashunt.prompting.labels import LabelSpace
from langchain_datashunt.prompting.replies import read_label

SENTIMENTS = ["negative", "neutral", "positive"]
SPACES = {
    "sentiment": LabelSpace.of(["negative", "positive"]),
    "topics": LabelSpace.of(["business", "entertainment", "politics", "sports", "tech"]),
    "intents": LabelSpace.of(
        ["activate_my_card", "card_arrival", "change_pin", "exchange_rate", "lost_or_stolen_card"]
    ),
    "three": LabelSpace.of(SENTIMENTS),
    "numbers": LabelSpace.of(SENTIMENTS, answer="number"),
    "letters": LabelSpace.of(SENTIMENTS, answer="letter", escape="none of these"),
    "yes_no": LabelSpace.of(["yes", "no"]),
    "spam": LabelSpace.of(["ham", "spam"]),
}


def replies(name: str) -> list[dict[str, Any]]:
    with (Path(__file__).parent / "replies" / f"{name}.jsonl").open(encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


REAL, HOSTILE = replies("smollm2"), replies("hostile")


@pytest.mark.parametrize("row", [*REAL, *HOSTILE], ids=lambda row: f"{row['space']}: {row['reply'][:60]!r}")
def test_a_reply_is_read_as_a_person_reads_it_or_refused(row: dict[str, Any]) -> None:
    read = read_label(row["reply"], SPACES[row["space"]], truncated=row.get("cut", False)).label
    assert read == (None if row.get("refused") else row["label"])


def test_the_corpus_is_large_and_few_readable_replies_are_refused() -> None:
    assert (len(REAL), len(HOSTILE)) == (94, 235)
    assert len({(row["space"], row["reply"]) for row in [*REAL, *HOSTILE]}) == len(REAL) + len(HOSTILE)
    readable = [row for row in [*REAL, *HOSTILE] if row["label"] is not None]
    assert len(readable) > 100
    assert sum(row.get("refused", False) for row in readable) <= 4
