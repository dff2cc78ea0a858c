"""`ErrorMonitor`: feeds a live bound on the error with people's labels of audits, and raises the alarm."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Self

from langchain_datashunt.bounds.live_bound import Alarm, LiveBound, write_json
from langchain_datashunt.errors import AuditError
from langchain_datashunt.store.estimates import GoldAudit
from langchain_datashunt.store.hard_sample_store import HardSampleStore

logger = logging.getLogger(__name__)


class _Fed(NamedTuple):
    """How many requests of a record the bound has, and the label that they were added with last."""

    seen: int
    gold: str


class ErrorMonitor:
    """Watches the *error* among accepted inputs, by people's labels of audits in a hard-sample log.

    People label with `HardSampleStore.label` or ``datashunt samples label``, in any process; `update` adds what is new:
    each audited request of a labelled record once, those too that come after the label. When the alarm goes off, it is
    logged as an error, and `on_alarm` is called once. Safe in threads.

    The bound holds if audits were chosen for labelling at random, or all were labelled: not those near the threshold,
    nor those where the LLM disagrees (`HardSampleStore.estimate` raises doubts where that shows). A label that is
    corrected or taken back after it was added stays in the bound as it was; that is logged, and calls for a new bound.

    Args:
        store: The log.
        bound: On ``error``.
        policy_id: The policy that is watched; ``""`` for a shunt without one.
        path: A file that keeps the bound, and what it was fed with, across restarts: see `load`. `update` writes it;
            ``datashunt audits check`` reads it.
        on_alarm: Called with the alarm, before the file is written.

    Raises:
        AuditError: `bound` is on ``disagreement``, of which people's labels say nothing.

    Example:
        .. code-block:: python

            monitor = ErrorMonitor(store, LiveBound("error", 0.02, lowest_audit_rate=0.02), policy_id=policy.policy_id)
            store.label(sample.id, "negative")
            monitor.update()
    """

    def __init__(
        self,
        store: HardSampleStore,
        bound: LiveBound,
        *,
        policy_id: str,
        path: str | Path | None = None,
        on_alarm: Callable[[Alarm], Any] | None = None,
    ) -> None:
        """Watch; see the class."""
        if bound.quantity != "error":
            raise AuditError(f"people's labels measure error; got a bound on {bound.quantity!r}")
        self.store = store
        self.bound = bound
        self.policy_id = policy_id
        self.path = None if path is None else Path(path)
        self.on_alarm = on_alarm
        self._fed: dict[str, _Fed] = {}
        self._lock = threading.Lock()

    @classmethod
    def load(cls, path: str | Path, store: HardSampleStore, *, on_alarm: Callable[[Alarm], Any] | None = None) -> Self:
        """Return the monitor that wrote `path`, as it was.

        Raises:
            AuditError: The file holds something else.
        """
        bound = LiveBound.load(path)
        record = json.loads(Path(path).read_text(encoding="utf-8"))
        if not {"policy_id", "fed"} <= set(record):
            raise AuditError(
                f"{str(path)!r} holds a live bound, but not what it was fed with: no ErrorMonitor wrote it"
            )
        monitor = cls(store, bound, policy_id=record["policy_id"], path=path, on_alarm=on_alarm)
        monitor._fed = {id_: _Fed(*fed) for id_, fed in record["fed"].items()}
        return monitor

    def update(self) -> Alarm | None:
        """Add the labels that have come; return the alarm if they set it off.

        Raises:
            AuditError: An audit was drawn with a lower probability than the bound's `lowest_audit_rate`; none is added.
        """
        with self._lock:
            audits = self.store.gold_audits(policy_id=self.policy_id)
            self._warn_of_corrections(audits)
            new = [(audit, audit.seen - self._fed.get(audit.id, _Fed(0, "")).seen) for audit in audits]
            alarm = self._add([(audit, n) for audit, n in new if n > 0])
        if alarm is not None:
            logger.error("%s", alarm)
            if self.on_alarm is not None:
                self.on_alarm(alarm)
        with self._lock:
            self._save()
        return alarm

    def _add(self, new: Sequence[tuple[GoldAudit, int]]) -> Alarm | None:
        misses = [audit.gold != audit.small_label for audit, n in new for _ in range(n)]
        alarm = self.bound.update(misses, [audit.sampling_probability for audit, n in new for _ in range(n)])
        self._fed.update({audit.id: _Fed(audit.seen, audit.gold) for audit, _ in new})
        return alarm

    def _warn_of_corrections(self, audits: Sequence[GoldAudit]) -> None:
        labels = {audit.id: audit.gold for audit in audits}
        corrected = sum(labels.get(id_, fed.gold) != fed.gold for id_, fed in self._fed.items())
        taken_back = sum(self.store.get(id_) is not None for id_ in self._fed.keys() - labels.keys())  # else erased
        if corrected or taken_back:
            logger.warning(
                "%d labels were corrected and %d taken back after they had been added to the live bound on error, "
                "which holds them as they were; start a new bound",
                corrected,
                taken_back,
            )

    def _save(self) -> None:
        if self.path is not None:
            write_json(self.path, {**self.bound.to_dict(), "policy_id": self.policy_id, "fed": self._fed})
