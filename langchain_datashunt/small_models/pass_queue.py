"""Shared passes: what several callers ask of one vectorised function at the same time becomes one call of it."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any, NamedTuple

import numpy as np

from langchain_datashunt.errors import OverloadedError, SmallModelError
from langchain_datashunt.small_models.answers import as_floats
from langchain_datashunt.types import FloatArray

Run = Callable[[list[Any]], Any]


class _Request(NamedTuple):
    inputs: list[Any]
    answer: Future[FloatArray]
    arrived: float


class PassQueue:
    """Requests wait here, first come, first served; one thread at a time takes as many as fit into a pass.

    The thread is there while something waits, and no longer: an idle queue holds no thread, and a forked or unpickled
    one starts its own. Whoever waits may belong to any thread or event loop.

    Args:
        run: The vectorised function: a list of inputs in, one row an input out.
        max_batch_size: Most inputs of a pass. A request of more is a pass of its own.
        max_wait: Seconds that the first request of a pass waits for others, counted from its arrival.
        max_waiting: Most inputs that wait; a request beyond them is refused.
    """

    def __init__(self, run: Run, max_batch_size: int, max_wait: float, max_waiting: int) -> None:
        """Make an empty queue."""
        self._run = run
        self._max_batch_size = max_batch_size
        self._max_wait = max_wait
        self._max_waiting = max_waiting
        self._requests: deque[_Request] = deque()
        self._rows = 0
        self._changed = threading.Condition()
        self._worker: threading.Thread | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        """Copy and pickle the settings: what waits here belongs to this process."""
        return type(self), (self._run, self._max_batch_size, self._max_wait, self._max_waiting)

    def submit(self, inputs: list[Any]) -> Future[FloatArray]:
        """Queue a request; its rows, or what the function raised about it, come with the future.

        A future that is cancelled while it waits costs no computation.

        Raises:
            OverloadedError: Too many inputs wait already.
        """
        request = _Request(inputs, Future(), time.monotonic())
        with self._changed:
            if self._requests and self._rows + len(inputs) > self._max_waiting:
                raise OverloadedError(
                    f"{self._rows} inputs wait for the small model, and max_waiting={self._max_waiting}: call later, "
                    "call batch with many inputs at once, or limit how many callers there are"
                )
            self._requests.append(request)
            self._rows += len(inputs)
            if self._worker is None or not self._worker.is_alive():
                self._worker = threading.Thread(target=self._work, name="datashunt-micro-batching", daemon=True)
                self._worker.start()
            elif self._rows >= self._max_batch_size:
                self._changed.notify()
        return request.answer

    def _work(self) -> None:
        while requests := self._next_pass():
            self._answer([each for each in requests if each.answer.set_running_or_notify_cancel()])

    def _next_pass(self) -> list[_Request]:
        with self._changed:
            while self._requests and (left := self._wait_left()) > 0:
                self._changed.wait(left)
            taken: list[_Request] = []
            room = self._max_batch_size
            while self._requests and (not taken or len(self._requests[0].inputs) <= room):
                taken.append(self._requests.popleft())
                room -= len(taken[-1].inputs)
            self._rows -= sum(len(each.inputs) for each in taken)
            if not taken:
                self._worker = None  # within the lock: the next request sees it, and starts another
            return taken

    def _wait_left(self) -> float:
        if self._rows >= self._max_batch_size:
            return 0.0
        return self._requests[0].arrived + self._max_wait - time.monotonic()

    def _answer(self, requests: Sequence[_Request]) -> None:
        """Run requests together; where that fails, in halves, so that the error finds the request that it is about."""
        if not requests:
            return
        inputs = [item for each in requests for item in each.inputs]
        try:
            rows = self._checked(called(self._run, inputs), len(inputs))
        except BaseException as error:  # noqa: BLE001  a thread has nobody above it: the callers get it
            if len(requests) == 1:
                requests[0].answer.set_exception(error)
                return
            middle = len(requests) // 2
            self._answer(requests[:middle])
            self._answer(requests[middle:])
            return
        start = 0
        for each in requests:
            each.answer.set_result(rows[start : start + len(each.inputs)])
            start += len(each.inputs)

    @staticmethod
    def _checked(answer: Any, n: int) -> FloatArray:
        rows = as_floats(answer)
        if rows.ndim != 2 or len(rows) != n:  # noqa: PLR2004  rows and columns
            raise SmallModelError(f"{n} inputs need {n} probability rows; the small model returned shape {rows.shape}")
        return np.array(rows)  # its own: callers may write into theirs


def called(run: Run, inputs: list[Any]) -> Any:
    """Call a vectorised function; its StopIteration, which leaves who awaits a future waiting for ever, is no more one.

    Raises:
        RuntimeError: In the place of a StopIteration.
    """
    try:
        return run(inputs)
    except StopIteration as error:
        raise RuntimeError("the small model raised StopIteration") from error
