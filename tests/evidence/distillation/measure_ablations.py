"""What each part of 2CD is good for: IMDB, one distillation from 3,500 requests, parts taken out one at a time.

The teacher is a committee of the two recorded models, whose votes stand for self-consistency votes.

Run: ``python -m tests.evidence.distillation.measure_ablations``, some minutes on one CPU core.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from langchain_datashunt.distillation.distilling import distill
from langchain_datashunt.distillation.promotion_gate import PromotionGate
from langchain_datashunt.policy.goals import TargetRisk
from langchain_datashunt.types import BoolArray, FloatArray, HardSample
from tests.evidence.distillation.learning_streams import (
    RISK,
    Parts,
    Score,
    Served,
    count_words,
    hard_samples,
    seeds_to_measure,
    served_with,
    spread,
    t_interval,
    unfitted_model,
)
from tests.evidence.recorded.recorded_rows import Rows, recorded_folder

SECOND_MODEL = "llama-2-70b-chat"

VARIANTS: dict[str, dict[str, Any]] = {
    "2CD": {},
    "without retain": {"retain_weight": 0.0},
    "retain at a tenth of the weight": {"retain_weight": 0.1},
    "hard labels": {"soft_labels": False},
    "without the gate on confidence": {"min_teacher_confidence": 0.0},
    "without screening": {"screen": False},
    "without gold rows": {"gold": None},
    "without gold rows and retain": {"gold": None, "retain_weight": 0.0},
}


@dataclass(frozen=True)
class Ablation:
    """A student on test rows, apart by whether the serving model accepted them."""

    variant: str
    easy: float
    hard: float
    nll: float
    score: Score


def ablations_of_one_seed(folder: Path, seed: int) -> list[Ablation]:
    """Return the serving model and the students of all variants."""
    parts = Parts.of(folder, seed)
    count_words(parts)
    with tempfile.TemporaryDirectory() as scratch:
        labels = parts.gate.labels.tolist()
        gate = PromotionGate(parts.gate.texts, labels, goal=TargetRisk(RISK), ledger=Path(scratch, "gate.json"))
        start = served_with(gate, unfitted_model().fit(parts.gold.texts, parts.gold.labels))
        samples = votes(parts.stream.at(np.flatnonzero(~start.accepts(parts.stream.texts))))
        easy = start.accepts(parts.test.texts)
        found = [_ablation("before", start, parts.test, easy)]
        for variant, settings in VARIANTS.items():
            given: dict[str, Any] = {"gold": (parts.gold.texts, parts.gold.labels.tolist()), **settings}
            made = distill(start.small, samples, policy=start.policy, replay=parts.stream.texts, **given)
            print(f"  {variant}: {made.report.counts}", flush=True)
            found.append(_ablation(variant, served_with(gate, made.student), parts.test, easy))
    return found


def votes(rows: Rows) -> list[HardSample]:
    """The records of requests that both recorded models answered, as if one had been asked twice."""
    second = rows.answers(SECOND_MODEL)
    return [
        replace(sample, answers=Counter(vote for vote in (sample.label, other) if vote is not None))
        for sample, other in zip(hard_samples(rows), second, strict=True)
    ]


def _ablation(variant: str, served: Served, test: Rows, easy: BoolArray) -> Ablation:
    probabilities = served.small.predict_proba(test.texts)
    columns = np.searchsorted(served.small.classes_, test.labels)
    right = probabilities.argmax(axis=1) == columns
    nll = -np.log(probabilities[np.arange(len(columns)), columns]).mean()
    return Ablation(variant, float(right[easy].mean()), float(right[~easy].mean()), float(nll), Score.of(served, test))


def print_ablations(by_seed: Sequence[Sequence[Ablation]]) -> None:
    """Print means over seeds, and the 95 % t intervals of changes: from before, and from all of 2CD."""
    print(
        "\n| student | easy | change from before | hard | NLL | its change from 2CD | deferral | its change from 2CD |"
    )
    print("|---|---|---|---|---|---|---|---|")
    before, full = by_seed[0][0].variant, next(iter(VARIANTS))
    for variant in [each.variant for each in by_seed[0]]:
        found, start, whole = (_over_seeds(by_seed, name) for name in (variant, before, full))
        print(
            f"| {variant} | {found['easy'].mean():.3f} | {t_interval(found['easy'] - start['easy'])} "
            f"| {found['hard'].mean():.3f} | {found['nll'].mean():.3f} | {t_interval(found['nll'] - whole['nll'])} "
            f"| {spread(found['deferral'])} | {t_interval(found['deferral'] - whole['deferral'])} |"
        )
    for kept, forgotten in (("2CD", "without retain"), ("without gold rows", "without gold rows and retain")):
        gain = _over_seeds(by_seed, kept)["easy"] - _over_seeds(by_seed, forgotten)["easy"]
        print(f"accuracy on easy rows, {kept} less {forgotten}: {t_interval(gain)}")


def _over_seeds(by_seed: Sequence[Sequence[Ablation]], variant: str) -> dict[str, FloatArray]:
    found = [each for seed in by_seed for each in seed if each.variant == variant]
    numbers = {name: np.array([getattr(each, name) for each in found]) for name in ("easy", "hard", "nll")}
    return {**numbers, "deferral": np.array([each.score.deferral for each in found])}


if __name__ == "__main__":
    print_ablations([ablations_of_one_seed(recorded_folder(), seed) for seed in seeds_to_measure()])
