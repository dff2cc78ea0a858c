"""banking77: a MiniLM of ten labels a class learns from what GPT-4 answered to the dev rows that it deferred.

Run: ``python -m tests.evidence.distillation.measure_banking77_student``, about twenty minutes a seed on one CPU core.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from langchain_datashunt.distillation.distilling import distill
from langchain_datashunt.distillation.paired_tests import PairedChange
from langchain_datashunt.distillation.promotion_gate import GateVerdict, PromotionGate
from langchain_datashunt.distillation.transformers_training import TransformersTraining
from langchain_datashunt.policy.goals import TargetRisk
from langchain_datashunt.small_models import TransformersClassifier
from langchain_datashunt.small_models.folders import model_folder
from langchain_datashunt.small_models.sentence_encoder import EMBEDDED_ENCODER
from langchain_datashunt.types import BoolArray
from tests.evidence.distillation.learning_streams import Parts, Served, hard_samples, seeds_to_measure, served_with
from tests.evidence.recorded.measure_banking77 import LARGE_MODEL, few_labels
from tests.evidence.recorded.recorded_rows import Rows, read_rows, recorded_folder

GATE = 3_000
RISK = 0.1
STREAM = 700
"""Of the 1,001 dev rows. The others score the system; further train rows, which have no answers, score the models."""

FIRST_EPOCHS, EPOCHS = 16, 8
TEACHER_PRIOR = 0.8
NAIVE = {"hard samples only": False, "gold and hard samples": True}
"""Ways of learning with hard labels and nothing of 2CD, by whether they have the gold rows."""


@dataclass(frozen=True)
class AnsweredParts(Parts):
    """The rows of one seed: none is in two parts; `test` has no answers of the large model, and what follows has."""

    answered_test: Rows

    @classmethod
    def of(cls, folder: Path, seed: int) -> AnsweredParts:
        dev = read_rows(folder, "banking77", "dev")
        train = read_rows(folder, "banking77", "train").without(dev.texts)
        gold = few_labels(train, seed)
        rest = train.without(gold.texts)
        rng = np.random.default_rng(seed)
        order, requests = rng.permutation(len(rest)), rng.permutation(len(dev))
        return cls(
            gold=gold,
            gate=rest.at(order[:GATE]),
            stream=dev.at(requests[:STREAM]),
            test=rest.at(order[GATE:]),
            answered_test=dev.at(requests[STREAM:]),
        )


@dataclass(frozen=True)
class Score:
    """What a model with a policy of its own does on rows that had no part in either."""

    right: BoolArray
    accepted: BoolArray
    system_right: BoolArray

    @property
    def selective_risk(self) -> float:
        return float((~self.right[self.accepted]).mean()) if self.accepted.any() else 0.0

    @classmethod
    def of(cls, served: Served, parts: AnsweredParts) -> Score:
        right, accepted = _answers(served, parts.test)
        small_right, kept = _answers(served, parts.answered_test)
        large_right = np.array(parts.answered_test.answers(LARGE_MODEL), dtype=object) == parts.answered_test.labels
        return cls(right, accepted, np.where(kept, small_right, large_right))


@dataclass(frozen=True)
class Measured:
    """A model's score, and what the gate says of it; the serving model has no verdict."""

    score: Score
    verdict: GateVerdict | None = None


