"""One round of the learning loop: hard samples in, a candidate, a verdict, and a promotion where it is shown to pay."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from langchain_datashunt.distillation.distilling import Distillation, distill
from langchain_datashunt.distillation.lessons import records_of
from langchain_datashunt.distillation.promotion_gate import GateVerdict, PromotionGate
from langchain_datashunt.errors import DistillationError, RegistryError
from langchain_datashunt.registry.model_registry import ModelRegistry
from langchain_datashunt.registry.model_versions import ModelVersion, ServedVersion
from langchain_datashunt.registry.published_files import number_name, numbers_in, publish_file
from langchain_datashunt.types import HardSample

LoopStatus = Literal["promoted", "rejected", "undecided", "nothing to do"]

ATTEMPTS = "attempts"
MIN_NEW = 100
"""Default of `learn_once`: a candidate costs one look at the gate's rows, which a handful of samples is not worth."""

_STATUS: dict[str, LoopStatus] = {"promote": "promoted", "reject": "rejected", "undecided": "undecided"}


@dataclass(frozen=True, slots=True, eq=False)
class Candidate:
    """A student, what it was made of, and what the gate says of it.

    Attributes:
        serving: The version that it was distilled from and compared with.
        made: The student and its report.
        verdict: The gate's.
    """

    serving: ServedVersion
    made: Distillation
    verdict: GateVerdict

    def add_to(self, registry: ModelRegistry) -> ModelVersion:
        """Keep the student with the policy that the gate fitted for it; it does not serve yet.

        The card has counts and figures, and no input.

        Raises:
            RegistryError: The gate could certify no policy for it.
        """
        if self.verdict.policy is None:
            raise RegistryError(f"a version needs a policy, and none could be certified: {self.verdict.reason}")
        report = self.made.report
        verdict = {name: value for name, value in self.verdict.to_dict().items() if name != "policy"}
        return registry.add(
            self.made.student,
            self.verdict.policy,
            parents=[self.serving.number],
            data=report.counts,
            metrics={"gate": verdict, "settings": dict(report.settings), "training": dict(report.training)},
        )


