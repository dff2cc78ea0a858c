"""Set coverage among deferred inputs in simulation: the whole way, from `fit_policy` to the candidates, drawn anew.

Run: ``python -m tests.evidence.candidates.simulated_sets``, about ten minutes on one CPU core.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from langchain_datashunt import DropMastered, PredictionSet, ShuntPolicy, TargetRisk, fit_policy, learn_pruning
from langchain_datashunt.errors import CalibrationDataError, InfeasibleTargetError
from tests.evidence.certificates.populations import POPULATIONS, Population

LEVELS = (0.8, 0.9, 0.95)
SIZES = (200, 1_000)
ROWS_OF_THE_POLICY = 1_000
MAX_UNANSWERABLE = 0.05
REPETITIONS = 400


@dataclass(frozen=True)
class Coverage:
    """Over all draws of the rows: what the true labels' share among the candidates of deferred inputs was."""

    population: str
    rules: str
    level: float
    n: int
    draws: int
    refused: int
    mean: float
    standard_error: float
    spread: float
    candidates: float
    classes: int
    unanswerable_too_often: float
    """Share of the draws in which more deferred inputs than allowed were of a dropped class; NaN without dropping."""


class Numbered:
    """A small model whose inputs are row numbers of a pool; `draw` gives each drawn row a number of its own."""

    version = "pool"

    def __init__(self, population: Population) -> None:
        self.population = population
        self.classes_ = [f"c{i}" for i in range(population.probabilities.shape[1])]

    def predict_proba(self, inputs: Sequence[tuple[int, int]]) -> NDArray[np.float64]:
        return self.population.probabilities[[row for row, _ in inputs]]

    def draw(self, n: int, rng: np.random.Generator) -> tuple[list[Any], list[str]]:
        rows = rng.integers(0, len(self.population.probabilities), n)
        below = np.cumsum(self.population.chances[rows], axis=1) < rng.random((n, 1))
        targets = np.minimum(below.sum(axis=1), len(self.classes_) - 1)
        return list(zip(rows.tolist(), rng.integers(0, 2**62, n).tolist(), strict=True)), [
            self.classes_[target] for target in targets
        ]

    def exact(self, policy: ShuntPolicy) -> tuple[float, float, float]:
        """Over the pool: true labels' share among the candidates of deferred rows, candidates, unanswerable share."""
        assert policy.candidate_rule is not None
        judged = policy.judge(self.population.probabilities)
        deferred = ~judged.accepted
        kept = policy.candidate_rule.select(judged.probabilities[deferred])
        chances = self.population.chances[deferred]
        dropped = list(policy.candidate_rule.dropped)
        return (
            float((kept * chances).sum(axis=1).mean()),
            float(kept.sum(axis=1).mean()),
            float(chances[:, dropped].sum(axis=1).mean()),
        )


def long_tailed() -> Population:
    """Twelve classes, of which six are rare and easy: what `DropMastered` is for. The model is overconfident."""
    rng = np.random.default_rng(6)
    shares = np.array([0.15] * 6 + [0.1 / 6] * 6)
    logits = rng.normal(size=(20_000, 12)) - np.repeat([0.0, 4.0], 6)
    targets = rng.choice(12, size=20_000, p=shares)
    logits[np.arange(20_000), targets] += np.where(targets >= 6, 12.0, rng.gamma(3, 1.2, 20_000))
    true = np.exp(logits - logits.max(axis=1, keepdims=True))
    true /= true.sum(axis=1, keepdims=True)
    said = true**1.5
    return Population("12 classes, 6 rare", said / said.sum(axis=1, keepdims=True), true)


SIMULATED = {
    "77 classes": POPULATIONS["77 classes"],
    "12 classes, 6 rare": long_tailed,
}


