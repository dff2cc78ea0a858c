"""The policy: everything that decides which inputs the small model answers itself, as one frozen, auditable value.

Applying a policy needs NumPy only. Policies are made by `langchain_datashunt.fitting.fit_policy`; the thresholds of a
policy act on calibrated confidence.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from dataclasses import fields as dataclass_fields
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np

from langchain_datashunt.candidates.rules import LearnedCandidates
from langchain_datashunt.errors import PolicyError, PolicyMismatchError
from langchain_datashunt.policy.calibration import Calibration, NoCalibration, calibration_from_dict
from langchain_datashunt.policy.certification import Certificate
from langchain_datashunt.policy.confidence import ConfidenceScore, confidence_of
from langchain_datashunt.policy.policy_file import read_record, read_sealed, record_hash, seal, unseal, write_sealed
from langchain_datashunt.policy.pruning_facts import PruningFacts
from langchain_datashunt.types import BoolArray, FloatArray, Prediction

MIN_CLASSES = 2


class Judgement(NamedTuple):
    """What a rule says about a batch, as columns.

    Attributes:
        probabilities: ``(n, k)`` calibrated probabilities.
        confidence: ``(n,)`` in [0, 1].
        accepted: ``(n,)``, True where the small model answers.
    """

    probabilities: FloatArray
    confidence: FloatArray
    accepted: BoolArray


@dataclass(frozen=True, slots=True)
class FixedThreshold:
    """The rule of a shunt that is given ``threshold=`` and no policy: the paper's, on uncalibrated probabilities.

    Attributes:
        classes: All labels, in column order.
        threshold: In [0, 1]; inputs whose largest probability reaches it are accepted.
    """

    classes: tuple[str, ...]
    threshold: float
    policy_id: ClassVar[None] = None
    small_model_version: ClassVar[None] = None
    certified: ClassVar[bool] = False
    calibrated: ClassVar[bool] = False
    pruning: ClassVar[None] = None
    candidate_rule: ClassVar[None] = None

    def __post_init__(self) -> None:
        """Refuse classes and thresholds that cannot decide."""
        object.__setattr__(self, "classes", _checked_classes(self.classes))
        object.__setattr__(self, "threshold", _checked_threshold(self.threshold))

    def judge(self, probabilities: FloatArray, *, threshold: float | FloatArray | None = None) -> Judgement:
        """Judge a batch; see `ShuntPolicy.judge`."""
        confidence = confidence_of(probabilities)
        return Judgement(probabilities, confidence, confidence >= (self.threshold if threshold is None else threshold))

    def accepts(self, probabilities: FloatArray, *, threshold: float | FloatArray | None = None) -> BoolArray:
        """Return ``(n,)``, True where the small model answers."""
        return self.judge(probabilities, threshold=threshold).accepted


@dataclass(frozen=True, slots=True)
class CalibrationData:
    """The labelled rows behind a policy, and how they were split.

    Attributes:
        n: All rows.
        n_calibration: Rows that fitted the calibration and ordered the thresholds.
        n_certification: Rows that were used for nothing but counting errors at those thresholds.
        certification_share: The share asked for.
        seed: Of the hash that splits; a row's part depends on its input and on the seed only.
        fingerprint: SHA-256 of all inputs and labels, in no particular order.
    """

    n: int
    n_calibration: int
    n_certification: int
    certification_share: float
    seed: int
    fingerprint: str


@dataclass(frozen=True, slots=True)
class ShuntPolicy:
    """A frozen rule for one small model: calibration, confidence score, threshold; and the evidence for it.

    Attributes:
        classes: All labels, in column order.
        threshold: In [0, 1], on the calibrated confidence; inputs at or above it are accepted.
        calibration: Applied to the small model's probabilities before anything else.
        confidence_score: What the threshold acts on.
        small_model_version: Identity of the small model; None for a policy that is tied to no model.
        pruning: What was learned for the large model's prompt and replies (`langchain_datashunt.learn_pruning`,
            `with_pruning`); None where nothing was.
        goal: What was asked, as plain JSON; None for a policy written by hand.
        certificate: What was certified; None where nothing was.
        data: The rows behind it; None for a policy written by hand.
        metrics: Measurements made while fitting, as plain JSON.
        created: ISO date of the fit.
        policy_id: Hash of what decides: all up to `pruning`. Two policies with one id decide alike.

    Example:
        >>> policy = ShuntPolicy(("negative", "positive"), threshold=0.9)  # by hand; `fit_policy` finds and certifies
        >>> policy.accepts(np.array([[0.05, 0.95], [0.6, 0.4]])).tolist()
        [True, False]
    """

    classes: tuple[str, ...]
    threshold: float
    calibration: Calibration = field(default_factory=NoCalibration)
    confidence_score: ConfidenceScore = "max_probability"
    small_model_version: str | None = None
    pruning: PruningFacts | None = None
    goal: Mapping[str, Any] | None = field(default=None, hash=False)
    certificate: Certificate | None = None
    data: CalibrationData | None = None
    metrics: Mapping[str, Any] | None = field(default=None, hash=False)
    created: str | None = None
    policy_id: str = field(init=False, compare=False)

    def __post_init__(self) -> None:
        """Refuse what cannot decide, and hash what decides."""
        object.__setattr__(self, "classes", _checked_classes(self.classes))
        object.__setattr__(self, "threshold", _checked_threshold(self.threshold))
        confidence_of(np.full((1, len(self.classes)), 1 / len(self.classes)), self.confidence_score)
        if self.pruning is not None:
            self.pruning.check(self.classes)
        object.__setattr__(self, "policy_id", record_hash(self._what_decides())[:16])

    @property
    def certified(self) -> bool:
        """Whether a certificate of accuracy stands behind `threshold`; one of the deferral rate says nothing of it."""
        return self.certificate is not None and self.certificate.quantity != "deferral_rate"

    @property
    def calibrated(self) -> bool:
        """Whether the probabilities are changed by a fitted calibration."""
        return not isinstance(self.calibration, NoCalibration)

    @property
    def candidate_rule(self) -> LearnedCandidates | None:
        """The learned rule for the candidates of deferred inputs; None where none was learned (see `PruningFacts`)."""
        return None if self.pruning is None else self.pruning.candidate_rule(self.classes)

    def judge(self, probabilities: FloatArray, *, threshold: float | FloatArray | None = None) -> Judgement:
        """Calibrate a batch, score it and apply the threshold.

        Args:
            probabilities: ``(n, k)`` as the small model gives them, columns in the order of `classes`.
            threshold: Instead of the policy's own, on the calibrated confidence: one for all or ``(n,)``.

        Returns:
            Calibrated probabilities, confidence and acceptance of each row.
        """
        calibrated = self.calibration.apply(probabilities)
        confidence = confidence_of(calibrated, self.confidence_score)
        return Judgement(calibrated, confidence, confidence >= (self.threshold if threshold is None else threshold))

    def accepts(self, probabilities: FloatArray, *, threshold: float | FloatArray | None = None) -> BoolArray:
        """Return ``(n,)``, True where the small model answers; arguments as for `judge`."""
        return self.judge(probabilities, threshold=threshold).accepted

    def with_pruning(self, **facts: Any) -> ShuntPolicy:
        """Return the policy with some of its `PruningFacts` replaced; the others stay.

        Args:
            **facts: Fields of `PruningFacts`, for example ``hints="none"``.

        Raises:
            PolicyError: There is no such fact, or it does not fit the classes.
        """
        known = {each.name for each in dataclass_fields(PruningFacts)}
        if unknown := sorted(set(facts) - known):
            raise PolicyError(f"a policy has the pruning facts {sorted(known)}; got {unknown}")
        return replace(self, pruning=replace(self.pruning or PruningFacts(), **facts))

    def check(self, classes: Sequence[str], small_model_version: str | None) -> None:
        """Refuse a small model that this policy was not fitted for.

        Raises:
            PolicyMismatchError: Other classes, another order of classes, or another identity of the model.
        """
        if tuple(classes) != self.classes:
            raise PolicyMismatchError(_classes_differ(self.classes, tuple(classes)))
        if self.small_model_version not in (None, small_model_version):
            raise PolicyMismatchError(
                f"policy {self.policy_id} was fitted for small model {self.small_model_version!r}, this one is "
                f"{small_model_version!r}: load that model, or fit a policy for this one with fit_policy"
            )

    def explain(self, prediction: Prediction) -> str:
        """Return one sentence that says why an input was accepted or deferred.

        Args:
            prediction: As it stands in the `Decision`: its confidence is calibrated.
        """
        accepted = prediction.confidence >= self.threshold
        verb = "accepted" if accepted else "deferred"
        relation = "at or above" if accepted else "below"
        sentence = (
            f"{verb}: the small model says {prediction.label!r} with confidence {prediction.confidence:.4f} "
            f"({self.confidence_score}, {self.calibration.kind} calibration), {relation} the threshold "
            f"{self.threshold:.4f}"
        )
        if self.certificate is None:
            return f"{sentence}, which no certificate stands behind"
        return f"{sentence}, {self.certificate.claim()}"

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON, with the format's name and version, the `policy_id` and a checksum of all."""
        record = {
            **self._what_decides(),
            "policy_id": self.policy_id,
            "goal": None if self.goal is None else dict(self.goal),
            "certificate": None if self.certificate is None else self.certificate.to_dict(),
            "data": None if self.data is None else asdict(self.data),
            "metrics": None if self.metrics is None else dict(self.metrics),
            "created": self.created,
        }
        return seal(record)

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> ShuntPolicy:
        """Rebuild a policy from `to_dict`.

        Raises:
            PolicyError: The record is no policy, is of another format version, or was changed.
        """
        fields = unseal(record)
        stored_id = fields.pop("policy_id", None)
        expected = {each.name for each in dataclass_fields(cls) if each.init}
        if set(fields) != expected:
            raise PolicyError(f"a policy has the fields {sorted(expected)}, found {sorted(fields)}")
        fields["calibration"] = calibration_from_dict(fields["calibration"])
        fields["pruning"] = None if fields["pruning"] is None else PruningFacts.from_dict(fields["pruning"])
        for name, kind in (("certificate", Certificate), ("data", CalibrationData)):
            fields[name] = None if fields[name] is None else read_record(kind, fields[name])
        policy = read_record(cls, fields)
        if policy.policy_id != stored_id:
            raise PolicyError(f"the policy says its id is {stored_id!r}, its content has {policy.policy_id!r}")
        return policy

    def save(self, path: str | Path) -> None:
        """Write the policy as UTF-8 JSON."""
        write_sealed(self.to_dict(), Path(path))

    @classmethod
    def load(cls, path: str | Path) -> ShuntPolicy:
        """Read a policy that `save` wrote.

        Raises:
            PolicyError: The file is no policy, is of another format version, or was changed.
        """
        return cls.from_dict(read_sealed(Path(path)))

    def _what_decides(self) -> dict[str, Any]:
        return {
            "classes": list(self.classes),
            "threshold": self.threshold,
            "calibration": self.calibration.to_dict(),
            "confidence_score": self.confidence_score,
            "small_model_version": self.small_model_version,
            "pruning": None if self.pruning is None else self.pruning.to_dict(),
        }


