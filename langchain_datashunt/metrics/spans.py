"""Spans of finished runs: one a shunt, below it one for the small step and one for the large branch.

They are written when a trace has ended, with the times at which its runs began and ended: only then everything is known
about a run. So spans that other instrumentation began meanwhile stand beside them, not below.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from langchain_datashunt.callbacks.finished_runs import FinishedRun

if TYPE_CHECKING:
    from langchain_core.tracers.schemas import Run
    from opentelemetry.context import Context
    from opentelemetry.trace import Tracer


def write_spans(tracer: Tracer, runs: Sequence[FinishedRun]) -> None:
    """Write the spans of a trace, below the span that is current; those of nested shunts below their outer one's."""
    from opentelemetry import trace  # noqa: PLC0415  an extra

    contexts: dict[str | None, Context] = {}
    for run in sorted(runs, key=lambda each: each.run.start_time):
        context = contexts.get(run.parent_run_id)
        span = tracer.start_span("datashunt", context, start_time=_ns(run.run.start_time), attributes=_attributes(run))
        contexts[str(run.run.id)] = below = trace.set_span_in_context(span, context)
        for name, steps in (("datashunt small", run.small_runs), ("datashunt large", run.large_runs)):
            _write_step(tracer, name, steps, below)
        if run.failure is not None:
            span.set_status(trace.StatusCode.ERROR, run.failure)
        span.end(_ns(run.run.end_time or run.run.start_time))


def _write_step(tracer: Tracer, name: str, runs: Sequence[Run], context: Context) -> None:
    ends = [run.end_time for run in runs if run.end_time is not None]
    if ends:
        span = tracer.start_span(name, context, start_time=_ns(min(run.start_time for run in runs)))
        span.end(_ns(max(ends)))


def _attributes(run: FinishedRun) -> dict[str, Any]:
    """Return what is known of a run but for its input, its answer and its labels."""
    decision, sample = run.decision, run.sample
    known = {
        "datashunt.route": decision.route,
        "datashunt.reason": decision.reason,
        "datashunt.accepted": run.accepted,
        "datashunt.confidence": None if decision.prediction is None else decision.prediction.confidence,
        "datashunt.threshold": decision.threshold,
        "datashunt.certified": decision.certified,
        "datashunt.calibrated": decision.calibrated,
        "datashunt.policy_id": decision.policy_id,
        "datashunt.small_model_version": decision.small_model_version,
        "datashunt.sampling_probability": decision.sampling_probability,
        "datashunt.tenant": run.tenant or None,
        "error.type": run.failure,
    }
    if sample is not None:
        known |= {
            "datashunt.complete": sample.complete,
            "datashunt.attempts": sample.attempts,
            "gen_ai.request.model": sample.teacher or None,
            "gen_ai.usage.input_tokens": sample.input_tokens,
            "gen_ai.usage.output_tokens": sample.output_tokens,
        }
    return {name: value for name, value in known.items() if value is not None}


def _ns(time: datetime) -> int:
    return int(time.timestamp() * 1e9)