def simulate(population: Population, n: int, *, drop: bool = False, repetitions: int = REPETITIONS) -> list[Coverage]:
    """Draw rows for the policy and others for the candidates, learn both, and compute the truth over the pool."""
    small = Numbered(population)
    rng = np.random.default_rng(n)
    found = Found(population, n, "set and dropping" if drop else "set")
    for _ in range(repetitions):
        policy = policy_of(small, rng)
        inputs, labels = small.draw(n, rng)
        found.learn(small, policy, inputs, labels, [DropMastered(MAX_UNANSWERABLE)] if drop else [])
    return found.summaries()


def simulate_reused_rows(population: Population, n: int, repetitions: int = REPETITIONS) -> list[Coverage]:
    """Do what `learn_pruning` refuses: learn on the rows that fitted the policy."""
    small = Numbered(population)
    rng = np.random.default_rng(n)
    found = Found(population, n, "set, on the policy's rows")
    for _ in range(repetitions):
        inputs, labels = small.draw(n, rng)
        policy = replace(fit_policy(small, inputs, labels, TargetRisk(0.1), calibration="isotonic"), data=None)
        found.learn(small, policy, inputs, labels, [])
    return found.summaries()


class Found:
    """What was learned over the draws, by level."""

    def __init__(self, population: Population, n: int, rules: str) -> None:
        self.population, self.n, self.rules = population, n, rules
        self.results: dict[float, list[tuple[float, float, float]]] = {level: [] for level in LEVELS}
        self.refused = dict.fromkeys(LEVELS, 0)

    def learn(
        self, small: Numbered, policy: ShuntPolicy, inputs: list[Any], labels: list[str], dropping: list[DropMastered]
    ) -> None:
        for level in LEVELS:
            try:
                learned = learn_pruning(policy, small, inputs, labels, PredictionSet(level), *dropping)
            except (CalibrationDataError, InfeasibleTargetError):
                self.refused[level] += 1
            else:
                self.results[level].append(small.exact(learned))

    def summaries(self) -> list[Coverage]:
        return [self.summary(level) for level in LEVELS]

    def summary(self, level: float) -> Coverage:
        coverage, candidates, unanswerable = np.array(self.results[level]).T
        over = float((unanswerable > MAX_UNANSWERABLE).mean()) if "dropping" in self.rules else float("nan")
        return Coverage(
            population=self.population.name,
            rules=self.rules,
            level=level,
            n=self.n,
            draws=len(coverage),
            refused=self.refused[level],
            mean=float(coverage.mean()),
            standard_error=float(coverage.std() / np.sqrt(len(coverage))),
            spread=float(coverage.std()),
            candidates=float(candidates.mean()),
            classes=self.population.probabilities.shape[1],
            unanswerable_too_often=over,
        )


def policy_of(small: Numbered, rng: np.random.Generator) -> ShuntPolicy:
    while True:
        inputs, labels = small.draw(ROWS_OF_THE_POLICY, rng)
        try:
            return fit_policy(small, inputs, labels, TargetRisk(0.1), calibration="temperature")
        except InfeasibleTargetError:
            continue


def all_coverages(repetitions: int = REPETITIONS) -> Iterator[Coverage]:
    for make in SIMULATED.values():
        for n in SIZES:
            yield from simulate(make(), n, repetitions=repetitions)
    yield from simulate(SIMULATED["12 classes, 6 rare"](), 3_000, drop=True, repetitions=repetitions)
    yield from simulate_reused_rows(SIMULATED["77 classes"](), 1_000, repetitions)


def show(found: Coverage) -> None:
    dropping = "" if np.isnan(found.unanswerable_too_often) else f"{found.unanswerable_too_often:.3f}"
    print(
        f"| {found.population} | {found.rules} | {found.n:,} | {found.level} | {found.mean:.4f} ± "
        f"{found.standard_error:.4f} | {found.spread:.4f} | {found.candidates:.1f} of {found.classes} | {dropping} | "
        f"{found.draws} ({found.refused} refused) |",
        flush=True,
    )


if __name__ == "__main__":
    print("| population | rules | rows | level | mean coverage ± s.e. | s.d. | candidates | over the bound | draws |")
    print("|" + "---|" * 9)
    for each in all_coverages():
        show(each)
