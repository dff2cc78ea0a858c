"""The fakes of `langchain_datashunt.testing` as pytest fixtures, ``keyword_small_model`` and ``recording_chat_model``.

Switch them on in your own ``conftest.py``::

    pytest_plugins = ["langchain_datashunt.pytest_plugin"]
"""

from __future__ import annotations

import pytest

from langchain_datashunt.testing import KeywordSmallModel, RecordingChatModel


@pytest.fixture
def keyword_small_model() -> KeywordSmallModel:
    """Return a small model that is sure (0.98) about texts with "great" (positive) or "awful" (negative)."""
    return KeywordSmallModel({"positive": ["great"], "negative": ["awful"]})


@pytest.fixture
def recording_chat_model() -> RecordingChatModel:
    """Return a chat model that keeps every request and answers "large answer"."""
    return RecordingChatModel()
