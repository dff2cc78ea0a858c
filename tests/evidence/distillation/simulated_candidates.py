"""Candidates that are no better than the serving model, drawn from a known population, and how often a gate is fooled.

Run: ``python -m tests.evidence.distillation.simulated_candidates``, some minutes on one CPU core; with numbers (0 for
the first), only those settings.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from langchain_datashunt.distillation.promotion_gate import PromotionGate
from langchain_datashunt.errors import InfeasibleTargetError
from langchain_datashunt.policy.goals import TargetRisk
from langchain_datashunt.policy.shunt_policy import ShuntPolicy
from langchain_datashunt.types import FloatArray

GATE_ROWS, TRUTH_ROWS = 2_000, 100_000
CANDIDATES = 1_000
LOOKS = 10
BUDGET = 0.05
GOAL = TargetRisk(0.05, confidence_level=0.975)
"""At the level of the first look, so that serving model and candidate are served alike."""

LARGE_ACCURACY = 0.98


@dataclass(frozen=True)
class World:
    """A population: how sure the best possible model would be of each input, and its label."""

    log_odds: FloatArray
    labels: FloatArray
    large_right: FloatArray

    @classmethod
    def draw(cls, n: int, rng: np.random.Generator) -> World:
        log_odds = rng.normal(0.0, 6.0, n)
        labels = rng.random(n) < 1 / (1 + np.exp(-log_odds))
        return cls(log_odds, labels, rng.random(n) < LARGE_ACCURACY)


class Drawn:
    """A small model: the best possible log-odds, blurred by noise of its own and multiplied by its conceit."""

    classes_ = ("no", "yes")

    def __init__(self, world: World, noise: float, conceit: float, name: str, rng: np.random.Generator) -> None:
        self.version = name
        scores = conceit * (world.log_odds + rng.normal(0.0, noise, len(world.labels)))
        yes = 1 / (1 + np.exp(-np.clip(scores, -30, 30)))
        self.rows = np.column_stack([1 - yes, yes])

    def predict_proba(self, inputs: Sequence[str]) -> FloatArray:
        return self.rows[[int(each) for each in inputs]]


@dataclass(frozen=True)
class Setting:
    """What candidates are like; the first serving model has noise 2 and no conceit."""

    name: str
    noise: float = 1.0
    """Times that of the model that serves: above 1 candidates are worse, below better."""
    conceit: float = 1.0
    large_answers: bool = False
    """Whether accuracy is judged, with margin 0: a system that is less accurate at all is no better."""
    better: float | None = None
    """Noise of every second candidate, beginning with the first, which takes the serving model's place if promoted."""


SERVING_NOISE = 2.0
SETTINGS = (
    Setting("equally good"),
    Setting("equally good, three times as sure", conceit=3.0),
    Setting("worse", 1.25),
    Setting("better, at the cost of accuracy", 0.5, large_answers=True),
    Setting("better and equally good in turn, promoted ones serve", better=0.8),
    Setting("better and a little worse in turn, promoted ones serve", 1.05, better=0.8),
)


@dataclass(frozen=True)
class Fooled:
    """What a gate did with candidates.

    Attributes:
        promoted: Share of the candidates.
        wrongly: Share promoted although one of the three conditions is false in the population.
        no_better: Share of the candidates of which one is false.
        ledgers: Share of ledgers with any wrong promotion.
        level: Mean error level of the looks at candidates that were no better.
    """

    setting: str
    candidates: int
    promoted: float
    wrongly: float
    no_better: float
    ledgers: float
    level: float


@dataclass(frozen=True)
class Judged:
    """What a gate made of one candidate, and whether that is no better in the population."""

    promoted: bool
    no_better: bool
    level: float


