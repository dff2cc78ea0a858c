"""From a finished trace to hard samples."""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from langchain_core.tracers.schemas import Run

from langchain_datashunt.callbacks.outcomes import Outcome, ParserReports, outcome_of, parsers_of
from langchain_datashunt.callbacks.teachers import SMALL_TAG, duration_ms, teacher_of
from langchain_datashunt.routing.plain_json import plain, refuse
from langchain_datashunt.types import Decision, HardSample

_SMALL_ROUTES = ("small", "small_on_error")
_OWN_TAGS = (
    "seq:step:",
    "map:key:",
    "graph:step:",
    "condition:",
    "branch:",
    "datashunt:",
    "retry:attempt:",
    "langsmith:",
)
_OWN_METADATA = ("ls_", "lc_", "langgraph_", "checkpoint_", "__", "datashunt_")


@dataclass(slots=True)
class Heard:
    """What a shunt told about one of its runs.

    Attributes:
        run: The shunt's run.
        decision: Its latest decision.
        answered: Whether the answer came to its end.
    """

    run: Run
    decision: Decision
    answered: bool


def samples_of(root: Run, heard: Sequence[Heard], reports: ParserReports, tenant_key: str) -> list[HardSample]:
    """Return the hard samples of a trace, outer shunts before inner ones.

    Attempts that failed before another one of the same input came to its end are not samples of their own: their
    tokens are added to those of the last attempt.

    Args:
        root: The root run.
        heard: What shunts told, in this order.
        reports: What parsers told of their runs.
        tenant_key: The metadata that names the tenant.
    """
    reader = _Reader({run.id: run for run in all_runs(root)}, {each.run.id: each for each in heard}, reports)
    hard = [each for each in heard if each.decision.route != "small"]
    return _without_superseded([reader.sample(each, tenant_key) for each in hard])


def all_runs(run: Run) -> Iterator[Run]:
    """Yield a run and all below it, each before those below."""
    yield run
    for child in run.child_runs:
        yield from all_runs(child)


def tenant_of(run: Run, tenant_key: str) -> str:
    """Return whose traffic a run is; ``""`` where nobody says."""
    return str((run.extra.get("metadata") or {}).get(tenant_key, ""))


def outer_shunt(run: Run, runs: Mapping[Any, Run], heard: Container[Any]) -> str | None:
    """Return the id of the shunt's run around a run; None for an outermost one.

    Args:
        run: The run.
        runs: All runs of the trace, by id.
        heard: The ids of the shunts' runs.
    """
    parent = runs.get(run.parent_run_id)
    while parent is not None:
        if parent.id in heard:
            return str(parent.id)
        parent = runs.get(parent.parent_run_id)
    return None


def small_runs(run: Run) -> list[Run]:
    """Return the small model's runs below a shunt's."""
    return [child for child in run.child_runs if SMALL_TAG in (child.tags or ())]


def _without_superseded(samples: Sequence[HardSample]) -> list[HardSample]:
    attempts: dict[str, list[HardSample]] = {}
    for sample in samples:
        key = repr((sample.input, sample.policy_id, sample.small_model_version, sample.parent_run_id is None))
        attempts.setdefault(key, []).append(sample)
    kept: set[str] = set()
    spent: dict[str, list[HardSample]] = {}
    for group in attempts.values():
        complete = [sample for sample in group if sample.complete]
        kept.update(sample.run_id for sample in complete or group[-1:])
        spent[(complete or group)[-1].run_id] = [s for s in group if not s.complete and s is not group[-1]]
    return [_with_attempts(sample, spent.get(sample.run_id, [])) for sample in samples if sample.run_id in kept]


def _with_attempts(sample: HardSample, failed: Sequence[HardSample]) -> HardSample:
    return replace(
        sample,
        attempts=sample.attempts + sum(each.attempts for each in failed),
        input_tokens=sample.input_tokens + sum(each.input_tokens for each in failed),
        output_tokens=sample.output_tokens + sum(each.output_tokens for each in failed),
    )


