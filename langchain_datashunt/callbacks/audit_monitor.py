"""`AuditMonitor`: feeds a live bound with the audits on their way into the hard-sample log, and raises the alarm."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from langchain_datashunt.bounds.audit_estimates import Quantity
from langchain_datashunt.bounds.live_bound import Alarm, LiveBound
from langchain_datashunt.callbacks.handler import SampleSink
from langchain_datashunt.errors import AuditError
from langchain_datashunt.types import HardSample

logger = logging.getLogger(__name__)

_SAVE_EVERY = 1.0
"""Seconds between two writes of the bound's file. Audits that a crash loses cost time, not truth."""

_WATCHED: Quantity = "disagreement"


class AuditMonitor:
    """A sink for `HardSampleCallbackHandler` that watches disagreement with the LLM.

    Everything goes on to the log behind it. Audits of the policy, answered by a language model and validly read, are
    added to the bound; when the alarm goes off, it is logged as an error, and `on_alarm` is called once. Safe in
    threads; each process has its own monitor, and its own chance of a false alarm.

    Args:
        sink: Where the records go on to, as a rule a `HardSampleStore`.
        bound: On ``disagreement``.
        policy_id: The policy that is watched; ``""`` for a shunt without one.
        on_alarm: Called with the alarm, after the record was kept.
        path: File that keeps the bound across restarts (`LiveBound.load`); it is written at most once a second, at an
            alarm, and by `close`.

    Raises:
        AuditError: `bound` is on ``error``, of which an LLM's answers say nothing.

    Example:
        .. code-block:: python

            path = Path("disagreement.json")
            bound = LiveBound.load(path) if path.exists() else LiveBound("disagreement", 0.05, lowest_audit_rate=0.02)
            monitor = AuditMonitor(HardSampleStore("samples.db"), bound, policy_id=policy.policy_id, path=path)
            handler = HardSampleCallbackHandler(monitor)
    """

    def __init__(
        self,
        sink: SampleSink,
        bound: LiveBound,
        *,
        policy_id: str,
        on_alarm: Callable[[Alarm], Any] | None = None,
        path: str | Path | None = None,
    ) -> None:
        """Watch; see the class."""
        if bound.quantity != _WATCHED:
            raise AuditError(f"LLM audits measure disagreement with the LLM; got a bound on {bound.quantity!r}")
        self.sink = sink
        self.bound = bound
        self.policy_id = policy_id
        self.on_alarm = on_alarm
        self.path = path
        self._lock = threading.Lock()
        self._saved = time.monotonic()

    def append(self, samples: Sequence[HardSample], /) -> Any:
        """Keep records, and add the audits among them to the bound."""
        audits = [sample for sample in samples if self._is_watched(sample)]
        alarm = self._update(audits) if audits else None
        try:
            return self.sink.append(samples)
        finally:
            if alarm is not None:
                logger.error("%s", alarm)
                if self.on_alarm is not None:
                    self.on_alarm(alarm)

    def count_request(self, tenant: str, policy_id: str, route: str, /) -> None:
        """Count a request."""
        self.sink.count_request(tenant, policy_id, route)

    def close(self) -> None:
        """Write the bound's file. The log behind stays open."""
        with self._lock:
            self._save()

    def _is_watched(self, sample: HardSample) -> bool:
        return sample.route == "audit" and sample.trainable and sample.policy_id == self.policy_id

    def _update(self, audits: Sequence[HardSample]) -> Alarm | None:
        misses = [audit.label != audit.small_label for audit in audits]
        with self._lock:
            try:
                alarm = self.bound.update(misses, [audit.sampling_probability for audit in audits])
            except AuditError as error:  # the record is kept all the same
                logger.warning("Audits were not added to the live bound: %s", error)
                return None
            if alarm is not None or time.monotonic() - self._saved >= _SAVE_EVERY:
                self._save()
        return alarm

    def _save(self) -> None:
        if self.path is None:
            return
        self._saved = time.monotonic()
        try:
            self.bound.save(self.path)
        except OSError as error:
            logger.warning("The live bound could not be written: %s", error)