def fool(setting: Setting, *, candidates: int = CANDIDATES, looks: int = LOOKS) -> Fooled:
    """Judge candidates, so many at each ledger before it is given new rows and a new serving model."""
    rng = np.random.default_rng(SETTINGS.index(setting))
    outcomes: list[list[Judged]] = []
    while sum(map(len, outcomes)) < candidates:
        with tempfile.TemporaryDirectory() as scratch:
            outcomes.append(_one_ledger(setting, looks, Path(scratch, "gate.json"), rng))
    flat = [each for ledger in outcomes for each in ledger]
    promoted, no_better = (np.array([getattr(each, name) for each in flat]) for name in ("promoted", "no_better"))
    return Fooled(
        setting.name,
        len(flat),
        float(promoted.mean()),
        float((promoted & no_better).mean()),
        float(no_better.mean()),
        float(np.mean([any(each.promoted and each.no_better for each in ledger) for ledger in outcomes])),
        float(np.mean([each.level for each in flat if each.no_better])),
    )


def _one_ledger(setting: Setting, looks: int, ledger: Path, rng: np.random.Generator) -> list[Judged]:
    """Judge so many candidates on the same rows."""
    noise = SERVING_NOISE
    world, gate, serving, policy = _served(setting, ledger, rng)
    outcomes = []
    for look in range(looks):
        its_noise = noise * (setting.noise if setting.better is None or look % 2 else setting.better)
        candidate = Drawn(world, its_noise, setting.conceit, f"candidate {look}", rng)
        verdict = gate.judge(candidate, serving, policy)
        worse = verdict.policy is None or _no_better(world, (candidate, verdict.policy), (serving, policy), setting)
        outcomes.append(Judged(verdict.decision == "promote", worse, verdict.numbers["error_level"]))
        if setting.better is not None and verdict.decision == "promote" and verdict.policy is not None:
            noise, serving, policy = its_noise, candidate, verdict.policy
    return outcomes


def _served(
    setting: Setting, ledger: Path, rng: np.random.Generator
) -> tuple[World, PromotionGate, Drawn, ShuntPolicy]:
    """Draw rows until a serving model can be certified on them: where none can, none serves."""
    world = World.draw(GATE_ROWS + TRUTH_ROWS, rng)
    labels = [Drawn.classes_[int(label)] for label in world.labels[:GATE_ROWS]]
    answers = [Drawn.classes_[int(a == b)] for a, b in zip(world.labels, world.large_right, strict=True)][:GATE_ROWS]
    gate = PromotionGate(
        [str(row) for row in range(GATE_ROWS)],
        labels,
        goal=GOAL,
        ledger=ledger,
        large_answers=answers if setting.large_answers else None,
        margin=0.0,
        error_budget=BUDGET,
    )
    serving = Drawn(world, SERVING_NOISE, 1.0, "serving", rng)
    try:
        return world, gate, serving, gate.fit_policy(serving)
    except InfeasibleTargetError:
        return _served(setting, ledger, rng)


def _no_better(world: World, new: tuple[Any, ShuntPolicy], old: tuple[Any, ShuntPolicy], setting: Setting) -> bool:
    """Tell from rows that no gate sees whether one of the three conditions is false."""
    deferral, risk, accuracy = _truth(world, *new)
    old_deferral, _, old_accuracy = _truth(world, *old)
    loses = setting.large_answers and accuracy < old_accuracy
    return bool(deferral >= old_deferral or risk > GOAL.risk or loses)


def _truth(world: World, small: Drawn, policy: ShuntPolicy) -> tuple[float, float, float]:
    judged = policy.judge(small.rows[GATE_ROWS:])
    right = (judged.probabilities.argmax(axis=1) == 1) == world.labels[GATE_ROWS:]
    system = np.where(judged.accepted, right, world.large_right[GATE_ROWS:])
    return 1 - float(judged.accepted.mean()), float((~right[judged.accepted]).mean()), float(system.mean())


def print_fooled(results: Sequence[Fooled]) -> None:
    print("| candidates | n | no better | their mean level | promoted | promoted wrongly | ledgers with a wrong one |")
    print("|---|---|---|---|---|---|---|")
    for each in results:
        print(
            f"| {each.setting} | {each.candidates} | {each.no_better:.3f} | {each.level:.4f} | {each.promoted:.3f} "
            f"| {each.wrongly:.4f} | {each.ledgers:.3f} |",
            flush=True,
        )


if __name__ == "__main__":
    chosen = [SETTINGS[int(place)] for place in sys.argv[1:]] or SETTINGS
    for setting in chosen:
        print_fooled([fool(setting)])
