"""`distill`: the one door that makes a student of a serving model and its hard samples."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from langchain_datashunt.distillation.lessons import LessonRules, Material, make_lessons
from langchain_datashunt.distillation.screening import SuspectedError, suspect_labels
from langchain_datashunt.distillation.stages import Lessons
from langchain_datashunt.distillation.students import Progress, Student, student_of
from langchain_datashunt.distillation.transformers_training import TransformersTraining
from langchain_datashunt.policy.shunt_policy import ShuntPolicy
from langchain_datashunt.small_models import version_of
from langchain_datashunt.types import HardSample, SmallModel


@dataclass(frozen=True, slots=True)
class DistillationReport:
    """What a student was made of.

    Attributes:
        parent_version: Identity of the serving model; None where unknown.
        student_version: Of the student.
        counts: Rows that trained (``acquire``, ``gold``, ``retain``) and what was left out: ``suspected`` teacher
            errors, ``below_gate`` (teacher too unsure), ``unusable`` (incomplete, not a language model's, or without
            an input), ``unknown_labels`` (none of the classes), ``beaten_by_gold``, ``held_out``, ``unsure_replay``.
        suspected: The suspected teacher errors, one by one: label these by hand first.
        settings: The arguments of `distill` that shape the student.
        training: What the trainer says of itself; empty for students that are fitted in one go.
        seconds: It took.
    """

    parent_version: str | None
    student_version: str | None
    counts: Mapping[str, int]
    suspected: tuple[SuspectedError, ...]
    settings: Mapping[str, Any]
    training: Mapping[str, Any]
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON, if the inputs are."""
        return asdict(self)


@dataclass(frozen=True, slots=True, eq=False)
class Distillation:
    """A student and what it was made of.

    Attributes:
        student: A small model of the kind of the serving one; a candidate until a `PromotionGate` promotes it.
        report: What it was made of.
    """

    student: Any
    report: DistillationReport


def distill(
    small: SmallModel,
    samples: Iterable[HardSample],
    *,
    policy: ShuntPolicy | None = None,
    replay: Sequence[Any] = (),
    gold: tuple[Sequence[Any], Sequence[Any]] | None = None,
    held_out: Sequence[Any] = (),
    teacher_prior: float = 0.9,
    min_teacher_confidence: float = 0.5,
    soft_labels: bool = True,
    retain_weight: float = 1.0,
    screen: bool = True,
    training: TransformersTraining | None = None,
    progress: Progress | None = None,
    seed: int = 0,
) -> Distillation:
    """Train a student by two-stage confidence distillation (2CD; Chen et al. 2024, "Data Shunt+", arXiv 2406.15471).

    *Acquire*: the student learns what the teacher answered to hard samples, weighted by the teacher's confidence; gold
    labels beat the teacher's. *Retain*: on easy inputs it keeps the distribution of the serving model, which stays
    frozen. Both losses are cross-entropies to a distribution, that is Kullback-Leibler divergences but for a constant.
    Rows weigh the inverse of their sampling probability, so that audits stand for all the traffic they were drawn from.

    The student is a candidate and no more: `PromotionGate` says whether it may serve. It needs a policy of its own.

    Args:
        small: The serving model: a scikit-learn classifier or pipeline, an `EmbeddingClassifier`, or a
            `TransformersClassifier`. It is not changed.
        samples: Hard samples, such as ``store.iter_samples()``. What cannot train is left out and counted.
        policy: The serving policy: replay inputs that it would defer teach nothing. None keeps them all.
        replay: Unlabelled inputs for *retain*. Without any, and without audits, nothing keeps the student from
            forgetting but its start (scikit-learn students have not even that).
        gold: Inputs and true labels, for example the rows that trained `small`.
        held_out: Inputs that must never train, such as those of the gate; nor do texts that differ from one of them in
            case, space or Unicode form only.
        teacher_prior: Confidence in a teacher's reply that says nothing of its own, in (0, 1]: about how often your
            large model is right on hard samples.
        min_teacher_confidence: Replies of less confidence teach nothing, in [0, 1].
        soft_labels: Learn distributions, the teacher's where it is known and the frozen model's own; False learns their
            most probable labels.
        retain_weight: Weight of all of *retain* against all of *acquire*, at least 0; 0 leaves it out. Less than 1 may
            be better where many gold rows are given, and is worse where none are (docs/distillation.md).
        screen: Leave suspected teacher errors out, and list them; see `suspect_labels`.
        training: How to train a `TransformersClassifier`, and where the student is written.
        progress: Is told how far it is.
        seed: Of everything random.

    Raises:
        DistillationError: The samples are no records, nothing is left to learn from, a class would be lost, or the
            model cannot be trained.
        CalibrationDataError: A gold label is none of the classes.
        PolicyMismatchError: The policy is not the serving model's.
        MissingExtraError: scikit-learn, SciPy or transformers is not installed.

    Example:
        .. code-block:: python

            made = distill(small, store.iter_samples(), policy=policy, replay=texts, held_out=gate.inputs)
            verdict = gate.judge(made.student, small, policy)
    """
    started = time.perf_counter()
    rules = LessonRules(
        teacher_prior=teacher_prior,
        min_teacher_confidence=min_teacher_confidence,
        soft_labels=soft_labels,
        retain_weight=retain_weight,
    )
    learner = student_of(small, training, progress, seed)
    material = Material(samples=samples, policy=policy, replay=replay, gold=gold, held_out=held_out)
    lessons = make_lessons(small, material, rules)
    suspected: tuple[SuspectedError, ...] = ()
    if screen:
        lessons, suspected = _screened(lessons, learner)
    student, facts = learner.fit(lessons)
    report = DistillationReport(
        parent_version=version_of(small),
        student_version=version_of(student),
        counts=dict(lessons.counts),
        suspected=suspected,
        settings={**asdict(rules), "screen": screen, "seed": seed},
        training=facts,
        seconds=time.perf_counter() - started,
    )
    return Distillation(student, report)


def _screened(lessons: Lessons, learner: Student) -> tuple[Lessons, tuple[SuspectedError, ...]]:
    found = suspect_labels(lessons.acquire, lessons.retain, lessons.classes, learner.fit_to_screen)
    kept = np.ones(len(lessons.acquire), dtype=np.bool_)
    kept[[row for row, _ in found]] = False
    counts = {**lessons.counts, "suspected": len(found), "acquire": lessons.counts["acquire"] - len(found)}
    return replace(lessons, acquire=lessons.acquire.where(kept), counts=counts), tuple(error for _, error in found)
