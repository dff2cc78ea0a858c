"""Which inputs of a batch are answered at once, and which wait for the large branch, for ``batch_as_completed``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from langchain_core.runnables import RunnableConfig

from langchain_datashunt.routing.deciding import Decisions
from langchain_datashunt.routing.per_request import DECIDED_KEY

if TYPE_CHECKING:
    from langchain_datashunt.routing.engine import Routing


@dataclass(frozen=True, slots=True)
class Made:
    """Decisions that a run finds made, and the engine that made them: it answers too, whatever serves by then."""

    decisions: Decisions
    routing: Routing


@dataclass(frozen=True, slots=True)
class CompletionOrder:
    """A batch in two parts; the configs carry the decisions, so that the small model is not called again.

    Attributes:
        easy: Indices of the accepted inputs.
        easy_configs: Their configs; the first carries the decisions about all of them.
        rest: Indices of the deferred inputs and of those that cannot be routed.
        rest_configs: Their configs; each carries its own decision.
    """

    easy: list[int]
    easy_configs: list[RunnableConfig]
    rest: list[int]
    rest_configs: list[RunnableConfig]

    @classmethod
    def of(
        cls, valid: Sequence[int], decisions: Decisions, configs: Sequence[RunnableConfig], routing: Routing
    ) -> CompletionOrder:
        """Return the order of a batch, given what `routing` decided about its inputs with the indices `valid`.

        With audits any accepted input may go to the large branch, so that none is sure to be answered at once.
        """
        row_of = {i: row for row, i in enumerate(valid)}
        easy = [i for i in valid if decisions.accepted[row_of[i]] and not routing.audit_rate]
        accepted = set(easy)
        rest = [i for i in range(len(configs)) if i not in accepted]
        easy_configs = [configs[i] for i in easy]
        if easy:
            easy_configs[0] = _marked(easy_configs[0], Made(decisions.take([row_of[i] for i in easy]), routing))
        rest_configs = [
            _marked(configs[i], Made(decisions.take([row_of[i]]), routing)) if i in row_of else configs[i] for i in rest
        ]
        return cls(easy, easy_configs, rest, rest_configs)


def _marked(config: RunnableConfig, made: Made) -> RunnableConfig:
    configurable = {**config.get("configurable", {}), DECIDED_KEY: made}
    return cast("RunnableConfig", {**config, "configurable": configurable})


def made_before(config: RunnableConfig) -> Made | None:
    """Return what was decided before this run began; None where nothing was."""
    return (config.get("configurable") or {}).get(DECIDED_KEY)
