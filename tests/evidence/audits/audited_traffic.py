"""Simulate traffic with known truth, audit it, and count how often the intervals of the estimates cover the truth.

An input has a confidence, and a chance that the small model disagrees with the LLM which falls with the confidence. The
shunt accepts the confident ones and audits a share of them; all deferred ones get the LLM's answer. Run as a script to
print the table of docs/audits.md::

    python tests/evidence/audits/audited_traffic.py
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from langchain_datashunt.bounds.audit_estimates import AuditCounts, RateEstimate, error_through_teacher, estimate_rate

Floats = NDArray[np.float64]
THRESHOLD = 0.8
LEVEL = 0.95


@dataclass(frozen=True)
class Traffic:
    """Requests to a shunt; audit rates may differ between sure inputs and very sure ones."""

    name: str
    requests: int
    audit_rate: float
    audit_rate_of_very_sure: float
    hardness: float = 0.5
    """Chance of disagreement at no confidence."""
    teacher_error: float = 0.02

    def chance(self, confidence: Floats) -> Floats:
        return self.hardness * (1 - confidence) ** 1.5

    def draw(self, rng: np.random.Generator) -> Log:
        confidence = rng.beta(4, 1, self.requests)
        accepted = confidence >= THRESHOLD
        rates = np.where(confidence >= VERY_SURE, self.audit_rate_of_very_sure, self.audit_rate)
        sampled = np.where(accepted, rates, 1.0)
        seen = rng.random(self.requests) < sampled
        disagrees = rng.random(self.requests) < self.chance(confidence)
        teacher_wrong = rng.random(self.requests) < self.teacher_error
        return Log(accepted[seen], sampled[seen], disagrees[seen], teacher_wrong[seen])

    @property
    def truth(self) -> float:
        """Chance of disagreement among accepted inputs."""
        return self._mean(above=THRESHOLD)

    @property
    def error(self) -> float:
        """Chance of an error of the small model among accepted inputs, with two classes: one of both is wrong."""
        return self.truth * (1 - self.teacher_error) + (1 - self.truth) * self.teacher_error

    def _mean(self, above: float) -> float:
        grid = np.linspace(above, 1, 200_001)[:-1] + (1 - above) / 400_000
        density = grid**3
        return float((density * self.chance(grid)).sum() / density.sum())


VERY_SURE = 0.95


@dataclass(frozen=True)
class Log:
    """The rows with an LLM's answer."""

    accepted: NDArray[np.bool_]
    sampling_probabilities: Floats
    disagrees: NDArray[np.bool_]
    teacher_wrong: NDArray[np.bool_]

    def weighted(self) -> RateEstimate:
        return estimate_rate("disagreement", self._audits(self.disagrees), LEVEL)

    def through_teacher(self, gold_rows: int) -> RateEstimate:
        teacher = AuditCounts.of_rows(self.teacher_wrong[self.accepted][:gold_rows], 1.0)
        return error_through_teacher(self._audits(self.disagrees), teacher, LEVEL)

    def gold_audits(self) -> RateEstimate:
        return estimate_rate("error", self._audits(self.disagrees != self.teacher_wrong), LEVEL)

    def unweighted_audits(self) -> RateEstimate:
        return estimate_rate("disagreement", AuditCounts.of_rows(self.disagrees[self.accepted], 1.0), LEVEL)

    def all_labelled(self) -> RateEstimate:
        """What a log without audits in mind gives: the share of all rows with an LLM's answer that disagree."""
        return estimate_rate("disagreement", AuditCounts.of_rows(self.disagrees, 1.0), LEVEL)

    def _audits(self, misses: NDArray[np.bool_]) -> AuditCounts:
        return AuditCounts.of_rows(misses[self.accepted], self.sampling_probabilities[self.accepted])


TRAFFIC = (
    Traffic("2 % audited", 50_000, 0.02, 0.02),
    Traffic("2 % audited, few requests", 5_000, 0.02, 0.02),
    Traffic("10 %, very sure ones 2 %", 50_000, 0.1, 0.02),
    Traffic("10 %, very sure ones 1 %, few requests", 5_000, 0.1, 0.01),
    Traffic("2 %, very sure ones 20 %", 50_000, 0.02, 0.2),
)


@dataclass(frozen=True)
class Coverage:
    """How one estimator did over all repetitions."""

    estimator: str
    truth: float
    mean_estimate: float
    standard_error: float
    """Of `mean_estimate`."""
    covered: float
    below: float
    """Share of intervals that lie below the truth."""
    width: float


