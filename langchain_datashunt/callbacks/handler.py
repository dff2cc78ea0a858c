"""`HardSampleCallbackHandler`: keeps what the large model answered, from any chain or graph with a shunt in it."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol
from uuid import UUID

from langchain_core.tracers.base import BaseTracer
from langchain_core.tracers.schemas import Run
from typing_extensions import override

from langchain_datashunt.callbacks.finished_runs import FinishedRun, finished_runs
from langchain_datashunt.callbacks.outcomes import ParserReports
from langchain_datashunt.callbacks.run_reading import Heard, all_runs, samples_of, tenant_of
from langchain_datashunt.errors import HardSampleStoreError
from langchain_datashunt.prompting.pruning_parser import INVALID_REPLY_EVENT, LABEL_DISTRIBUTION_EVENT
from langchain_datashunt.types import Decision, HardSample

logger = logging.getLogger(__name__)

_WARN_EVERY = 60.0
"""Seconds between two warnings about records that could not be kept."""


class SampleSink(Protocol):
    """Where hard samples go; a `HardSampleStore` is one."""

    def append(self, samples: Sequence[HardSample], /) -> Any:
        """Keep records."""

    def count_request(self, tenant: str, policy_id: str, route: str, /) -> None:
        """Count a request."""


class RunObserver(Protocol):
    """Who is told of the runs of shunts, whoever answered; a `ShuntMetrics` is one."""

    def observe(self, runs: Sequence[FinishedRun], /) -> None:
        """Take the shunts' runs of a trace that has ended."""


class HardSampleCallbackHandler(BaseTracer):
    """Keeps every hard sample of the chains that it is given to: calls, batches, streams, async code, graphs, agents.

    A record is made when the root run ends, so that it knows what became of the reply behind the shunt. It is written
    before the caller gets the answer. A store that fails never breaks a chain: what it could not keep is counted
    (`HardSampleStore.health`), logged as a warning, and reported by the store once it can be written again.

    Give the handler to the whole chain (``config={"callbacks": [handler]}``); one that is bound to the shunt alone does
    not see the parser behind it, and reads the reply itself. One handler serves any number of threads and tasks.

    Args:
        store: Where the records go.
        tenant_key: The metadata (``config["metadata"]``) that names the tenant.
        observer: Is told of every run too, once its record was kept or lost.

    Raises:
        HardSampleStoreError: `store` is none.

    Example:
        .. code-block:: python

            handler = HardSampleCallbackHandler(HardSampleStore("samples.db"))
            chain.invoke("Works exactly as described.", config={"callbacks": [handler], "tags": ["customer:17"]})
    """

    run_inline = True  # in the task that made the run: the record is kept when the answer is there

    def __init__(self, store: SampleSink, *, tenant_key: str = "tenant", observer: RunObserver | None = None) -> None:
        """Keep records in `store`."""
        if not callable(getattr(store, "append", None)) or not callable(getattr(store, "count_request", None)):
            raise HardSampleStoreError(
                f'records go to a HardSampleStore, such as HardSampleStore("samples.db"), or an AuditMonitor; got '
                f"{store!r}"
            )
        super().__init__(_schema_format="original+chat")
        self.store = store
        self.tenant_key = tenant_key
        self.observer = observer
        self._heard: dict[UUID, dict[UUID, Heard]] = {}
        self._reports: dict[UUID, ParserReports] = {}
        self._warned = float("-inf")

    def on_datashunt_decision(self, decision: Decision, *, run_id: UUID, answered: bool) -> None:
        """Take what a shunt decided (see `langchain_datashunt.routing.listening`)."""
        run = self.run_map.get(str(run_id))
        if run is not None and run.trace_id is not None:
            self._heard.setdefault(run.trace_id, {})[run_id] = Heard(run, decision, answered)

    @override
    def on_custom_event(self, name: str, data: Any, *, run_id: UUID, **kwargs: Any) -> None:
        """Take which replies a parser could not read, and how likely the large model found each label."""
        run = self.run_map.get(str(run_id))
        if name not in (INVALID_REPLY_EVENT, LABEL_DISTRIBUTION_EVENT) or run is None or run.trace_id is None:
            return
        reports = self._reports.setdefault(run.trace_id, ParserReports())
        if name == INVALID_REPLY_EVENT:
            reports.invalid_replies[run_id] = str(data.get("problem"))
        else:
            reports.distributions[run_id] = data["probabilities"]

    @override
    def on_llm_new_token(self, token: Any, *, run_id: UUID, **kwargs: Any) -> Run:
        """Pass over a token: the reply comes whole at the end of its run."""
        return self._get_run(run_id)

    @override
    def _persist_run(self, run: Run) -> None:
        heard = self._heard.pop(run.id, {})
        reports = self._reports.pop(run.id, ParserReports())
        for each in all_runs(run):
            self.order_map.pop(each.id, None)
        if heard:
            self._keep(run, list(heard.values()), reports)

    def _keep(self, root: Run, heard: list[Heard], reports: ParserReports) -> None:
        samples: list[HardSample] = []
        with self._harmless():
            if any(each.decision.route != "small" for each in heard):
                samples = samples_of(root, heard, reports, self.tenant_key)
                self.store.append(samples)
        with self._harmless():  # a request was answered, though its record may be lost
            for each in heard:
                tenant, policy_id = tenant_of(each.run, self.tenant_key), each.decision.policy_id or ""
                self.store.count_request(tenant, policy_id, each.decision.route)
        if self.observer is not None:
            with self._harmless():
                self.observer.observe(finished_runs(root, heard, samples, self.tenant_key))

    @contextmanager
    def _harmless(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # noqa: BLE001  whatever it is, the chain has its answer
            self._warn(error)

    def _warn(self, error: Exception) -> None:
        if time.monotonic() - self._warned >= _WARN_EVERY:
            self._warned = time.monotonic()
            reason = error if isinstance(error, HardSampleStoreError) else type(error).__name__  # others may hold texts
            logger.warning("The hard-sample log could not keep a record: %s", reason)

    @staticmethod
    @override
    def _get_stacktrace(error: BaseException) -> str:
        return f"{type(error).__name__}: {error}"
