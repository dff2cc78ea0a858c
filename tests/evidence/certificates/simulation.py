"""Draw calibration sets from known populations, and compare what each rule chooses with the truth."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from populations import Floats, Population, Truth

from langchain_datashunt.policy.calibration_fitting import fit_temperature
from langchain_datashunt.policy.certification import accepted_counts, count_wrong, risk_p_values
from langchain_datashunt.policy.splitting import default_certification_share
from langchain_datashunt.policy.threshold_walks import RiskWalk, ScoredRows
from langchain_datashunt.policy.thresholds import midpoints

LEVEL = 0.05
TARGETS = (0.02, 0.05, 0.10)
SIZES = (200, 1_000, 5_000)
GRID = 100

Rule = Callable[[ScoredRows, ScoredRows], Callable[[float], float]]
"""From calibration and certification rows to the threshold for each target; infinite where there is none."""


def certified(calibration: ScoredRows, certification: ScoredRows) -> Callable[[float], float]:
    walk = RiskWalk(calibration, certification, LEVEL)

    def threshold(target: float) -> float:
        passed = walk.passed(target)
        return float(walk.thresholds[passed - 1]) if passed else np.inf

    return threshold


def bonferroni(calibration: ScoredRows, certification: ScoredRows) -> Callable[[float], float]:
    """Valid: a grid from the calibration rows, each threshold tested at level / m."""
    candidates = midpoints(calibration.confidence)
    grid = np.unique(candidates[np.linspace(0, len(candidates) - 1, GRID).astype(int)])[::-1]
    return _largest(certification, grid, lambda e, a, target: risk_p_values(e, a, target) <= LEVEL / len(grid))


def pointwise(calibration: ScoredRows, certification: ScoredRows) -> Callable[[float], float]:
    """Not valid: the exact bound at each threshold, as if it had not been searched; on all rows."""
    rows = _together(calibration, certification)
    return _largest(rows, midpoints(rows.confidence), lambda e, a, target: risk_p_values(e, a, target) <= LEVEL)


def plug_in(calibration: ScoredRows, certification: ScoredRows) -> Callable[[float], float]:
    """Not valid: the observed risk taken for the true one; on all rows."""
    rows = _together(calibration, certification)
    return _largest(rows, midpoints(rows.confidence), lambda e, a, target: (a > 0) & (e <= target * a))


RULES: dict[str, Rule] = {
    "certified": certified,
    "Bonferroni": bonferroni,
    "pointwise": pointwise,
    "plug-in": plug_in,
}
CONFORMAL = "split conformal"


def _together(first: ScoredRows, second: ScoredRows) -> ScoredRows:
    return ScoredRows(
        np.concatenate([first.confidence, second.confidence]), np.concatenate([first.wrong, second.wrong])
    )


def _largest(
    rows: ScoredRows, thresholds: Floats, passes: Callable[..., NDArray[np.bool_]]
) -> Callable[[float], float]:
    accepted = accepted_counts(rows.confidence, thresholds)
    errors = count_wrong(rows.confidence, rows.wrong, thresholds)

    def threshold(target: float) -> float:
        good = np.flatnonzero(passes(errors, accepted, target))
        return float(thresholds[good[-1]]) if len(good) else np.inf

    return threshold


def conformal_singletons(truth: Truth, probabilities: Floats, targets: NDArray[np.intp], target: float) -> Floats:
    """Accept where the split conformal set of level 1 - target is one label: bounds no selective risk."""
    scores = np.sort(1 - np.take_along_axis(probabilities, targets[:, None], axis=1)[:, 0])
    rank = int(np.ceil((len(scores) + 1) * (1 - target))) - 1
    limit = scores[rank] if rank < len(scores) else 1.0
    return ((1 - truth.calibrated) <= limit).sum(axis=1) == 1


@dataclass(frozen=True)
class Result:
    """What one rule did over all repetitions of one setting."""

    population: str
    n: int
    target: float
    rule: str
    repetitions: int
    violations: int
    abstentions: int
    mean_coverage: float
    mean_gap: float

    @property
    def violation_rate(self) -> float:
        return self.violations / self.repetitions


def simulate(population: Population, n: int, repetitions: int, seed: int) -> Iterator[Result]:
    """Yield one result for each target and rule."""
    rng = np.random.default_rng(seed)
    outcomes: dict[tuple[float, str], list[tuple[float, float, float]]] = {}
    for _ in range(repetitions):
        probabilities, targets = population.draw(n, rng)
        first = round(n * (1 - default_certification_share(n)))
        calibration = fit_temperature(probabilities[:first], targets[:first])
        truth = population.truth(calibration)
        calibrated = calibration.apply(probabilities)
        rows = ScoredRows(calibrated.max(axis=1), calibrated.argmax(axis=1) != targets)
        parts = [ScoredRows(rows.confidence[part], rows.wrong[part]) for part in (slice(first), slice(first, None))]
        rules = {name: rule(*parts) for name, rule in RULES.items()}
        for target in TARGETS:
            best = truth.best_coverage(target)
            for name, threshold in rules.items():
                outcomes.setdefault((target, name), []).append((*truth.at(threshold(target)), best))
            singles = conformal_singletons(truth, calibrated[first:], targets[first:], target)
            outcomes.setdefault((target, CONFORMAL), []).append((*truth.of(singles), best))
    for (target, name), values in outcomes.items():
        risks, coverages, bests = np.array(values).T
        yield Result(
            population.name,
            n,
            target,
            name,
            repetitions,
            int((risks > target).sum()),
            int((coverages == 0).sum()),
            float(coverages.mean()),
            float((bests - coverages).mean()),
        )
