"""Versions that change under a chain, and what each of them would have said; for tests of hot swaps."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from review_versions import answers_of

from langchain_datashunt import ModelRegistry, PromotedModel
from langchain_datashunt.testing import RecordingChatModel


def llm() -> RecordingChatModel:
    return RecordingChatModel(answers="from the llm")


def recorded(message: Any) -> Any:
    return message.response_metadata["datashunt"]


class Expected:
    """What each version would have said, found by the identities that stand in a record."""

    def __init__(self, registry: ModelRegistry) -> None:
        self.by_record = {
            (version.card.small_model_version, version.policy.policy_id): (
                version.number,
                answers_of(registry.load(version.number).small),
            )
            for version in registry.versions()
        }

    def version_that_answered(self, text: str, message: Any) -> int:
        """Return the version that a message's record names, after a check that record and answer are its own."""
        record = recorded(message)
        number, answers = self.by_record[record["small_model_version"], record["policy_id"]]
        label, confidence = answers[text]
        assert (record["label"], record["confidence"]) == (label, pytest.approx(confidence, abs=1e-12))
        assert message.content == (label if record["route"] == "small" else "from the llm")
        return number


@contextmanager
def swapping(registry: ModelRegistry, small: PromotedModel) -> Iterator[list[int]]:
    """Promote and reload, version after version, as quickly as it goes."""
    swaps: list[int] = []
    stop = threading.Event()

    def swap() -> None:
        while not stop.is_set():
            registry.promote(1 + small.number % len(registry.versions()))
            assert small.reload()
            swaps.append(small.number)

    thread = threading.Thread(target=swap)
    thread.start()
    try:
        yield swaps
    finally:
        stop.set()
        thread.join()