@dataclass(frozen=True, slots=True, eq=False)
class LoopOutcome:
    """What a round came to.

    Attributes:
        status: ``promoted``, or why the old version serves on.
        reason: In a sentence.
        serving: The version that served when the round began.
        version: The promoted version; None where none was.
        new_samples: Records to train on that had come since the round before.
        candidate: The student with its verdict; None where there was nothing to do.
    """

    status: LoopStatus
    reason: str
    serving: int
    version: int | None
    new_samples: int
    candidate: Candidate | None

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON, without inputs."""
        record: dict[str, Any] = {
            "status": self.status,
            "reason": self.reason,
            "serving": self.serving,
            "version": self.version,
            "new_samples": self.new_samples,
        }
        if self.candidate is not None:
            record["counts"] = dict(self.candidate.made.report.counts)
            record["numbers"] = self.candidate.verdict.numbers
            record["rows_needed"] = self.candidate.verdict.rows_needed
        return record


def make_candidate(
    registry: ModelRegistry, samples: Iterable[HardSample], gate: PromotionGate, **distillation: Any
) -> Candidate:
    """Distil a student from the promoted version, and let the gate judge it; nothing is kept or promoted.

    Args:
        registry: Its promoted version is the parent.
        samples: Hard samples, such as ``store.iter_samples()``.
        gate: Its rows never train.
        **distillation: Further arguments of `distill`.

    Raises:
        RegistryError: No version is promoted.
        DistillationError: There is nothing to learn from, or the model cannot be trained.
    """
    promoted = registry.promoted()
    if promoted is None:
        raise RegistryError("no version is promoted, so there is none to distil from: add one, and promote it")
    serving = registry.load(promoted.version)
    made = distill(serving.small, samples, policy=serving.policy, held_out=gate.inputs, **distillation)
    return Candidate(serving, made, gate.judge(made.student, serving.small, serving.policy))


def learn_once(
    registry: ModelRegistry,
    samples: Iterable[HardSample],
    gate: PromotionGate,
    *,
    min_new: int = MIN_NEW,
    **distillation: Any,
) -> LoopOutcome:
    """Do one round: distil, judge, and promote the student if the gate says so.

    The registry's journal of attempts remembers how far the round before has read the samples, whatever became of it. A
    promotion goes through only while the version that the student was compared with still serves; two rounds at once
    promote at most one. A round that is killed before it promotes leaves the old version serving; the next one begins
    anew, and where the student is the same one, that is the same look at the gate's rows.

    Args:
        registry: Its promoted version is the parent.
        samples: Hard samples, such as ``store.iter_samples()``: all of them, not only the new ones.
        gate: Its rows never train.
        min_new: Fewer new records to train on than this are nothing to do.
        **distillation: Further arguments of `distill`, such as ``replay=`` and ``gold=``.

    Raises:
        RegistryError: No version is promoted, or another one was meanwhile.
        DistillationError: The model cannot be trained, or an argument is of another kind.

    Example:
        .. code-block:: python

            outcome = learn_once(registry, store.iter_samples(), gate, replay=texts, gold=(texts, labels))
            if outcome.status == "promoted":
                serving.reload()
    """
    for name, given, kind in (("registry", registry, ModelRegistry), ("gate", gate, PromotionGate)):
        if not isinstance(given, kind):
            raise DistillationError(f"learn_once(registry, samples, gate): {name} is no {kind.__name__}: {given!r:.80}")
    listed = records_of(samples)
    before = _last_attempt(registry)
    trainable = [sample for sample in listed if sample.target is not None]
    new = sum(before is None or _arrival(sample) > before["newest"] for sample in trainable)
    promoted = registry.promoted()
    if promoted is not None and (new < min_new or not trainable):
        reason = f"{new} new records to train on; a round begins with {max(min_new, 1)}"
        return LoopOutcome("nothing to do", reason, promoted.version, None, new, None)
    candidate = make_candidate(registry, listed, gate, **distillation)
    version = None
    if candidate.verdict.decision == "promote":
        version = candidate.add_to(registry).number
        registry.promote(version, replacing=candidate.serving.number, reason=candidate.verdict.reason)
    outcome = LoopOutcome(
        status=_STATUS[candidate.verdict.decision],
        reason=candidate.verdict.reason,
        serving=candidate.serving.number,
        version=version,
        new_samples=new,
        candidate=candidate,
    )
    _note_attempt(registry, {**outcome.to_dict(), "newest": max(map(_arrival, trainable))})
    return outcome


def attempts(registry: ModelRegistry) -> list[dict[str, Any]]:
    """Return what earlier rounds came to, the oldest first."""
    folder = registry.folder / ATTEMPTS
    return [_read_attempt(registry, number) for number in numbers_in(folder)]


def _arrival(sample: HardSample) -> float:
    return sample.created_at if sample.first_seen is None else sample.first_seen


def _last_attempt(registry: ModelRegistry) -> dict[str, Any] | None:
    numbers: Sequence[int] = numbers_in(registry.folder / ATTEMPTS)
    return _read_attempt(registry, numbers[-1]) if numbers else None


def _read_attempt(registry: ModelRegistry, number: int) -> dict[str, Any]:
    file = registry.folder / ATTEMPTS / f"{number_name(number)}.json"
    try:
        record = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise RegistryError(f"{file} is no JSON: {error}") from error
    if not isinstance(record, dict) or not isinstance(record.get("newest"), int | float):
        raise RegistryError(f"{file} is no attempt of the learning loop: it does not say how far it has read")
    return record


def _note_attempt(registry: ModelRegistry, record: dict[str, Any]) -> None:
    folder = registry.folder / ATTEMPTS
    content = (json.dumps(record, indent=2) + "\n").encode()
    number = max(numbers_in(folder), default=0) + 1
    while not publish_file(content, folder / f"{number_name(number)}.json"):
        number += 1  # another round was faster
