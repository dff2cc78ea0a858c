"""The runs of shunts in a finished trace, whoever answered: what metrics and spans are made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from langchain_core.tracers.schemas import Run

from langchain_datashunt.callbacks.run_reading import Heard, all_runs, outer_shunt, small_runs, tenant_of
from langchain_datashunt.types import Decision, HardSample


@dataclass(frozen=True, slots=True)
class FinishedRun:
    """One run of a shunt, as it ended.

    Attributes:
        run: The shunt's run, with those below it.
        decision: Its latest decision.
        answered: Whether the answer came to its end.
        tenant: Whose traffic it is; ``""`` where nobody says.
        sample: The record that it gave; None where the small model answered, and where the record of a later attempt
            counts this one's tokens.
        parent_run_id: The run of the shunt around this one; None for an outermost shunt.
    """

    run: Run
    decision: Decision
    answered: bool
    tenant: str
    sample: HardSample | None
    parent_run_id: str | None

    @property
    def accepted(self) -> bool:
        """Whether the confidence reached the threshold, whoever answered then."""
        prediction = self.decision.prediction
        return prediction is not None and prediction.confidence >= self.decision.threshold

    @property
    def small_runs(self) -> list[Run]:
        """The runs of the small step."""
        return small_runs(self.run)

    @property
    def large_runs(self) -> list[Run]:
        """The runs of the large branch."""
        small = self.small_runs
        return [child for child in self.run.child_runs if child not in small]

    @property
    def failure(self) -> str | None:
        """The type of what kept the run from its answer, whose message may be private; None where it answered."""
        if self.answered:
            return None
        return "stream_closed" if self.run.error is None else self.run.error.split(":", 1)[0]


def finished_runs(
    root: Run, heard: Sequence[Heard], samples: Sequence[HardSample], tenant_key: str
) -> list[FinishedRun]:
    """Return the runs of shunts in a trace, in the order in which they were heard of.

    Args:
        root: The root run.
        heard: What shunts told.
        samples: What `run_reading.samples_of` made of them.
        tenant_key: The metadata that names the tenant.
    """
    runs = {run.id: run for run in all_runs(root)}
    ids = {each.run.id for each in heard}
    made = {sample.run_id: sample for sample in samples}
    return [
        FinishedRun(
            run=each.run,
            decision=each.decision,
            answered=each.answered,
            tenant=tenant_of(each.run, tenant_key),
            sample=made.get(str(each.run.id)),
            parent_run_id=outer_shunt(each.run, runs, ids),
        )
        for each in heard
    ]
