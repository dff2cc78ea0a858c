"""Hard samples, replay inputs and gold rows, sorted into the two stages of 2CD."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from langchain_datashunt.distillation.stages import Lessons, Stage, joined
from langchain_datashunt.distillation.teacher_answers import TeacherAnswer, certain, teacher_answer
from langchain_datashunt.errors import CalibrationDataError, DistillationError
from langchain_datashunt.policy.shunt_policy import ShuntPolicy
from langchain_datashunt.policy.splitting import hash_inputs
from langchain_datashunt.small_models import class_names, probability_rows, version_of
from langchain_datashunt.targets import target_columns
from langchain_datashunt.types import HardSample, SmallModel

COUNTED = (
    *("acquire", "gold", "retain", "suspected", "below_gate", "unusable", "unknown_labels", "beaten_by_gold"),
    *("held_out", "unsure_replay"),
)
"""Keys of `Lessons.counts`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LessonRules:
    """How lessons are made: the arguments of `distill` of the same names."""

    teacher_prior: float
    min_teacher_confidence: float
    soft_labels: bool
    retain_weight: float

    def __post_init__(self) -> None:
        """Refuse numbers out of range."""
        if not 0 < self.teacher_prior <= 1:
            raise DistillationError(f"teacher_prior must lie in (0, 1], got {self.teacher_prior!r}")
        if not 0 <= self.min_teacher_confidence <= 1:
            raise DistillationError(f"min_teacher_confidence must lie in [0, 1], got {self.min_teacher_confidence!r}")
        if not 0 <= self.retain_weight < np.inf:
            raise DistillationError(f"retain_weight must be finite and at least 0, got {self.retain_weight!r}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Material:
    """What lessons are made of: the arguments of `distill` of the same names."""

    samples: Iterable[HardSample]
    policy: ShuntPolicy | None = None
    replay: Sequence[Any] = ()
    gold: tuple[Sequence[Any], Sequence[Any]] | None = None
    held_out: Sequence[Any] = ()


def make_lessons(small: SmallModel, material: Material, rules: LessonRules) -> Lessons:
    """Sort what there is into the two stages.

    An audit on which the teacher agrees with the frozen model is an easy sample and goes to *retain*; one on which they
    disagree is the rare sight of a confident mistake, and goes to *acquire*, as every other sample with a label does.
    Rows weigh the inverse of their sampling probability; in *acquire* times the teacher's confidence. All of *retain*
    weighs at most as much as all of *acquire*, before screening, and `LessonRules.retain_weight` times that.

    Raises:
        DistillationError: The samples are no records, or nothing is left to acquire.
        CalibrationDataError: A gold label is none of the classes.
        PolicyMismatchError: The policy is not that of the frozen model.
    """
    classes = class_names(small)
    if material.policy is not None:
        material.policy.check(classes, version_of(small))
    counts: Counter[str] = Counter(dict.fromkeys(COUNTED, 0))
    samples = records_of(material.samples)
    reading = _Reading(classes, rules, counts, set(_reading_keys(material.held_out)))
    golden = reading.gold_rows(material.gold, samples)
    hard = reading.teacher_rows(samples, set(_keys([row.input for row in golden])))
    acquire, agreeing = _by_agreement(small, [*golden, *hard], len(classes))
    if not len(acquire):
        raise DistillationError(
            f"nothing is left to learn from: {dict(counts)}; a sample trains with a language model's complete and "
            "valid answer of enough confidence, or with a gold label"
        )
    known = {*_keys(acquire.inputs), *_keys(agreeing.inputs)}
    easy = _easy_replay(small, material.policy, reading.unlabelled(material.replay, known), counts)
    retain = _balanced(joined([agreeing, easy]), float(acquire.weights.sum()), rules.retain_weight)
    if not rules.soft_labels:
        acquire, retain = acquire.hardened(), retain.hardened()
    n_gold = int(acquire.gold.sum())
    counts.update(acquire=len(acquire) - n_gold, gold=n_gold, retain=len(retain))
    return Lessons(classes, acquire, retain, counts)


def records_of(samples: Iterable[HardSample]) -> list[HardSample]:
    """Return the records of a log.

    Raises:
        DistillationError: These are none, but texts or the log itself.
    """
    found = list(samples) if isinstance(samples, Iterable) else [samples]
    for each in found:
        if not isinstance(each, HardSample):
            raise DistillationError(
                f"samples are HardSample records, as store.iter_samples() yields them; got {type(each).__name__}"
            )
    return found


class _Row(NamedTuple):
    input: Any
    answer: TeacherAnswer
    weight: float
    id: str = ""
    gold: bool = False
    audit: bool = False


class _Reading:
    """Reads records and gold rows, and counts what it leaves out."""

    def __init__(self, classes: tuple[str, ...], rules: LessonRules, counts: Counter[str], held_out: set[int]) -> None:
        self.classes = classes
        self.columns = {label: column for column, label in enumerate(classes)}
        self.rules = rules
        self.counts = counts
        self.held_out = held_out

    def gold_rows(self, gold: tuple[Sequence[Any], Sequence[Any]] | None, samples: Sequence[HardSample]) -> list[_Row]:
        """Return the rows whose label is a person's, one an input; those of `gold` before those of records."""
        if gold is not None and len(gold) != 2:  # noqa: PLR2004  a pair
            raise CalibrationDataError(f"gold is a pair of columns, gold=(inputs, labels); got {len(gold)} entries")
        inputs, labels = ((), ()) if gold is None else gold
        if len(inputs) != len(labels):
            raise CalibrationDataError(f"each gold input needs one label: got {len(inputs)} and {len(labels)}")
        width = len(self.classes)
        rows = [
            _Row(given, certain(column, width), 1.0, gold=True)
            for given, column in zip(inputs, target_columns(labels, self.classes), strict=True)
        ]
        labelled = [each for each in samples if each.gold is not None and each.input is not None]
        unknown = [each for each in labelled if each.gold not in self.columns]
        self.counts["unknown_labels"] += len(unknown)
        rows += [
            _Row(each.input, certain(self.columns[each.gold], width), _inverse(each), each.id, gold=True)
            for each in labelled
            if each.gold in self.columns
        ]
        return _first_of_each(self._not_held_out(rows))

    def teacher_rows(self, samples: Sequence[HardSample], beaten: set[int]) -> list[_Row]:
        """Return the rows whose label is the teacher's, on inputs that are not `beaten` by a gold label."""
        unlabelled = [each for each in samples if each.gold is None]
        rows = [row for each in unlabelled if (row := self._teacher_row(each)) is not None]
        kept = self._not_held_out(rows)
        best = [row for row, key in zip(kept, _keys([row.input for row in kept]), strict=True) if key not in beaten]
        self.counts["beaten_by_gold"] += len(kept) - len(best)
        return best

    def unlabelled(self, replay: Sequence[Any], known: set[int]) -> list[Any]:
        """Return the replay inputs of which no label is known, each once."""
        keys = zip(_keys(replay), _reading_keys(replay), replay, strict=True)
        return list({key: each for key, alike, each in keys if not (key in known or alike in self.held_out)}.values())

    def _teacher_row(self, sample: HardSample) -> _Row | None:
        if sample.input is None or not sample.trainable:
            self.counts["unusable"] += 1
            return None
        answer = teacher_answer(sample, self.columns, self.rules.teacher_prior)
        if answer is None:
            self.counts["unknown_labels"] += 1
            return None
        if answer.confidence < self.rules.min_teacher_confidence:
            self.counts["below_gate"] += 1
            return None
        return _Row(sample.input, answer, _inverse(sample), sample.id, audit=sample.route == "audit")

    def _not_held_out(self, rows: list[_Row]) -> list[_Row]:
        keys = _reading_keys([row.input for row in rows])
        kept = [row for row, key in zip(rows, keys, strict=True) if key not in self.held_out]
        self.counts["held_out"] += len(rows) - len(kept)
        return kept


def _by_agreement(small: SmallModel, rows: Sequence[_Row], width: int) -> tuple[Stage, Stage]:
    """Return the stage to acquire, and the audits on which teacher and frozen model agree, as a stage to retain."""
    acquire = _taught([row for row in rows if not row.audit], width)
    audits = _taught([row for row in rows if row.audit], width)
    frozen = _frozen_answers(small, audits.inputs)
    agree = frozen.argmax(axis=1) == audits.targets.argmax(axis=1)
    inverse = audits.weights / np.maximum(audits.confidence, np.finfo(float).tiny)
    retained = Stage(audits.inputs, frozen, inverse, audits.ids, frozen.max(axis=1, initial=0.0), audits.gold)
    return joined([acquire, audits.where(~agree)]), retained.where(agree)


def _taught(rows: Sequence[_Row], width: int) -> Stage:
    confidence = np.array([row.answer.confidence for row in rows])
    return Stage(
        [row.input for row in rows],
        np.array([row.answer.distribution for row in rows]).reshape(len(rows), width),
        np.array([row.weight for row in rows]) * confidence,
        [row.id for row in rows],
        confidence,
        np.array([row.gold for row in rows], dtype=np.bool_),
    )


def _easy_replay(small: SmallModel, policy: ShuntPolicy | None, inputs: list[Any], counts: Counter[str]) -> Stage:
    """Return the replay inputs that the policy accepts."""
    frozen = _frozen_answers(small, inputs)
    easy = np.ones(len(inputs), dtype=np.bool_) if policy is None or not inputs else policy.accepts(frozen)
    counts["unsure_replay"] += int((~easy).sum())
    n = len(inputs)
    confidence = frozen.max(axis=1, initial=0.0)
    return Stage(inputs, frozen, np.ones(n), [""] * n, confidence, np.zeros(n, dtype=np.bool_)).where(easy)


def _balanced(retain: Stage, acquired: float, retain_weight: float) -> Stage:
    if retain_weight == 0:
        return retain.where(np.zeros(len(retain), dtype=np.bool_))
    total = float(retain.weights.sum())
    return retain.weighing(retain.weights * retain_weight * min(1.0, acquired / total if total else 1.0))


def _frozen_answers(small: SmallModel, inputs: list[Any]) -> Any:
    classes = class_names(small)
    answers = small.predict_proba(inputs) if inputs else np.zeros((0, len(classes)))
    return probability_rows(answers, len(inputs), classes)


def _first_of_each(rows: list[_Row]) -> list[_Row]:
    keys = _keys([row.input for row in rows])
    return list(dict(zip(reversed(keys), reversed(rows), strict=True)).values())[::-1]


def _keys(inputs: Sequence[Any]) -> list[int]:
    """Return what equal inputs share."""
    return [int(key) for key in hash_inputs(inputs, seed=0)]


def _reading_keys(inputs: Sequence[Any]) -> list[int]:
    """Return what inputs share that read the same: texts whatever their case, their spaces and their forms of letters.

    A copy of a gate's row that was trimmed on its way into a log tells a student as much as the row itself.
    """
    return _keys([_as_read(each) if isinstance(each, str) else each for each in inputs])


def _as_read(text: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def _inverse(sample: HardSample) -> float:
    return 1.0 / sample.sampling_probability
