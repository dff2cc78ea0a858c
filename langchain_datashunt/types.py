"""The words of the package: what a small model is, what it says, and what the shunt decided.

Probabilities of a batch live in one ``(n, k)`` array (rows: inputs, columns: `classes`); the single
values here are views of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
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
    error: NotRequired[str]
    inner: NotRequired[ShuntMetadata]
