"""The words of the package: what a small model is, what it says, and what the shunt decided.

Probabilities of a batch live in one ``(n, k)`` array (rows: inputs, columns: `classes`); the single
values here are views of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NotRequired, Protocol, TypedDict, runtime_checkable

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]

Route = Literal["small", "large", "audit", "small_on_error", "large_on_error"]
"""Who answered. `*_on_error` are the two named fallbacks: the other side had failed."""

Reason = Literal["accepted", "below_threshold", "route_small", "route_large", "small_error", "large_error"]
"""Why: the rule (`accepted`, `below_threshold`), the caller's switch (`route_*`), or a failure (`*_error`)."""

RouteSwitch = Literal["auto", "small", "large"]


@runtime_checkable
class SmallModel(Protocol):
    """What the shunt needs of a small model; any fitted scikit-learn classifier has it.

    Two optional attributes are read where present: `version` (str), the identity that a policy is tied to,
    and `probabilities_known` (bool, default True), False for a model that knows only label and confidence.
    A remote model may add ``async apredict_proba(inputs)``. A model that runs LangChain children sets
    ``takes_configs = True`` and accepts ``configs=`` (one `RunnableConfig` an input) in both methods.

    Example:
        >>> class Shouting:
        ...     classes_ = ["angry", "calm"]
        ...     version = "1"
        ...
        ...     def predict_proba(self, inputs):
        ...         angry = np.array([sum(map(str.isupper, text)) / max(1, len(text)) for text in inputs])
        ...         return np.column_stack([angry, 1 - angry])
        >>> isinstance(Shouting(), SmallModel)
        True
    """

    @property
    def classes_(self) -> Sequence[Any]:
        """The labels, in column order."""

    def predict_proba(self, inputs: Sequence[Any], /) -> Any:
        """Return an ``(n, k)`` float array whose rows sum to 1."""


@dataclass(frozen=True, slots=True, eq=False)
class Prediction:
    """One calibrated answer of a small model.

    Attributes:
        label: The most probable class.
        confidence: The policy's confidence score of the calibrated probabilities, in [0, 1].
        probabilities: ``(k,)`` calibrated probabilities in the order of `classes`; None where the model knows only
            label and confidence.
        classes: All labels, in column order.
    """

    label: str
    confidence: float
    probabilities: FloatArray | None
    classes: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Decision:
    """What the shunt decided about one input, and why.

    Attributes:
        route: Who answers.
        reason: Why.
        prediction: The small model's calibrated prediction; None where the small model failed on this input.
        threshold: The confidence at or above which the small model answers, in [0, 1].
        certified: Whether `threshold` is the one that the policy certifies.
        calibrated: Whether the probabilities were calibrated by a policy.
        candidates: The labels left for the large model, most probable first; None where none were removed.
        policy_id: Identity of the policy; None without one.
        small_model_version: Identity of the small model; None where unknown.
        sampling_probability: With which probability such an input goes to the large model: 1 for a deferred one, the
            audit rate for an accepted one.
        error: The failure behind a fallback route, as ``"Type: message"``.
    """

    route: Route
    reason: Reason
    prediction: Prediction | None
    threshold: float
    certified: bool
    calibrated: bool
    candidates: tuple[str, ...] | None = None
    policy_id: str | None = None
    small_model_version: str | None = None
    sampling_probability: float = 1.0
    error: str | None = None

    def metadata(self) -> ShuntMetadata:
        """Return the decision as plain JSON, as it stands in ``response_metadata["datashunt"]``."""
        prediction = self.prediction
        record = ShuntMetadata(
            route=self.route,
            reason=self.reason,
            label=None if prediction is None else prediction.label,
            confidence=None if prediction is None else float(prediction.confidence),
            threshold=float(self.threshold),
            certified=self.certified,
            calibrated=self.calibrated,
            candidates=None if self.candidates is None else list(self.candidates),
            policy_id=self.policy_id,
            small_model_version=self.small_model_version,
            sampling_probability=float(self.sampling_probability),
        )
        if self.error is not None:
            record["error"] = self.error
        return record


class ShuntMetadata(TypedDict):
    """``response_metadata["datashunt"]``: a `Decision` as plain JSON.

    `label` and `confidence` are the small model's; `inner` is the record of a shunt nested in the large branch.
    """

    route: Route
    reason: Reason
    label: str | None
    confidence: float | None
    threshold: float
    certified: bool
    calibrated: bool
    candidates: list[str] | None
    policy_id: str | None
    small_model_version: str | None
    sampling_probability: float
    error: NotRequired[str]
    inner: NotRequired[ShuntMetadata]


