"""Chains with a shunt, and what the hard-sample log kept of them."""

from __future__ import annotations

import time
from typing import Any

from langchain_datashunt import PromptPruningOutputParser, RunnableDataShunt
from langchain_datashunt.store import HardSampleStore
from langchain_datashunt.testing import KeywordSmallModel, RecordingChatModel
from langchain_datashunt.types import HardSample

Config = dict[str, Any]

LABELS = ["positive", "negative"]
EASY, HARD = "a good one", "what is this"


def small_model() -> KeywordSmallModel:
    return KeywordSmallModel({"positive": ["good"], "negative": ["bad"]})


def shunt(small: Any, large: Any, **options: Any) -> Any:
    return RunnableDataShunt(small, large=large, threshold=0.8, **options)


def model(answers: Any = "negative", **options: Any) -> RecordingChatModel:
    return RecordingChatModel(answers=answers, **options)


def parser(**options: Any) -> PromptPruningOutputParser:
    return PromptPruningOutputParser(LABELS, **options)


def only(store: HardSampleStore) -> HardSample:
    (sample,) = store.iter_samples()
    return sample


def sample(text: str, **fields: Any) -> HardSample:
    """A complete record, as the callback handler makes them."""
    given: dict[str, Any] = {
        "input": text,
        "route": "large",
        "reason": "below_threshold",
        "classes": tuple(LABELS),
        "small_label": "positive",
        "confidence": 0.6,
        "probabilities": (0.6, 0.4),
        "threshold": 0.8,
        "policy_id": "policy",
        "teacher": "provider/model",
        "teacher_kind": "llm",
        "prompt": f"Classify: {text}",
        "raw": "negative",
        "parsed": "negative",
        "label": "negative",
        "complete": True,
        "created_at": time.time(),
    }
    return HardSample(**{**given, **fields})


class FailingOnce:
    """Answers each text, but fails at its first request."""

    def __init__(self, answer: str = "negative") -> None:
        self.seen: set[str] = set()
        self.answer = answer

    def __call__(self, messages: list[Any]) -> str:
        text = messages[-1].text
        if text not in self.seen:
            self.seen.add(text)
            raise ConnectionError("the line is down")
        return self.answer
