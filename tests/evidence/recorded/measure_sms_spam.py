"""sms_spam: two classes, and recorded GPT models with the token counts that were billed.

Run: ``python -m tests.evidence.recorded.measure_sms_spam --input-price 1 --output-price 8 --core-hour 0.05``; about
two minutes on two CPU cores. Prices are yours, in any currency: of a million input and of a million output tokens,
and of one hour of one CPU core. There is no price table here.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline, make_union

from langchain_datashunt.policy.costs import CallCosts
from langchain_datashunt.policy.verdict import Verdict, judge_worth
from tests.evidence.recorded.comparison import (
    HEADLINE_GOAL,
    Pair,
    compare,
    goals_for,
    print_calibration,
    print_complementarity,
    print_selective_risk,
    print_stability,
)
from tests.evidence.recorded.cross_fitting import Remembered, cross_fit
from tests.evidence.recorded.outcomes import alone, fewer_errors
from tests.evidence.recorded.recorded_rows import Rows, read_rows, recorded_folder
from tests.evidence.recorded.tables import percent, points, print_table

BILLED_MODELS = ("gpt-3.5-turbo-0125", "gpt-5-nano", "gpt-5-mini", "gpt-5")
DETAILED_MODELS = ("gpt-3.5-turbo-0125", "gpt-5")
JUDGED_GOALS = (HEADLINE_GOAL, "EndToEnd(margin=0.005)", "EndToEnd(margin=0)")
RISKY_GOAL = "TargetRisk(0.05)"
VERDICT_HEADER = (
    "goal",
    "large calls",
    "large alone, 1,000 inputs",
    "cascade, 1,000 inputs",
    "break-even, 1,000 large calls",
    "accuracy change (points)",
    "verdict",
)


@dataclass(frozen=True)
class Prices:
    """What the user pays: for a million tokens, for an hour of a CPU core, and once for setting up."""

    input: float
    output: float
    core_hour: float
    setup: float = 0.0


def measure(folder: Path, prices: Prices) -> dict[tuple[str, str], Verdict]:
    """Train, compare, judge and print; return the verdicts by large model and goal."""
    everything = read_rows(folder, "sms_spam", "eval")
    train = read_rows(folder, "sms_spam", "train").without(everything.texts)
    print(f"sms_spam: {len(train):,} training rows, {len(everything):,} rows scored\n")
    small, baseline = small_model().fit(train.texts, train.labels), baseline_model().fit(train.texts, train.labels)
    seconds = seconds_per_text(small, everything.texts)
    remembered, remembered_baseline = Remembered(small, everything.texts), Remembered(baseline, everything.texts)
    for name in DETAILED_MODELS:
        print(f"### Against {name}\n")
        pair = Pair(everything.with_answer_of(name), remembered, name)
        compare(pair, remembered_baseline)
        print_complementarity(pair)
        print_stability(pair)
    print_selective_risk(pair)
    print_calibration({"words and characters": remembered, "words": remembered_baseline}, everything)
    print(f"small model: {1000 * seconds:.2f} ms of one core a text; {prices}\n")
    pairs = [Pair(everything.with_answer_of(name), remembered, name) for name in BILLED_MODELS]
    return {
        key: verdict for pair in pairs for key, verdict in judge(pair, remembered_baseline, prices, seconds).items()
    }


def judge(pair: Pair, baseline: Remembered, prices: Prices, seconds: float) -> dict[tuple[str, str], Verdict]:
    """Judge the cross-fitted cascades of one large model by cost and accuracy.

    The last one bounds only the small model's own risk, at five times the error of the best large model: the verdict
    must see what that costs.
    """
    name, rows = pair.large_name, pair.rows
    costs = costs_of(rows, name, prices, seconds)
    large = alone(name, pair.large_answers, rows.labels, asked=True)
    verdicts, table = {}, []
    judged = [(goal, pair.small, goal) for goal in JUDGED_GOALS]
    for shown, small, goal in [*judged, (f"{RISKY_GOAL}, baseline small model", baseline, RISKY_GOAL)]:
        applied = cross_fit(small, rows, goals_for(name)[goal])
        change = fewer_errors(Pair(rows, small, name).cascaded(shown, applied), large).points_interval
        verdicts[name, shown] = verdict = judge_worth(applied.accepted, costs, change)
        bills = (f"{1000 * cost:.5f}" for cost in (verdict.large_cost, verdict.cascade_cost))
        break_even = "" if verdict.break_even_price is None else f"{1000 * verdict.break_even_price:.6f}"
        table.append((shown, percent(1 - applied.accepted.mean()), *bills, break_even, points(*change), str(verdict)))
    input_tokens, output_tokens = (np.mean(rows.tokens(name, kind)) for kind in ("prompt_tokens", "completion_tokens"))
    print(f"{name}: {input_tokens:.0f} input and {output_tokens:.0f} output tokens a call, n = {len(rows):,}\n")
    print_table(VERDICT_HEADER, table)
    return verdicts


def costs_of(rows: Rows, large_name: str, prices: Prices, seconds: float) -> CallCosts:
    return CallCosts.of_tokens(
        rows.tokens(large_name, "prompt_tokens"),
        rows.tokens(large_name, "completion_tokens"),
        input_price=prices.input,
        output_price=prices.output,
        small=seconds / 3600 * prices.core_hour,
        setup=prices.setup,
    )


def small_model() -> Pipeline:
    words = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True)
    characters = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), sublinear_tf=True)
    return make_pipeline(make_union(words, characters), LogisticRegression(C=100.0, max_iter=1000))


def baseline_model() -> Pipeline:
    return make_pipeline(TfidfVectorizer(), LogisticRegression(max_iter=1000))


def seconds_per_text(small: Pipeline, texts: list[str]) -> float:
    """Return CPU seconds of one text among a batch."""
    started = time.process_time()
    small.predict_proba(texts)
    return (time.process_time() - started) / len(texts)


def read_prices() -> Prices:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--input-price", type=float, required=True, help="of a million input tokens")
    parser.add_argument("--output-price", type=float, required=True, help="of a million output tokens")
    parser.add_argument("--core-hour", type=float, required=True, help="of one hour of one CPU core")
    parser.add_argument("--setup", type=float, default=0.0, help="paid once, for labels and integration")
    given = parser.parse_args()
    return Prices(given.input_price, given.output_price, given.core_hour, given.setup)


if __name__ == "__main__":
    measure(recorded_folder(), read_prices())
