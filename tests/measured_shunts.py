"""A hard-sample log whose handler feeds OpenTelemetry's own SDK, and what came out at the other end."""

from __future__ import annotations

from collections import Counter
from typing import Any

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from langchain_datashunt import HardSampleCallbackHandler, Prices, ShuntMetrics
from langchain_datashunt.store import HardSampleStore

PRICES = Prices(input=1.0, output=10.0, small=0.001, currency="EUR")


class Measured:
    """A log, its handler, and the SDK's readers."""

    def __init__(self, store: HardSampleStore) -> None:
        self.store = store
        self.reader = InMemoryMetricReader()
        self.spans = InMemorySpanExporter()
        self.tracers = TracerProvider()
        self.tracers.add_span_processor(SimpleSpanProcessor(self.spans))
        metrics = ShuntMetrics(
            log=store,
            prices=PRICES,
            meter_provider=MeterProvider([self.reader]),
            tracer_provider=self.tracers,
        )
        self.handler = HardSampleCallbackHandler(store, observer=metrics)
        self.config: dict[str, Any] = {"callbacks": [self.handler]}

    def points(self, name: str) -> list[Any]:
        """Return the data points of a metric."""
        data = self.reader.get_metrics_data()
        scopes = [] if data is None else [scope for each in data.resource_metrics for scope in each.scope_metrics]
        found = [metric for scope in scopes for metric in scope.metrics if metric.name == name]
        return [point for metric in found for point in metric.data.data_points]

    def sums(self, name: str, *attributes: str) -> Counter[tuple[Any, ...]]:
        """Return the values of a counter, summed over all attributes but those named."""
        summed: Counter[tuple[Any, ...]] = Counter()
        for point in self.points(name):
            summed[tuple(point.attributes.get(f"datashunt.{each}") for each in attributes)] += point.value
        return summed

    def one(self, name: str) -> Any:
        """Return the value of a metric with one data point."""
        (point,) = self.points(name)
        return point.value