def simulate(traffic: Traffic, repetitions: int, seed: int) -> list[Coverage]:
    rng = np.random.default_rng(seed)
    results: dict[str, list[RateEstimate]] = {}
    for _ in range(repetitions):
        log = traffic.draw(rng)
        for name, estimate in (
            ("weighted audits", log.weighted()),
            ("unweighted audits", log.unweighted_audits()),
            ("all rows with an LLM's answer", log.all_labelled()),
            ("error, gold audits", log.gold_audits()),
            ("error through 500 gold rows", log.through_teacher(500)),
        ):
            results.setdefault(name, []).append(estimate)
    return [_coverage(name, estimates, traffic) for name, estimates in results.items()]


def _coverage(name: str, estimates: list[RateEstimate], traffic: Traffic) -> Coverage:
    truth = traffic.error if estimates[0].quantity == "error" else traffic.truth
    low, high = np.array([(e.low, e.high) for e in estimates]).T
    rates = np.array([np.nan if e.rate is None else e.rate for e in estimates])
    return Coverage(
        name,
        truth,
        float(rates.mean()),
        float(rates.std() / np.sqrt(len(rates))),
        float(((low <= truth) & (truth <= high)).mean()),
        float((high < truth).mean()),
        float((high - low).mean()),
    )


@dataclass(frozen=True)
class Strata:
    """Two kinds of accepted inputs, audited at 2 % and at `ratio` times that."""

    requests: int
    ratio: float
    share: float
    """Of the kind that is audited at 2 %."""
    rates: tuple[float, float]

    def covered(self, repetitions: int, seed: int, interval: Interval | None = None) -> float:
        """Return how often the 95 % interval covers the rate."""
        rng = np.random.default_rng(seed)
        sampled = np.array([0.02, 0.02 * self.ratio])
        shares = np.array([self.share, 1 - self.share])
        truth = float(shares @ self.rates)
        covered = 0
        for _ in range(repetitions):
            audits = rng.binomial(self.requests, shares * sampled)
            low, high = (interval or ours)(AuditCounts(sampled, audits, rng.binomial(audits, self.rates)))
            covered += low <= truth <= high
        return covered / repetitions


Interval = Callable[[AuditCounts], tuple[float, float]]


def ours(counts: AuditCounts) -> tuple[float, float]:
    found = estimate_rate("disagreement", counts, LEVEL)
    return found.low, found.high


def korn_graubard(counts: AuditCounts) -> tuple[float, float]:
    """Clopper and Pearson's interval at the effective sample size, without an additional audit."""
    from scipy.special import betaincinv

    weights = 1 / counts.sampling_probabilities
    total = weights @ counts.audits
    if total == 0:
        return 0.0, 1.0
    rate = weights @ counts.misses / total
    variance = weights**2 @ (counts.misses * (1 - rate) ** 2 + (counts.audits - counts.misses) * rate**2) / total**2
    kish = total**2 / (weights**2 @ counts.audits)
    n = min(kish, rate * (1 - rate) / variance) if variance > 0 else kish
    tail = (1 - LEVEL) / 2
    low = betaincinv(rate * n, (1 - rate) * n + 1, tail) if rate > 0 else 0.0
    high = betaincinv(rate * n + 1, (1 - rate) * n, 1 - tail) if rate < 1 else 1.0
    return float(low), float(high)


STRATA = [
    Strata(requests, ratio, share, (rare, often))
    for requests, ratio, share in product((2000, 20_000), (3.0, 10.0, 50.0), (0.1, 0.5, 0.9))
    for rare, often in product((0.0, 0.01, 0.1, 0.4), repeat=2)
    if rare or often
]


def print_coverage(traffic: Traffic, found: Coverage) -> None:
    unknown = np.isnan(found.mean_estimate)
    mean = "-" if unknown else f"{found.mean_estimate:.5f} ± {found.standard_error:.5f}"
    row = (traffic.name, found.estimator, f"{found.truth:.5f}", mean, f"{found.covered:.4f}", f"{found.width:.4f}")
    print(f"| {' | '.join(row)} |", flush=True)


def covered_in_all(interval: Interval, repetitions: int) -> list[float]:
    """Return how often the interval covers in each of the settings, and print the least."""
    covered = [strata.covered(repetitions, seed, interval) for seed, strata in enumerate(STRATA)]
    least = int(np.argmin(covered))
    below = sum(share < 0.94 for share in covered)
    print(f"| {interval.__name__} | {covered[least]:.3f} | {STRATA[least]} | {below} |", flush=True)
    return covered


def main(repetitions: int = 4000) -> None:
    print("| traffic | estimate | truth | mean of estimates | covered by 95 % intervals | mean width |")
    print("|---|---|---|---|---|---|")
    for seed, traffic in enumerate(TRAFFIC):
        for found in simulate(traffic, repetitions, seed):
            print_coverage(traffic, found)
    print(f"\n| interval | least coverage in {len(STRATA)} settings | there | settings covered below 94 % |")
    print("|---|---|---|---|")
    for interval in (ours, korn_graubard):
        covered_in_all(interval, repetitions // 4)


if __name__ == "__main__":
    main()
