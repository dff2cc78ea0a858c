"""A log for reports: a real shunt over real sentences of reviews, a scripted LLM, some days, some labels.

The days are set by hand; everything else is what the shunt did. The LLM says what people said, but for one sentence in
sixteen, and counts tokens as it is asked.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from langchain_core.messages import AIMessage

from langchain_datashunt import HardSampleCallbackHandler, HardSampleStore, RunnableDataShunt, ShuntPolicy, fit_policy
from langchain_datashunt.bounds.live_bound import LiveBound
from langchain_datashunt.callbacks.audit_monitor import AuditMonitor
from langchain_datashunt.demo.small_model import columns, train_small, train_tfidf
from langchain_datashunt.demo.splits import Split, split_by_review
from langchain_datashunt.demo.texts import TextsUnavailableError, default_cache, load_snippets
from langchain_datashunt.policy.goals import Goal, MaxDeferral
from langchain_datashunt.prompting.pruning_parser import PromptPruningOutputParser
from langchain_datashunt.report.labelled_section import LabelledRows
from langchain_datashunt.store import tally
from langchain_datashunt.testing import RecordingChatModel

FIRST_DAY = datetime(2026, 11, 2, 12, tzinfo=UTC)
DAYS = 14
AUDIT_RATE = 0.15
CALIBRATION_ROWS = 600
GOALS: tuple[Goal, Goal] = (MaxDeferral(0.6), MaxDeferral(0.45))


@dataclass(frozen=True)
class Demo:
    """What the shunt left behind.

    Attributes:
        store: The log.
        policy: The policy of the last days.
        bound: On its disagreement.
        labelled: Rows that had no part in it.
    """

    store: HardSampleStore
    policy: ShuntPolicy
    bound: LiveBound
    labelled: LabelledRows


def split_or_skip() -> Split:
    """Return the sentences; skip the test where they cannot be had."""
    try:
        snippets = load_snippets(default_cache())
    except TextsUnavailableError as error:
        pytest.skip(str(error))
    return split_by_review(snippets, train_rows=300, calibration_rows=1000, test_rows=600, seed=0)


def drawn(text: str, salt: str) -> float:
    """Return a number in [0, 1) that belongs to a text."""
    return int(hashlib.sha256(f"{salt}:{text}".encode()).hexdigest()[:8], 16) / 2**32


class _Clock(datetime):
    day = FIRST_DAY

    @classmethod
    def now(cls, tz: Any = None) -> datetime:
        return cls.day


def run_demo(path: Path, *, embeddings: bool = False, goals: tuple[Goal, Goal] = GOALS) -> Demo:
    """Run a shunt for some days, with a better policy from the sixth on.

    Args:
        path: Of the log.
        embeddings: Whether the small model reads sentence vectors (slower, better) or weighted words.
        goals: Of the first policy and of the second.
    """
    split = split_or_skip()
    train, calibration = split.train, split.calibration
    small = (train_small if embeddings else train_tfidf)(train)
    policies = [fit_policy(small, *columns(calibration[:CALIBRATION_ROWS]), goal) for goal in goals]
    truth = {row.text: row.label for row in (*calibration, *split.test)}

    def said(text: str) -> str:
        mistaken = drawn(text, "teacher") < 1 / 16
        return {"positive": "negative", "negative": "positive"}[truth[text]] if mistaken else truth[text]

    def answer(messages: list[Any]) -> AIMessage:
        text = messages[-1].text.split("Review: ", 1)[-1].strip()
        used = {"input_tokens": 40 + len(text) // 4, "output_tokens": 1, "total_tokens": 41 + len(text) // 4}
        return AIMessage(said(text), usage_metadata=used)

    store = HardSampleStore(path)
    bound = LiveBound("disagreement", 0.2, lowest_audit_rate=AUDIT_RATE)
    handler = HardSampleCallbackHandler(AuditMonitor(store, bound, policy_id=policies[-1].policy_id))
    stream = [row.text for row in (*split.test, *calibration[CALIBRATION_ROWS:])]
    with mock.patch.object(tally, "datetime", _Clock):
        for day in range(DAYS):
            _Clock.day = FIRST_DAY + timedelta(days=day)
            policy = policies[0] if day < 5 else policies[1]
            chain = (
                RunnableDataShunt(small, policy=policy, audit_rate=AUDIT_RATE)
                | (_prompt() | RecordingChatModel(answers=answer))
                | PromptPruningOutputParser(policy.classes)
            )
            chain.batch(stream[day::DAYS], {"callbacks": [handler]})
            store.flush()
    for sample in list(store.iter_samples()):
        labelled = 0.7 if sample.route == "audit" else 0.2
        if drawn(sample.input, "people") < labelled:
            store.label(sample.id, truth[sample.input])
    held_out = calibration[CALIBRATION_ROWS:]
    texts, labels = columns(held_out)
    return Demo(
        store, policies[-1], bound, LabelledRows(small.predict_proba(texts), labels, [said(text) for text in texts])
    )


def _prompt() -> Any:
    from langchain_core.prompts import ChatPromptTemplate

    return ChatPromptTemplate.from_messages([("human", "Positive or negative? One word.\n\nReview: {text}")])
