"""Fakes for the tests of your own chains: no network, no torch, no downloads.

::

    small = KeywordSmallModel({"positive": ["great"], "negative": ["awful"]})
    large = RecordingChatModel(answers={"I have mixed feelings": "negative"})
    chain = RunnableDataShunt(small, threshold=0.9) | large

`langchain_datashunt.pytest_plugin` offers them as pytest fixtures.
"""

from __future__ import annotations

from langchain_datashunt.testing.chat_model import RecordedCall, RecordingChatModel
from langchain_datashunt.testing.small_models import KeywordSmallModel, ScriptedSmallModel

__all__ = ["KeywordSmallModel", "RecordedCall", "RecordingChatModel", "ScriptedSmallModel"]
