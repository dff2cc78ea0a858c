"""One small and one recorded large model on labelled rows: every goal cross-fitted, beside every baseline."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from langchain_datashunt.policy.goals import EndToEnd, MaxDeferral, TargetRisk
from langchain_datashunt.policy.reliability import calibration_metrics
from langchain_datashunt.policy.risk_coverage import risk_coverage
from langchain_datashunt.types import BoolArray
from tests.evidence.recorded.cross_fitting import (
    Applied,
    GoalFor,
    IntArray,
    Remembered,
    cross_fit,
    fit_and_apply,
    random_halves,
)
from tests.evidence.recorded.outcomes import (
    Outcome,
    alone,
    best_with_hindsight,
    cascade,
    fewer_errors,
    random_shunt,
    wilson_interval,
)
from tests.evidence.recorded.recorded_rows import Rows
from tests.evidence.recorded.tables import percent, points, print_outcomes, print_table, spread

PAPER_CALL_RATE = 0.3118
"""Share of inputs that the paper sends to the large model."""


@dataclass(frozen=True)
class Pair:
    """A small model and a large one on the same rows; all that is measured here is measured on such a pair."""

    rows: Rows
    small: Remembered
    large_name: str

    @property
    def large_answers(self) -> list[str | None]:
        return self.rows.answers(self.large_name)

    @property
    def small_answers(self) -> list[str]:
        return self.small.labels_of(self.rows.texts)

    @property
    def small_wrong(self) -> BoolArray:
        return np.array(self.small_answers) != self.rows.labels

    @property
    def large_wrong(self) -> BoolArray:
        return np.array([answer or "" for answer in self.large_answers]) != self.rows.labels

    def cascaded(self, name: str, applied: Applied) -> Outcome:
        shown = f"{name}, infeasible in {applied.infeasible} of {len(applied.thresholds)}" * bool(applied.infeasible)
        return cascade(shown or name, applied.accepted, self.small_answers, self.large_answers, self.rows.labels)

    def at(self, index: IntArray) -> Pair:
        return Pair(self.rows.at(index), self.small, self.large_name)


def goals_for(large_name: str) -> dict[str, GoalFor]:
    """The goals of the tables; the certified deferral is the one that the headline figure uses."""
    return {
        "TargetRisk(0.02)": lambda _: TargetRisk(0.02),
        "TargetRisk(0.05)": lambda _: TargetRisk(0.05),
        "MaxDeferral(0.3118)": lambda _: MaxDeferral(PAPER_CALL_RATE),
        "MaxDeferral(0.3118, certified)": lambda _: MaxDeferral(PAPER_CALL_RATE, confidence_level=0.95),
        "MaxDeferral(0.3118, certified, most accurate)": lambda rows: MaxDeferral(
            PAPER_CALL_RATE, confidence_level=0.95, large_answers=rows.answers(large_name)
        ),
        "EndToEnd(margin=0)": lambda rows: EndToEnd(rows.answers(large_name), margin=0),
        "EndToEnd(margin=0.005)": lambda rows: EndToEnd(rows.answers(large_name), margin=0.005),
        "EndToEnd(margin=0, most accurate)": lambda rows: EndToEnd(
            rows.answers(large_name), margin=0, prefer="most_accurate"
        ),
    }


HEADLINE_GOAL = "MaxDeferral(0.3118, certified)"


def compare(pair: Pair, baseline: Remembered) -> dict[str, Outcome]:
    """Print the table of one pair; return its outcomes by name. `baseline` is the small model one would write first."""
    labels, texts = pair.rows.labels, pair.rows.texts
    large = alone(f"{pair.large_name} alone", pair.large_answers, labels, asked=True)
    with_baseline = Pair(pair.rows, baseline, pair.large_name)
    goals = goals_for(pair.large_name)
    applied = {name: cross_fit(pair.small, pair.rows, goal) for name, goal in goals.items()}
    cascades = [pair.cascaded(f"cascade, {name}", done) for name, done in applied.items()]
    rate = float((~applied[HEADLINE_GOAL].accepted).mean())
    baseline_applied = cross_fit(baseline, pair.rows, goals[HEADLINE_GOAL])
    outcomes = [
        large,
        alone("small model alone", pair.small_answers, labels, asked=False),
        alone("baseline small model alone", baseline.labels_of(texts), labels, asked=False),
        random_shunt("random shunt at the certified rate", rate, pair.small_answers, pair.large_answers, labels),
        with_baseline.cascaded(f"cascade over the baseline, {HEADLINE_GOAL}", baseline_applied),
        *cascades,
    ]
    print_outcomes(outcomes, large)
    _print_hindsight(pair)
    print_table(("goal", "thresholds of the policies"), _threshold_rows(applied))
    return {outcome.name: outcome for outcome in outcomes}


def print_selective_risk(pair: Pair) -> None:
    """Print, for `TargetRisk`, the share accepted and the errors among them: what the goal is about."""
    rows = []
    wrong = pair.small_wrong
    for risk in (0.02, 0.05):
        accepted = cross_fit(pair.small, pair.rows, lambda _, risk=risk: TargetRisk(risk)).accepted
        n, errors = int(accepted.sum()), int(wrong[accepted].sum())
        if not n:
            rows.append((f"{risk:.0%}", "0 %, infeasible", "", "", ""))
            continue
        interval = " to ".join(map(percent, wilson_interval(errors, n)))
        rows.append((f"{risk:.0%}", percent(n / len(wrong)), f"{errors} of {n:,}", percent(errors / n), interval))
    print_table(("target", "coverage", "errors among accepted", "selective risk", "95 % interval"), rows)


def print_stability(pair: Pair, splits: int = 20) -> None:
    """Print means and spreads over random halves: policy on one half, scored on the other."""
    rows = []
    for name, goal in goals_for(pair.large_name).items():
        rates, gains, saved, infeasible = [], [], [], 0
        for fit_on, score_on in random_halves(pair.rows, splits):
            scored = pair.at(score_on)
            applied = fit_and_apply(pair.small, pair.rows.at(fit_on), scored.rows, goal)
            system = scored.cascaded(name, applied)
            large = alone("large", scored.large_answers, scored.rows.labels, asked=True)
            infeasible += applied.infeasible
            rates.append(system.call_rate)
            gains.append(large.wrong.mean() - system.wrong.mean())
            saved.append(1 - system.wrong.sum() / large.wrong.sum())
        rows.append((name, str(infeasible), spread(rates, digits=1), spread(gains), spread(saved, digits=1)))
    header = ("goal", f"infeasible of {splits}", "large calls (%)", "fewer errors (points)", "errors saved (%)")
    print_table(header, rows)


def print_complementarity(pair: Pair, bands: int = 10) -> None:
    """Print where each of the two errs, in bands of equally many rows from the surest to the least sure."""
    small_wrong, large_wrong = pair.small_wrong, pair.large_wrong
    confidence = pair.small.predict_proba(pair.rows.texts).max(axis=1)
    rows = []
    for band, index in enumerate(np.array_split(np.argsort(-confidence, kind="stable"), bands)):
        mine, theirs = small_wrong[index], large_wrong[index]
        lowest, highest = confidence[index].min(), confidence[index].max()
        counts = (mine.sum(), theirs.sum(), (mine & theirs).sum(), (~mine & theirs).sum(), (mine & ~theirs).sum())
        share = f"{100 * band // bands} to {100 * (band + 1) // bands} %"
        rows.append((share, f"{lowest:.3f} to {highest:.3f}", str(len(index)), *map(str, counts)))
    header = ("surest", "confidence", "n", "small errs", "large errs", "both err", "only large errs", "only small errs")
    print_table(header, rows)


def print_calibration(models: Mapping[str, Remembered], rows: Rows) -> None:
    """Print ECE, NLL and Brier score before calibration and after, and the quality of the ranking."""
    table = []
    for name, small in models.items():
        columns = {label: column for column, label in enumerate(small.classes_)}
        targets = np.array([columns[label] for label in rows.labels])
        before = small.predict_proba(rows.texts)
        after = cross_fit(small, rows, lambda _: MaxDeferral(PAPER_CALL_RATE)).probabilities
        wrong = before.argmax(axis=1) != targets
        for state, probabilities in (("before", before), ("after", after)):
            metrics = calibration_metrics(probabilities, targets)
            area = risk_coverage(probabilities.max(axis=1), wrong).area
            scores = (metrics["ece"], metrics["nll"], metrics["brier"], area)
            table.append((name, state, *(f"{score:.4f}" for score in scores)))
    print_table(("small model", "calibration", "ECE, 15 equal-width bins", "NLL", "Brier", "AURC"), table)


def print_headline(pair: Pair, outcomes: Mapping[str, Outcome]) -> None:
    """Say in one sentence what the certified deferral does against the large model alone."""
    system, large = outcomes[f"cascade, {HEADLINE_GOAL}"], outcomes[f"{pair.large_name} alone"]
    found = fewer_errors(system, large)
    decided = "above zero" if found.points_interval[0] > 0 else "inconclusive: it contains zero"
    print(
        f"With {percent(system.call_rate)} of the calls the cascade makes {system.wrong.sum():.0f} errors, "
        f"{pair.large_name} alone {large.wrong.sum():.0f}: {percent(found.fewer)} fewer "
        f"(95 % interval {percent(found.fewer_interval[0])} to {percent(found.fewer_interval[1])}; in points "
        f"{points(*found.points_interval)}, {decided}).\n"
    )


def _print_hindsight(pair: Pair) -> None:
    small_wrong, large_wrong = pair.small_wrong, pair.large_wrong
    confidence = pair.small.predict_proba(pair.rows.texts).max(axis=1)
    rows = []
    for name, max_rate in (("at most 31.18 % of calls", PAPER_CALL_RATE), ("any rate", 1.0)):
        _, errors, rate = best_with_hindsight(confidence, small_wrong, large_wrong, max_rate)
        rows.append((f"best threshold, {name}", str(errors), percent(rate), percent(1 - errors / large_wrong.sum())))
    both = int((small_wrong & large_wrong).sum())
    needed, saved = percent((small_wrong & ~large_wrong).mean()), percent(1 - both / large_wrong.sum())
    rows.append(("a router that knows every answer", str(both), needed, saved))
    print_table(("with hindsight: no system, a limit", "errors", "large calls", "errors saved"), rows)


def _threshold_rows(applied: Mapping[str, Applied]) -> list[tuple[str, str]]:
    return [(name, ", ".join(f"{each:.4f}" for each in done.thresholds)) for name, done in applied.items()]
