"""What real large models answered (recorded), read by the parser: nothing misread, and what falling back is worth."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from langchain_core.messages import BaseMessage

from langchain_datashunt.prompting.labels import LabelSpace
from langchain_datashunt.prompting.pruning_parser import PromptPruningOutputParser
from langchain_datashunt.prompting.replies import read_label
from langchain_datashunt.routing.router import RunnableDataShunt
from langchain_datashunt.testing import RecordingChatModel

pytestmark = pytest.mark.recorded

# the only recorded replies to messages that are no label alone, and what a person reads in them
ODD_REPLIES = {
    "I need a text input to classify it as 'ham' or 'spam'.": None,
    "\n".join(["ham"] * 9): "ham",
    "ham\nham\nspam\nham\nspam\nham": None,
}


def rows(file: Path) -> list[dict[str, Any]]:
    with gzip.open(file, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


@pytest.mark.parametrize(
    ("name", "at_least"),
    [
        ("imdb/eval.jsonl.gz", 9_800),
        ("sms_spam/eval.jsonl.gz", 21_000),
        ("sms_spam/train.jsonl.gz", 14_000),
        ("banking77/dev.jsonl.gz", 1_000),
    ],
)
def test_every_recorded_reply_is_read_as_a_person_reads_it(name: str, at_least: int, recorded_data: Path) -> None:
    recorded = rows(recorded_data / "data" / name)
    space = LabelSpace.of(sorted({row["label"] for row in recorded}))
    replies = [reply for row in recorded for reply in row.get("answers", {}).values() if reply is not None]
    assert len(replies) >= at_least
    for reply in set(replies):
        bare = reply.strip()
        assert read_label(reply, space).label == (bare if bare in space.labels else ODD_REPLIES[bare])


def test_falling_back_to_the_small_model_is_worth_about_two_points_on_llama_2(recorded_data: Path) -> None:
    """3 % of llama-2-70b's replies to film reviews name no label (recorded as null: no text to read)."""
    feature_extraction = pytest.importorskip("sklearn.feature_extraction.text")
    linear_model = pytest.importorskip("sklearn.linear_model")
    pipeline = pytest.importorskip("sklearn.pipeline")
    imdb = recorded_data / "data" / "imdb"
    train, recorded = rows(imdb / "train.jsonl.gz")[::4], rows(imdb / "eval.jsonl.gz")
    small = pipeline.make_pipeline(
        feature_extraction.TfidfVectorizer(sublinear_tf=True), linear_model.LogisticRegression(C=10)
    )
    small.fit([row["text"] for row in train], [row["label"] for row in train])
    answers = {row["text"]: row["answers"]["llama-2-70b-chat"] or "" for row in recorded}

    def recorded_answer(messages: list[BaseMessage]) -> str:
        return answers[messages[-1].text]

    shunt = RunnableDataShunt(small, threshold=1.0) | RecordingChatModel(answers=recorded_answer)
    texts, gold = [row["text"] for row in recorded], np.array([row["label"] for row in recorded])
    replies = shunt.batch(texts, {"configurable": {"datashunt_route": "large"}, "max_concurrency": 1})
    correct = {}
    for on_invalid in ("none", "small"):
        parser = PromptPruningOutputParser(["negative", "positive"], on_invalid=on_invalid)
        correct[on_invalid] = np.array(parser.batch(replies, {"max_concurrency": 1}), dtype=object) == gold
    refused = np.array([not answers[text] for text in texts])

    gain = correct["small"].astype(float) - correct["none"]
    error = gain.std() / np.sqrt(len(gain))
    print(  # noqa: T201  shown by pytest -s
        f"\nllama-2-70b on IMDB, n={len(gain)}: {refused.mean():.1%} refused; accuracy with refusals counted as wrong "
        f"{correct['none'].mean():.4f}, with the small model there {correct['small'].mean():.4f}; "
        f"gain {gain.mean():.4f} +- {1.96 * error:.4f}"
    )
    assert 0.03 <= refused.mean() <= 0.035
    assert (gain[~refused] == 0).all()
    assert gain.mean() - 1.96 * error > 0.01
    assert gain.mean() == pytest.approx(0.02, abs=0.005)
