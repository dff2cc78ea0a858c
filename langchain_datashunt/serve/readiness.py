"""Ready when the small model has answered once: its weights are loaded, and it can."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from langchain_datashunt.types import SmallModel

logger = logging.getLogger(__name__)


class Readiness:
    """Asks a small model something when the server starts, and again at a probe where that had failed.

    Args:
        small: The model.
        question: An input as the model sees it.
    """

    def __init__(self, small: SmallModel, question: Any) -> None:
        self._small = small
        self._question = question
        self._asking: asyncio.Task[None] | None = None
        self.ready = False
        """Whether the model has answered."""
        self.problem = "the small model is being loaded"
        """Why it is not ready; nothing that the model said, which may hold secrets."""

    @asynccontextmanager
    async def lifespan(self, _: Any) -> AsyncIterator[None]:
        """Begin to ask when the server starts, without holding it up."""
        self.ask()
        yield
        if self._asking is not None:
            self._asking.cancel()

    def ask(self) -> None:
        """Ask, unless the model is being asked or has answered."""
        if not self.ready and (self._asking is None or self._asking.done()):
            self._asking = asyncio.create_task(self._ask())

    async def _ask(self) -> None:
        try:
            await asyncio.to_thread(self._small.predict_proba, [self._question])
        except Exception as error:  # noqa: BLE001  whatever it is, the server is not ready
            self.problem = f"the small model failed on {self._question!r:.80}: {type(error).__name__}"
            logger.warning("Not ready: %s", self.problem)
        else:
            self.ready = True
