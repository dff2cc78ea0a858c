"""A whole message as the only chunk of a stream."""

from __future__ import annotations

from typing import Any

from langchain_core.messages import AIMessage, AIMessageChunk


def as_chunk(output: Any) -> Any:
    """Return a whole AI message as a chunk, so that it can be added to; anything else unchanged."""
    if isinstance(output, AIMessage) and not isinstance(output, AIMessageChunk):
        return AIMessageChunk(**output.model_dump(exclude={"type"}), chunk_position="last")
    return output
