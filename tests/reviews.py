"""The little world of the router's tests: texts that the small model is sure of, and one that it is not."""

from __future__ import annotations

from typing import Any

from langchain_datashunt import RunnableDataShunt
from langchain_datashunt.testing import KeywordSmallModel

EASY = "a great film"
EASY_NEGATIVE = "an awful film"
HARD = "a film"

SURE = 0.98
UNSURE = 0.5
THRESHOLD = 0.9


def small_model(**options: Any) -> KeywordSmallModel:
    """Return the small model: SURE of the easy texts, uniform on everything else."""
    return KeywordSmallModel({"positive": ["great"], "negative": ["awful"]}, confidence=SURE, **options)


def shunt(small: Any = None, **options: Any) -> Any:
    """Return a shunt over the small model, unbound unless `large` is among the options."""
    if "policy" not in options:
        options.setdefault("threshold", THRESHOLD)
    return RunnableDataShunt(small_model() if small is None else small, **options)


def record(message: Any) -> Any:
    """Return the decision's record on a message."""
    return message.response_metadata["datashunt"]