def require_policy(policy: Any) -> None:
    """Refuse what is no policy, such as the path of one.

    Raises:
        PolicyError: It is none.
    """
    if not isinstance(policy, ShuntPolicy):
        raise PolicyError(
            f"a policy is a ShuntPolicy, as fit_policy(...) and ShuntPolicy.load(path) return it; got "
            f"{type(policy).__name__} {policy!r:.80}"
        )


def _checked_classes(classes: Sequence[str]) -> tuple[str, ...]:
    if isinstance(classes, str) or not all(isinstance(label, str) for label in classes):
        raise PolicyError(f"classes must be a sequence of strings, got {classes!r}")
    if len(classes) < MIN_CLASSES or len(set(classes)) != len(classes):
        raise PolicyError(f"classes must be at least two different labels, got {list(classes)!r}")
    return tuple(classes)


def _checked_threshold(threshold: float) -> float:
    if isinstance(threshold, bool) or not isinstance(threshold, int | float | np.number) or not 0 <= threshold <= 1:
        raise PolicyError(f"a threshold must be a number in [0, 1], got {threshold!r}")
    return float(threshold)


def _classes_differ(expected: tuple[str, ...], got: tuple[str, ...]) -> str:
    if sorted(expected) == sorted(got):
        return f"the policy and the small model name the same classes in another order: {expected} and {got}"
    missing, unknown = sorted(set(expected) - set(got)), sorted(set(got) - set(expected))
    return (
        f"the policy was fitted for other classes: the small model lacks {missing} and adds {unknown}; "
        "fit a policy for this model with fit_policy"
    )
