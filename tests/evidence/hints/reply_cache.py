"""Replies of a chat model, kept in a JSONL file: an interrupted measurement goes on where it stopped."""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

from langchain_core.caches import BaseCache
from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatGeneration, Generation


class ReplyCache(BaseCache):
    """LangChain's cache in one file, a line a reply, found by its prompt.

    A file holds the replies of one model with one set of options: the rest of the request is no part of the key, since
    it names the local server's port, which is another one each time.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._replies: dict[str, str] = {}
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_file():
            with path.open(encoding="utf-8") as lines:
                for line in lines:
                    if line.endswith("\n"):  # the last one may have been cut off
                        prompt, reply = json.loads(line)
                        self._replies[prompt] = reply

    def __len__(self) -> int:
        return len(self._replies)

    def lookup(self, prompt: str, llm_string: str) -> Sequence[Generation] | None:
        found = self._replies.get(_key(prompt))
        return None if found is None else [ChatGeneration(message=AIMessage.model_validate_json(found))]

    def update(self, prompt: str, llm_string: str, return_val: Sequence[Generation]) -> None:
        (generation,) = return_val
        assert isinstance(generation, ChatGeneration)
        reply = generation.message.model_dump_json(exclude_defaults=True)
        with self._lock:
            self._replies[_key(prompt)] = reply
            with self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps([_key(prompt), reply]) + "\n")

    def clear(self, **_: Any) -> None:
        self._path.unlink(missing_ok=True)
        self._replies.clear()


def _key(prompt: str) -> str:
    return sha256(prompt.encode()).hexdigest()