@dataclass(frozen=True, slots=True)
class _Reader:
    runs: Mapping[Any, Run]
    heard: Mapping[Any, Heard]
    reports: ParserReports

    def sample(self, heard: Heard, tenant_key: str) -> HardSample:
        run, decision = heard.run, heard.decision
        prediction = decision.prediction
        small = small_runs(run)
        # all others: LangChain's retries in batches hang the model's runs below the shunt's, without its tag
        large = [child for child in run.child_runs if child not in small]
        teacher = teacher_of(large, self._inner_small())
        outcome = self._outcome(heard, large, teacher.raw)
        seen, readable = _seen(small)
        request = plain(_request(run))
        problem = self._why_incomplete(heard, outcome)
        answered_small = decision.route in _SMALL_ROUTES
        return HardSample(
            input=seen,
            request=None if request == seen else request,
            tenant=tenant_of(run, tenant_key),
            route=decision.route,
            reason=decision.reason,
            classes=() if prediction is None else prediction.classes,
            small_label=None if prediction is None else prediction.label,
            confidence=None if prediction is None else float(prediction.confidence),
            probabilities=_probabilities(decision),
            threshold=float(decision.threshold),
            candidates=decision.candidates and tuple(decision.candidates),
            policy_id=decision.policy_id or "",
            small_model_version=decision.small_model_version,
            teacher=teacher.name,
            teacher_kind="small" if answered_small else teacher.kind,
            prompt=teacher.prompt,
            raw=teacher.raw,
            parsed=outcome.parsed,
            label=None if answered_small or not readable else outcome.label,
            teacher_probabilities=None if answered_small or not readable else outcome.probabilities,
            logprobs=teacher.logprobs,
            complete=problem is None,
            problem=problem or (outcome.problem if readable else "the input has no form in JSON"),
            sampling_probability=float(decision.sampling_probability),
            attempts=teacher.usage.attempts,
            input_tokens=teacher.usage.input_tokens,
            output_tokens=teacher.usage.output_tokens,
            latency_ms=duration_ms(large),
            small_latency_ms=duration_ms(small),
            tags=tuple(sorted({tag for tag in run.tags or () if not tag.startswith(_OWN_TAGS)})),
            metadata=_metadata(run, tenant_key),
            trace_id=str(run.trace_id),
            run_id=str(run.id),
            parent_run_id=outer_shunt(run, self.runs, self.heard),
            created_at=run.start_time.timestamp(),
        )

    def _outcome(self, heard: Heard, large: Sequence[Run], raw: str | None) -> Outcome:
        """Return what became of the reply; nothing where there was none: parsers then read another's."""
        if not heard.answered:
            return Outcome()
        prediction = heard.decision.prediction
        return outcome_of(
            parsers_of(heard.run, large, self.runs),
            raw,
            classes=() if prediction is None else prediction.classes,
            candidates=heard.decision.candidates,
            reports=self.reports,
        )

    def _inner_small(self) -> dict[Any, str]:
        """Return the shunts' runs whose small model answered, to that model's name."""
        return {
            id_: ", ".join(child.name for child in small_runs(each.run))
            for id_, each in self.heard.items()
            if each.decision.route in _SMALL_ROUTES and each.answered
        }

    def _why_incomplete(self, heard: Heard, outcome: Outcome) -> str | None:
        """Return what went wrong up to the root run; None where it all ended well."""
        run = heard.run
        if heard.decision.error is not None and heard.decision.route == "small_on_error":
            return heard.decision.error
        if run.error is None and not heard.answered:
            return "the stream was closed early"
        if outcome.failed:
            return outcome.problem
        while True:
            if run.error is not None:
                return run.error
            parent = self.runs.get(run.parent_run_id)
            if parent is None:
                return None
            run = parent


def _probabilities(decision: Decision) -> tuple[float, ...] | None:
    if decision.prediction is None or decision.prediction.probabilities is None:
        return None
    return tuple(decision.prediction.probabilities.tolist())


def _request(run: Run) -> Any:
    return run.inputs["input"] if set(run.inputs) == {"input"} else run.inputs


def _seen(small: Sequence[Run]) -> tuple[Any, bool]:
    """Return what the small model saw, and whether it can be kept as it was."""
    if not small:
        return None, False
    seen = _request(small[0])
    try:
        return plain(seen, refuse), True
    except TypeError:
        return plain(seen), False


def _metadata(run: Run, tenant_key: str) -> dict[str, Any]:
    given = run.extra.get("metadata") or {}
    return {k: plain(v) for k, v in given.items() if not k.startswith(_OWN_METADATA) and k != tenant_key}
