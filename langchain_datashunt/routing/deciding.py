"""The vectorised small step: one call of the small model for a whole batch, then the rule, without LangChain.

The result is columnar (`Decisions`); a single decision is a view of it.
"""

from __future__ import annotations

import asyncio
import itertools
import math
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, cast, overload

import numpy as np
from numpy.typing import NDArray

from langchain_datashunt.candidates import CandidateLabels, CandidateRule
from langchain_datashunt.errors import OverloadedError, SmallModelError
from langchain_datashunt.policy.shunt_policy import FixedThreshold, ShuntPolicy
from langchain_datashunt.routing.per_request import NOTHING_ASKED, Requests
from langchain_datashunt.small_models import probability_rows
from langchain_datashunt.types import (
    BoolArray,
    Decision,
    FloatArray,
    Prediction,
    Reason,
    Route,
    SmallModel,
)

Rule = ShuntPolicy | FixedThreshold


@dataclass(frozen=True, slots=True)
class Pruning:
    """Which labels are removed, and from which inputs.

    Attributes:
        rule: None removes none.
        below: Only inputs whose confidence is below this lose labels.
    """

    rule: CandidateRule | None = None
    below: float = math.inf

    @classmethod
    def of(cls, candidates: CandidateRule | None, rule: Rule) -> Pruning:
        """Return the rule that the user gave, for all inputs; else what the policy learned, for what it defers.

        What was learned on deferred inputs says nothing of others: an input that goes to the large model only because
        of a request's own threshold or route keeps all its labels.
        """
        if candidates is not None or rule.candidate_rule is None:
            return cls(candidates)
        return cls(rule.candidate_rule, rule.threshold)


NO_PRUNING = Pruning()


@dataclass(frozen=True, slots=True, eq=False)
class Decisions(Sequence[Decision]):
    """The decisions about a batch, as columns; indexing gives the `Decision` of one input.

    Attributes:
        probabilities: ``(n, k)`` calibrated probabilities; a row of NaN where the small model failed.
        confidence: ``(n,)`` in [0, 1]; NaN where the small model failed.
        accepted: ``(n,)``; True where the small model answers.
        thresholds: ``(n,)``, the threshold that was applied to each input.
        classes: All labels, in column order.
        errors: What the small model raised, by index.
    """

    probabilities: FloatArray
    confidence: FloatArray
    accepted: BoolArray
    thresholds: FloatArray
    classes: tuple[str, ...]
    errors: dict[int, Exception]
    _rule: Rule = field(repr=False)
    _requests: Requests = field(repr=False)
    _pruning: Pruning = field(repr=False)
    _probabilities_known: bool = field(repr=False)
    _version: str | None = field(repr=False)

    @property
    def labels(self) -> NDArray[np.str_]:
        """``(n,)`` most probable labels, the first of equal ones; ``""`` where the small model failed."""
        if not len(self):
            return np.array([], dtype=np.str_)
        failed = np.isnan(self.confidence)
        best = np.where(failed, 0, np.argmax(np.nan_to_num(self.probabilities, nan=-1.0), axis=1))
        labels = np.array(self.classes)[best]
        return np.where(failed, "", labels) if failed.any() else labels

    @property
    def coverage(self) -> float:
        """The share of inputs that the small model answers; NaN for an empty batch."""
        return float(self.accepted.mean()) if len(self) else float("nan")

    def __len__(self) -> int:
        return len(self.confidence)

    def __iter__(self) -> Iterator[Decision]:
        return (self[i] for i in range(len(self)))

    @overload
    def __getitem__(self, index: int) -> Decision: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Decision]: ...
    def __getitem__(self, index: int | slice) -> Decision | Sequence[Decision]:
        """Return the decision about one input; the numbers in it are views of the columns."""
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        i = range(len(self))[index]
        route, reason = self._route(i)
        error = self.errors.get(i)
        return Decision(
            route=route,
            reason=reason,
            prediction=None if error is not None else self._prediction(i),
            threshold=float(self.thresholds[i]),
            certified=self._rule.certified and not self._requests.overrides(i),
            calibrated=self._rule.calibrated,
            candidates=None if error is not None else self._candidates(i),
            policy_id=self._rule.policy_id,
            small_model_version=self._version,
            sampling_probability=0.0 if route == "small" else 1.0,
            error=None if error is None else describe(error),
        )

    def take(self, indices: Sequence[int]) -> Decisions:
        """Return the decisions about the inputs at `indices`, as columns again."""
        rows = list(indices)
        return replace(
            self,
            probabilities=self.probabilities[rows],
            confidence=self.confidence[rows],
            accepted=self.accepted[rows],
            thresholds=self.thresholds[rows],
            errors={new: self.errors[old] for new, old in enumerate(rows) if old in self.errors},
            _requests=self._requests.take(rows),
        )

    def fatal_error(self, i: int) -> Exception | None:
        """Return why nobody may answer input `i`: the small model failed, and its caller ruled out the large one."""
        return self.errors.get(i) if self._requests.switch(i) == "small" else None

    def _route(self, i: int) -> tuple[Route, Reason]:
        if i in self.errors:
            return "large_on_error", "small_error"
        switch = self._requests.switch(i)
        if switch != "auto":
            return switch, "route_small" if switch == "small" else "route_large"
        return ("small", "accepted") if self.accepted[i] else ("large", "below_threshold")

    def _prediction(self, i: int) -> Prediction:
        row = self.probabilities[i]
        return Prediction(
            label=self.classes[int(row.argmax())],
            confidence=float(self.confidence[i]),
            probabilities=row if self._probabilities_known else None,
            classes=self.classes,
        )

    def _candidates(self, i: int) -> CandidateLabels | None:
        rule = self._pruning.rule
        if rule is None or not self._probabilities_known or self.confidence[i] >= self._pruning.below:
            return None
        row = self.probabilities[i]
        return CandidateLabels.of(self.classes, row, rule.select(row[None])[0])


