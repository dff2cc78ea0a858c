"""`ShuntMetrics`: counts the runs of shunts with OpenTelemetry, and writes a span of each."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from langchain_datashunt.callbacks.finished_runs import FinishedRun
from langchain_datashunt.callbacks.teachers import duration_ms
from langchain_datashunt.errors import MissingExtraError
from langchain_datashunt.metrics.instruments import Instruments
from langchain_datashunt.metrics.spans import write_spans
from langchain_datashunt.policy.costs import Prices
from langchain_datashunt.types import HardSample

if TYPE_CHECKING:
    from opentelemetry.metrics import MeterProvider, Observation
    from opentelemetry.trace import TracerProvider

SCOPE = "langchain_datashunt"

Attributes = dict[str, Any]


class Health(Protocol):
    """What a log says of itself; a `StoreHealth` is one."""

    @property
    def dropped(self) -> int:
        """Records that could not be kept."""

    @property
    def pending(self) -> int:
        """Entries that have not reached the server."""


class WatchedLog(Protocol):
    """A log that can be asked how it is; a `HardSampleStore` is one."""

    @property
    def health(self) -> Health:
        """What became of the records of this process."""


class ShuntMetrics:
    """Gives OpenTelemetry what a `HardSampleCallbackHandler` reads: of every run, whoever answered.

    It counts the very runs and records that the handler gives to the log, so its counters are the log's counts of this
    process, records that the log had to drop included (docs/metrics.md names all instruments). No input, answer or
    label is in a metric or a span. One `ShuntMetrics` a process; safe in threads.

    Args:
        log: Asked how many records it dropped, and how many wait; as a rule the handler's store.
        prices: Of tokens and small calls; without them there is no ``datashunt.cost``.
        meter_provider: By default the global one.
        tracer_provider: By default the global one.

    Raises:
        MissingExtraError: opentelemetry-api is not installed.

    Example:
        .. code-block:: python

            store = HardSampleStore("samples.db")
            metrics = ShuntMetrics(log=store, prices=Prices(input=0.25, output=2.0, currency="USD"))
            handler = HardSampleCallbackHandler(store, observer=metrics)
    """

    def __init__(
        self,
        *,
        log: WatchedLog | None = None,
        prices: Prices | None = None,
        meter_provider: MeterProvider | None = None,
        tracer_provider: TracerProvider | None = None,
    ) -> None:
        """Make the instruments; see the class."""
        try:
            from opentelemetry import metrics, trace  # noqa: PLC0415  an extra
        except ImportError as error:
            raise MissingExtraError("metrics", "otel") from error
        self._log = log
        self._prices = prices
        self._observation = metrics.Observation
        self._tracer = trace.get_tracer(SCOPE, tracer_provider=tracer_provider)
        meter = metrics.get_meter(SCOPE, meter_provider=meter_provider)
        self._instruments = Instruments.of(meter, None if prices is None else prices.currency)
        self._lock = threading.Lock()
        self._judged: Counter[str] = Counter()
        self._accepted: Counter[str] = Counter()
        meter.create_observable_gauge("datashunt.coverage", [self._coverage], "1", "Share accepted, since the start.")
        meter.create_observable_gauge(
            "datashunt.deferral_rate", [self._deferral_rate], "1", "Share deferred, since the start."
        )
        if log is not None:
            meter.create_observable_counter(
                "datashunt.records.dropped", [self._dropped], "{record}", "Records that the log could not keep."
            )
            meter.create_observable_gauge(
                "datashunt.records.pending", [self._pending], "{record}", "Entries that wait for the log's server."
            )

    def observe(self, runs: Sequence[FinishedRun], /) -> None:
        """Take the shunts' runs of a trace that has ended."""
        for run in runs:
            self._count_run(run)
            if run.sample is not None:
                self._count_record(run.sample)
        write_spans(self._tracer, runs)

    def _count_run(self, run: FinishedRun) -> None:
        decision, instruments = run.decision, self._instruments
        policy = {"datashunt.policy_id": decision.policy_id or ""}
        by_route = {**policy, "datashunt.route": decision.route}
        failed = {} if run.failure is None else {"error.type": run.failure}
        reason = {"datashunt.reason": decision.reason, "datashunt.tenant": run.tenant}
        instruments.requests.add(1, {**by_route, **reason, **failed})
        _record(instruments.duration, duration_ms([run.run]), {**by_route, **failed})
        for step, below in (("small", run.small_runs), ("large", run.large_runs)):
            _record(instruments.step_duration, duration_ms(below), {**by_route, "datashunt.step": step})
        if self._prices is not None:
            instruments.cost.add(self._prices.small, {**by_route, "datashunt.step": "small"})
        if decision.reason not in ("route_small", "route_large"):  # what the caller forced is not the rule's
            with self._lock:
                self._judged[decision.policy_id or ""] += 1
                self._accepted[decision.policy_id or ""] += run.accepted
        if decision.prediction is not None:
            judged = {**policy, "datashunt.accepted": run.accepted}
            instruments.confidence.record(decision.prediction.confidence, judged)

    def _count_record(self, sample: HardSample) -> None:
        nested = sample.parent_run_id is not None
        given = {
            "datashunt.policy_id": sample.policy_id,
            "datashunt.route": sample.route,
            "datashunt.tenant": sample.tenant,
            "datashunt.nested": nested,
        }
        self._instruments.records.add(1, {**given, "datashunt.complete": sample.complete})
        of_model = {**given, "gen_ai.request.model": sample.teacher}
        for kind, tokens in (("input", sample.input_tokens), ("output", sample.output_tokens)):
            if tokens:
                self._instruments.tokens.add(tokens, {**of_model, "gen_ai.token.type": kind})
        if self._prices is not None and not nested:  # the outer shunt's record holds a nested one's tokens too
            cost = float(self._prices.of_tokens(sample.input_tokens, sample.output_tokens))
            where = {"datashunt.policy_id": sample.policy_id, "datashunt.route": sample.route}
            self._instruments.cost.add(cost, {**where, "datashunt.step": "large"})

    def _coverage(self, _: Any) -> Iterator[Observation]:
        return self._shares(lambda judged, accepted: accepted / judged)

    def _deferral_rate(self, _: Any) -> Iterator[Observation]:
        return self._shares(lambda judged, accepted: 1 - accepted / judged)

    def _shares(self, share: Callable[[int, int], float]) -> Iterator[Observation]:
        with self._lock:
            counts = [(policy_id, n, self._accepted[policy_id]) for policy_id, n in self._judged.items()]
        for policy_id, judged, accepted in counts:
            yield self._observation(share(judged, accepted), {"datashunt.policy_id": policy_id})

    def _dropped(self, _: Any) -> Iterator[Observation]:
        if self._log is not None:
            yield self._observation(self._log.health.dropped)

    def _pending(self, _: Any) -> Iterator[Observation]:
        if self._log is not None:
            yield self._observation(self._log.health.pending)


def _record(histogram: Any, milliseconds: float | None, attributes: Attributes) -> None:
    if milliseconds is not None:
        histogram.record(milliseconds / 1000, attributes)