TeacherKind = Literal["llm", "small", "other", "nobody"]
"""What answered behind a shunt: a language model, a small model (a nested tier's, or a fallback), anything else, or
nothing, because it failed."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class HardSample:
    """An input that the small model did not answer, with what answered it: one record of the hard-sample log.

    Everything in it is plain JSON. What the log works out stands last; it is empty until the record was kept.

    Attributes:
        input: What the small model saw; a str for texts. None where the log keeps no inputs.
        request: What the shunt was given, where that is something else.
        tenant: Whose traffic it is; ``""`` for a log of one.
        route: Who answered.
        reason: Why.
        classes: All labels, in column order; empty where the small model failed.
        small_label: The small model's most probable label; None where it failed.
        confidence: Its calibrated confidence in [0, 1]; None where it failed.
        probabilities: ``(k,)`` calibrated probabilities in the order of `classes`; None where unknown.
        threshold: The confidence that would have been enough.
        candidates: The labels left for the large model; None where all were.
        policy_id: The policy; ``""`` without one.
        small_model_version: The small model; None where unknown.
        teacher: The model that answered, ``"provider/name"``; ``""`` where there was none.
        teacher_kind: What the teacher is.
        prompt: The rendered prompt. The log keeps its hash only.
        raw: The teacher's reply as it came.
        parsed: What the chain's parser made of it; None without a parser.
        label: The class that the reply names; None where it names none, or where a fallback gave the answer.
        teacher_probabilities: ``(k,)`` how likely the teacher found each class, in the order of `classes`, 0 for those
            that were no candidates; read off the first token's log-probabilities by a `PromptPruningOutputParser`, and
            calibrated where it has a `LabelPrior`. They sum to 1, less what an escape option got. None where unknown.
        logprobs: The reply's log-probabilities, as the provider gives them.
        complete: Whether it ended well: no error up to the root run, no stream closed early.
        problem: Why it is not complete, or its label not for training.
        sampling_probability: With which probability such an input is sent to the teacher: 1 for deferred inputs.
        attempts: How many model runs it took.
        input_tokens: Tokens of all these prompts, as reported.
        output_tokens: Tokens of all these replies, as reported.
        latency_ms: Duration of the large branch.
        small_latency_ms: Duration of the small step.
        tags: Tags of the shunt's run.
        metadata: Metadata of the shunt's run.
        trace_id: The root run.
        run_id: The shunt's run.
        parent_run_id: The run of the shunt around this one; None for an outermost shunt.
        created_at: When the shunt's run began, in seconds since 1970, UTC.
        id: Identity in the log: one record per tenant, input, policy, prompt and teacher.
        input_hash: Hash of `input`, salted where the log has a salt.
        prompt_hash: Likewise of `prompt`.
        parent_id: The record of the shunt around this one.
        complete_count: How often it ended well.
        incomplete_count: How often it did not.
        answers: How often the teacher gave which label.
        first_seen: Seconds since 1970.
        last_seen: Seconds since 1970.
        gold: The true label, added by a person.
    """

    input: Any
    request: Any = None
    tenant: str = ""
    route: Route
    reason: Reason
    classes: tuple[str, ...] = ()
    small_label: str | None = None
    confidence: float | None = None
    probabilities: tuple[float, ...] | None = None
    threshold: float | None = None
    candidates: tuple[str, ...] | None = None
    policy_id: str = ""
    small_model_version: str | None = None
    teacher: str = ""
    teacher_kind: TeacherKind = "nobody"
    prompt: str = ""
    raw: str | None = None
    parsed: Any = None
    label: str | None = None
    teacher_probabilities: tuple[float, ...] | None = None
    logprobs: Any = None
    complete: bool = False
    problem: str | None = None
    sampling_probability: float = 1.0
    attempts: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    latency_ms: float | None = None
    small_latency_ms: float | None = None
    tags: tuple[str, ...] = ()
    metadata: Mapping[str, Any] = field(default_factory=dict)
    trace_id: str = ""
    run_id: str = ""
    parent_run_id: str | None = None
    created_at: float
    id: str = ""
    input_hash: str = ""
    prompt_hash: str = ""
    parent_id: str | None = None
    complete_count: int = 0
    incomplete_count: int = 0
    answers: Mapping[str, int] = field(default_factory=dict)
    first_seen: float | None = None
    last_seen: float | None = None
    gold: str | None = None

    @property
    def trainable(self) -> bool:
        """Whether the teacher's label may train, as a language model's, complete, validly read and no fallback."""
        return self.complete and self.teacher_kind == "llm" and self.label is not None

    @property
    def target(self) -> str | None:
        """The label to train on, the gold one or the teacher's most frequent; None without one or at a tie."""
        if self.gold is not None:
            return self.gold
        if not self.answers:
            return self.label if self.trainable else None
        most = max(self.answers.values())
        labels = [label for label, count in self.answers.items() if count == most]
        return labels[0] if len(labels) == 1 else None