def measure(
    folder: Path, seed: int, scratch: Path, *, scored: int | None = None, naive: Iterable[str] = NAIVE
) -> dict[str, Measured]:
    """Fine-tune on ten labels a class, serve the stream, learn from it, and return what came of each way of learning.

    Fewer rows are scored, and fewer naive ways are taken, where that is asked for.
    """
    parts = AnsweredParts.of(folder, seed)
    parts = replace(parts, test=parts.test.at(np.arange(len(parts.test))[:scored]))
    gold = (parts.gold.texts, parts.gold.labels.tolist())
    gate = PromotionGate(
        parts.gate.texts, parts.gate.labels.tolist(), goal=TargetRisk(RISK), ledger=scratch / "gate.json"
    )
    untrained = untrained_minilm(scratch / "untrained", sorted(set(parts.gold.labels)), seed)
    first = _training(scratch / "serving", FIRST_EPOCHS, validation_share=0.0)
    serving = distill(untrained, [], gold=gold, screen=False, training=first, seed=seed).student
    served = served_with(gate, serving)
    found = {"serving": Measured(Score.of(served, parts))}
    hard = parts.stream.at(np.flatnonzero(~served.accepts(parts.stream.texts)))
    samples = hard_samples(hard, LARGE_MODEL)
    teacher_right = np.array(hard.answers(LARGE_MODEL), dtype=object) == hard.labels
    print(f"{len(hard)} of {STREAM} requests deferred; the teacher is right on {teacher_right.mean():.3f} of them")

    def learn(name: str, **settings: Any) -> None:
        made = distill(serving, samples, seed=seed, **settings)
        verdict = gate.judge(made.student, serving, served.policy)
        print(f"{name}: {dict(made.report.counts)}, {made.report.seconds:.0f} s; {verdict}", flush=True)
        found[name] = Measured(Score.of(served_with(gate, made.student), parts), verdict)

    learn(
        "2CD",
        policy=served.policy,
        replay=parts.stream.texts,
        gold=gold,
        held_out=gate.inputs,
        teacher_prior=TEACHER_PRIOR,
        training=_training(scratch / "student", EPOCHS),
    )
    for name in naive:
        learn(
            name,
            gold=gold if NAIVE[name] else None,
            teacher_prior=1.0,
            retain_weight=0.0,
            soft_labels=False,
            screen=False,
            training=_training(scratch / name.replace(" ", "-"), EPOCHS, validation_share=0.0),
        )
    return found


def untrained_minilm(folder: Path, labels: Sequence[str], seed: int) -> TransformersClassifier:
    """All-MiniLM-L6-v2 with a fresh classification head, drawn by the seed."""
    torch.manual_seed(seed)
    source = model_folder(EMBEDDED_ENCODER, None)
    names = {column: str(label) for column, label in enumerate(labels)}
    network = AutoModelForSequenceClassification.from_pretrained(source, num_labels=len(labels), id2label=names)
    network.save_pretrained(folder)
    AutoTokenizer.from_pretrained(source).save_pretrained(folder)
    return TransformersClassifier(folder, max_length=64)


def print_scores(found: dict[str, Measured]) -> None:
    """Print each way of learning, with the paired changes from the serving model and their 95 % intervals."""
    start = found["serving"].score
    for name, score in ((name, each.score) for name, each in found.items()):
        accuracy, deferral = (
            PairedChange.of(getattr(score, what), getattr(start, what), 0.025) for what in ("right", "accepted")
        )
        print(
            f"| {name} | {score.right.mean():.3f} | {_with_interval(accuracy)} | {1 - score.accepted.mean():.3f} "
            f"| {_with_interval(deferral, sign=-1)} | {score.selective_risk:.3f} "
            f"| {score.system_right.mean():.3f} |",
            flush=True,
        )


def _training(folder: Path, epochs: int, **settings: Any) -> TransformersTraining:
    return TransformersTraining(folder, epochs=epochs, learning_rate=2e-4, **settings)


def _answers(served: Served, rows: Rows) -> tuple[BoolArray, BoolArray]:
    """Return whether the small model is right, and whether its answer is accepted."""
    answers = served.small.predict_proba(rows.texts)
    return np.asarray(served.small.classes_)[answers.argmax(axis=1)] == rows.labels, served.accepts(rows.texts)


def _with_interval(change: PairedChange, sign: int = 1) -> str:
    low, high = sorted(sign * end for end in change.interval)
    return f"{sign * change.change:+.3f} ({low:+.3f} to {high:+.3f})"


if __name__ == "__main__":
    for _seed in seeds_to_measure():
        with tempfile.TemporaryDirectory() as _place:
            print_scores(measure(recorded_folder(), _seed, Path(_place)))
