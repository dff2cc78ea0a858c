"""The learning loop on IMDB with recorded answers of gpt-3.5, beside simpler ways to learn from the same stream.

Run: ``python -m tests.evidence.distillation.measure_imdb_loop``, some minutes on one CPU core.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.base import clone

from langchain_datashunt.distillation.distilling import distill
from langchain_datashunt.distillation.promotion_gate import PromotionGate
from langchain_datashunt.policy.goals import TargetRisk
from tests.evidence.distillation.learning_streams import (
    RISK,
    ROUNDS,
    Parts,
    Score,
    Seen,
    Served,
    count_words,
    hard_samples,
    seeds_to_measure,
    served_with,
    spread,
    t_interval,
    unfitted_model,
)
from tests.evidence.recorded.recorded_rows import recorded_folder

LOOP = "distill + gate"
TUNED = "the same with retain_weight=0.1, screen=False"
SETTINGS: dict[str, dict[str, Any]] = {LOOP: {}, TUNED: {"retain_weight": 0.1, "screen": False}}
"""Ways to distil: the defaults, and what did best on development rows (docs/distillation.md says which)."""

STUDENT = "its student, certified at 0.95 as the others are"
REFITS_ON_THE_LOG = HARD_ONLY, HARD_AND_OWN = "(b) refit on hard", "(c) refit on hard + own labels"
"""Without the gold rows, which the log does not hold."""

ALL_LABELS = "(d) LLM labels of all requests"
Learn = Callable[[Served, Seen], Any]


@dataclass(frozen=True)
class Entry:
    """A way of learning after a round."""

    way: str
    turn: int
    labels_paid: int
    score: Score
    note: str = ""


def loop_of_one_seed(folder: Path, seed: int) -> list[Entry]:
    """Return the scores of all ways of learning after each round."""
    parts = Parts.of(folder, seed)
    count_words(parts)
    with tempfile.TemporaryDirectory() as scratch:
        gates = [
            PromotionGate(parts.gate.texts, parts.gate.labels.tolist(), goal=TargetRisk(RISK), ledger=ledger)
            for ledger in (Path(scratch, way) for way in SETTINGS)
        ]
        gate = gates[0]
        start = served_with(gate, unfitted_model().fit(parts.gold.texts, parts.gold.labels))
        entries = [Entry("start", 0, 0, Score.of(start, parts.test))]
        for way, its_gate in zip(SETTINGS, gates, strict=True):
            entries += _distilled(way, parts, its_gate, start)
        paid = [entry.labels_paid for entry in entries if entry.way == LOOP]
        for way, learn in naive_ways(parts).items():
            entries += _naive(way, learn, parts, gate, start)
        entries += _all_llm(parts, gate, paid, seed)
    return entries


def _distilled(way: str, parts: Parts, gate: PromotionGate, served: Served) -> list[Entry]:
    """2CD, promoted by the gate only."""
    seen, entries = Seen(), []
    for turn in range(ROUNDS):
        seen.see(parts.requests(turn), served)
        made = distill(
            served.small,
            seen.samples,
            policy=served.policy,
            replay=seen.texts,
            gold=(parts.gold.texts, parts.gold.labels.tolist()),
            held_out=gate.inputs,
            **SETTINGS[way],
        )
        verdict = gate.judge(made.student, served.small, served.policy)
        if verdict.decision == "promote":
            served = Served(made.student, verdict.policy)
        right = _suspicions(made.report.suspected, parts)
        note = f"{verdict.decision}; suspected {len(made.report.suspected)}, of which wrong {right}"
        print(f"  {verdict}", flush=True)
        entries.append(Entry(way, turn + 1, seen.labels_paid, Score.of(served, parts.test), note))
        at_the_level_of_others = Score.of(served_with(gate, made.student), parts.test)
        entries.append(Entry(f"{way}: {STUDENT}", turn + 1, seen.labels_paid, at_the_level_of_others))
    return entries


def naive_ways(parts: Parts) -> dict[str, Learn]:
    """Refits on hard labels without a gate, by name."""

    def refit(texts: Sequence[str], labels: Sequence[str]) -> Any:
        return clone(unfitted_model()).fit(list(texts), list(labels))

    def hard_only(served: Served, seen: Seen) -> Any:
        return refit(*_labelled(seen))

    def gold_and_hard(served: Served, seen: Seen) -> Any:
        texts, labels = _labelled(seen)
        return refit([*parts.gold.texts, *texts], [*parts.gold.labels, *labels])

    def with_own_labels(served: Served, seen: Seen) -> tuple[list[str], list[str]]:
        texts, labels = _labelled(seen)
        known = set(texts)
        easy = [text for text in seen.texts if text not in known]
        return [*texts, *easy], [*labels, *served.small.predict(easy)]

    def hard_and_own(served: Served, seen: Seen) -> Any:
        return refit(*with_own_labels(served, seen))

    def gold_hard_and_own(served: Served, seen: Seen) -> Any:
        texts, labels = with_own_labels(served, seen)
        return refit([*parts.gold.texts, *texts], [*parts.gold.labels, *labels])

    return {
        HARD_ONLY: hard_only,
        HARD_AND_OWN: hard_and_own,
        "(b) refit on gold + hard": gold_and_hard,
        "(c) refit on gold + hard + own labels": gold_hard_and_own,
    }


def _naive(way: str, learn: Learn, parts: Parts, gate: PromotionGate, served: Served) -> list[Entry]:
    seen, entries = Seen(), []
    for turn in range(ROUNDS):
        seen.see(parts.requests(turn), served)
        served = served_with(gate, learn(served, seen))
        entries.append(Entry(way, turn + 1, seen.labels_paid, Score.of(served, parts.test)))
    return entries


def _all_llm(parts: Parts, gate: PromotionGate, paid: Sequence[int], seed: int) -> list[Entry]:
    """Labels of the large model for requests drawn at random: as many as the loop has paid for, and for all."""
    entries = []
    for way, budgets in (
        ("(d) random LLM labels, same cost", paid),
        (ALL_LABELS, [len(parts.stream) * (turn + 1) // ROUNDS for turn in range(ROUNDS)]),
    ):
        for turn, budget in enumerate(budgets):
            arrived = len(parts.stream) * (turn + 1) // ROUNDS
            chosen = np.random.default_rng(seed).permutation(arrived)[:budget]
            seen = Seen(samples=hard_samples(parts.stream.at(chosen)))
            texts, labels = _labelled(seen)
            small = unfitted_model().fit([*parts.gold.texts, *texts], [*parts.gold.labels, *labels])
            entries.append(Entry(way, turn + 1, budget, Score.of(served_with(gate, small), parts.test)))
    return entries


def _labelled(seen: Seen) -> tuple[list[str], list[str]]:
    kept = [sample for sample in seen.samples if sample.trainable]
    return [sample.input for sample in kept], [str(sample.label) for sample in kept]


def _suspicions(suspected: Sequence[Any], parts: Parts) -> int:
    """How many of the labels that the screen left out were wrong."""
    truth = dict(zip(parts.stream.texts, parts.stream.labels, strict=True))
    return sum(truth[each.input] != each.teacher_label for each in suspected)


def print_entries(by_seed: Sequence[Sequence[Entry]]) -> None:
    """Print means over seeds with the least and the most, and of changes of accuracy the 95 % t interval over seeds."""
    print(
        "\n| round | way | LLM labels | deferral | of the start | share of the cut by all labels "
        "| deferral less that of the student | system accuracy | its change from the start | selective risk "
        "| small alone |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|---|")
    for place, first in enumerate(by_seed[0]):
        entries = [seed[place] for seed in by_seed]
        starts = [seed[0].score for seed in by_seed]
        deferrals = np.array([entry.score.deferral for entry in entries])
        start = np.array([score.deferral for score in starts])
        with_all = np.array([_deferral(seed, ALL_LABELS, first.turn) for seed in by_seed])
        student = np.array([_deferral(seed, f"{LOOP}: {STUDENT}", first.turn) for seed in by_seed])
        changes = [
            entry.score.system_accuracy - score.system_accuracy for entry, score in zip(entries, starts, strict=True)
        ]
        print(
            f"| {first.turn} | {first.way} | {np.mean([entry.labels_paid for entry in entries]):,.0f} "
            f"| {spread(deferrals)} | {(deferrals / start).mean():.2f} "
            f"| {(start - deferrals).mean() / max((start - with_all).mean(), 1e-9) if first.turn else 0:.2f} "
            f"| {t_interval(deferrals - student)} "
            f"| {spread([entry.score.system_accuracy for entry in entries])} | {t_interval(changes)} "
            f"| {spread([entry.score.selective_risk for entry in entries])} "
            f"| {np.mean([entry.score.small_accuracy for entry in entries]):.3f} |"
        )
    for entries in by_seed:
        print("; ".join(f"round {entry.turn}: {entry.note}" for entry in entries if entry.note))


def _deferral(entries: Sequence[Entry], way: str, turn: int) -> float:
    """Return the deferral of a way after a round; before the first, that of the start."""
    found = [entry for entry in entries if entry.turn == turn and entry.way == way]
    return found[0].score.deferral if found else entries[0].score.deferral


if __name__ == "__main__":
    print_entries([loop_of_one_seed(recorded_folder(), seed) for seed in seeds_to_measure()])