@dataclass(frozen=True, slots=True)
class Decider:
    """A small model and its rule: inputs in, `Decisions` out.

    Raises:
        SmallModelError: The small model's answer has a wrong shape; or, with ``on_small_error="raise"``, a row of it is
            no probability distribution.
    """

    small: SmallModel
    rule: Rule
    on_small_error: Literal["large", "raise"]
    pruning: Pruning
    version: str | None

    def decide(
        self, inputs: Sequence[Any], requests: Requests = NOTHING_ASKED, configs: Sequence[Any] | None = None
    ) -> Decisions:
        """Decide about a batch with one call of the small model; if that raises, in halves, down to the rows that fail.

        Args:
            inputs: What the small model sees.
            requests: Thresholds and switches asked for.
            configs: One `RunnableConfig` an input, for small models that run LangChain children.
        """
        rows, errors = self._rows(inputs, configs)
        return self._judge(rows, errors, requests)

    async def adecide(
        self, inputs: Sequence[Any], requests: Requests = NOTHING_ASKED, configs: Sequence[Any] | None = None
    ) -> Decisions:
        """Do what `decide` does: with the model's own ``apredict_proba``, or else in a thread."""
        if not callable(getattr(self.small, "apredict_proba", None)):
            return await asyncio.to_thread(self.decide, inputs, requests, configs)
        rows, errors = await self._arows(inputs, configs)
        return self._judge(rows, errors, requests)

    def _judge(self, rows: FloatArray, errors: dict[int, Exception], requests: Requests) -> Decisions:
        thresholds = np.full(len(rows), self.rule.threshold)
        if requests.thresholds is not None:
            thresholds = np.where(np.isnan(requests.thresholds), thresholds, requests.thresholds)
        if errors:  # the rule never sees a row that is no distribution
            failed = np.fromiter(errors, dtype=np.intp)
            rows[failed] = 1.0 / rows.shape[1]
        judged = self.rule.judge(rows, threshold=None if requests.thresholds is None else thresholds)
        probabilities, confidence, accepted = judged
        if requests.switches is not None:
            switches = np.array(requests.switches)
            accepted = np.where(switches == "auto", accepted, switches == "small")
        if errors:
            probabilities, confidence, accepted = probabilities.copy(), confidence.copy(), accepted.copy()
            probabilities[failed], confidence[failed], accepted[failed] = np.nan, np.nan, False
        return Decisions(
            probabilities=probabilities,
            confidence=confidence,
            accepted=accepted,
            thresholds=thresholds,
            classes=self.rule.classes,
            errors=errors,
            _rule=self.rule,
            _requests=requests,
            _pruning=self.pruning,
            _probabilities_known=getattr(self.small, "probabilities_known", True),
            _version=self.version,
        )

    def _rows(self, inputs: Sequence[Any], configs: Sequence[Any] | None) -> tuple[FloatArray, dict[int, Exception]]:
        if not len(inputs):
            return self._no_rows(), {}
        try:
            answer = self._call(self.small.predict_proba, inputs, configs)
        except Exception as error:  # noqa: BLE001  any failure of a model is a deferral
            self._raise_if_final(error)
            if len(inputs) == 1:
                return self._failed_row(), {0: error}
        else:
            return self._checked(answer, len(inputs))
        return _stacked([self._rows(*half) for half in _halves(inputs, configs)])

    async def _arows(
        self, inputs: Sequence[Any], configs: Sequence[Any] | None
    ) -> tuple[FloatArray, dict[int, Exception]]:
        if not len(inputs):
            return self._no_rows(), {}
        try:
            answer = await self._call(cast("Any", self.small).apredict_proba, inputs, configs)
        except Exception as error:  # noqa: BLE001  any failure of a model is a deferral
            self._raise_if_final(error)
            if len(inputs) == 1:
                return self._failed_row(), {0: error}
        else:
            return self._checked(answer, len(inputs))
        return _stacked([await self._arows(*half) for half in _halves(inputs, configs)])

    def _call(self, method: Callable[..., Any], inputs: Sequence[Any], configs: Sequence[Any] | None) -> Any:
        if getattr(self.small, "takes_configs", False):
            return method(inputs, configs=configs)
        return method(inputs)

    def _raise_if_final(self, error: Exception) -> None:
        """Re-raise, from an except block, what must not become a deferral."""
        overloaded = isinstance(error, OverloadedError)
        if self.on_small_error == "raise" or overloaded or is_control_flow(error):
            raise error

    def _no_rows(self) -> FloatArray:
        return np.empty((0, len(self.rule.classes)))

    def _failed_row(self) -> FloatArray:
        return np.full((1, len(self.rule.classes)), np.nan)

    def _checked(self, answer: Any, n: int) -> tuple[FloatArray, dict[int, Exception]]:
        """Check an answer; a wrong shape raises, a row that is no distribution is a failure of that row."""
        classes = self.rule.classes
        try:
            return probability_rows(answer, n, classes), {}
        except SmallModelError:
            if self.on_small_error == "raise" or np.shape(answer) != (n, len(classes)):
                raise
        rows = np.array(answer, dtype=np.float64)
        errors: dict[int, Exception] = {}
        for i, row in enumerate(rows):
            try:
                probability_rows(row[None], 1, classes)
            except SmallModelError as error:
                errors[i] = error
        return rows, errors


def _halves(inputs: Sequence[Any], configs: Sequence[Any] | None) -> list[tuple[Sequence[Any], Sequence[Any] | None]]:
    middle = len(inputs) // 2
    return [(inputs[part], configs and configs[part]) for part in (slice(middle), slice(middle, None))]


def _stacked(parts: Sequence[tuple[FloatArray, dict[int, Exception]]]) -> tuple[FloatArray, dict[int, Exception]]:
    starts = itertools.accumulate((len(rows) for rows, _ in parts), initial=0)
    errors = {start + i: error for start, (_, found) in zip(starts, parts, strict=False) for i, error in found.items()}
    return np.concatenate([rows for rows, _ in parts]), errors


def describe(error: BaseException) -> str:
    """Return ``"Type: message"`` as it stands in a record."""
    return f"{type(error).__name__}: {error}"


def is_control_flow(error: BaseException) -> bool:
    """Tell whether `error` is LangGraph's interrupt or parent command, which is no failure and must pass."""
    langgraph_errors = sys.modules.get("langgraph.errors")
    return langgraph_errors is not None and isinstance(error, langgraph_errors.GraphBubbleUp)
