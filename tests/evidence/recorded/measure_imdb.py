"""IMDB reviews: a small model trained on two CPU cores, and recorded answers of GPT-3.5 and Llama-2.

Run: ``python -m tests.evidence.recorded.measure_imdb``; training takes half an hour of two free CPU cores. With
``--linear`` the small model is the ensemble's linear part, trained in minutes.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from tests.evidence.recorded.comparison import (
    HEADLINE_GOAL,
    Pair,
    compare,
    goals_for,
    print_calibration,
    print_complementarity,
    print_headline,
    print_selective_risk,
    print_stability,
)
from tests.evidence.recorded.cross_fitting import Remembered, cross_fit
from tests.evidence.recorded.label_thresholds import cross_fit_label_thresholds, hindsight_label_thresholds
from tests.evidence.recorded.outcomes import Outcome, alone, cascade, with_fallback
from tests.evidence.recorded.recorded_rows import Rows, read_rows, recorded_folder
from tests.evidence.recorded.review_models import baseline_small_model, best_small_model, linear_small_model
from tests.evidence.recorded.tables import print_outcomes

LARGE_MODEL, OTHER_LARGE_MODEL = "gpt-3.5-turbo-1106", "llama-2-70b-chat"


def measure(folder: Path, *, linear_only: bool = False) -> dict[str, Outcome]:
    """Train, compare and print; return the outcomes against GPT-3.5 by name."""
    scored = read_rows(folder, "imdb", "eval")
    train = read_rows(folder, "imdb", "train").without(scored.texts)
    print(f"IMDB: {len(train):,} training rows, {len(scored):,} rows scored\n")
    models = linear_small_model() if linear_only else best_small_model(), baseline_small_model()
    small, baseline = (Remembered(model.fit(train.texts, train.labels.tolist()), scored.texts) for model in models)
    return compare_models(scored, small, baseline)


def compare_models(scored: Rows, small: Remembered, baseline: Remembered) -> dict[str, Outcome]:
    """Compare and print what is measured of trained small models; return the outcomes against GPT-3.5 by name."""
    pair = Pair(scored, small, LARGE_MODEL)
    print(f"### Against {LARGE_MODEL}\n")
    outcomes = compare(pair, baseline)
    print_headline(pair, outcomes)
    print_selective_risk(pair)
    print_stability(pair)
    print_complementarity(pair)
    print_label_thresholds(pair)
    print_calibration({"named small model": small, "TF-IDF + logistic regression": baseline}, scored)
    print(f"### Against {OTHER_LARGE_MODEL}\n")
    print_other_large_model(Pair(scored, small, OTHER_LARGE_MODEL))
    return outcomes


def print_label_thresholds(pair: Pair) -> None:
    """Print the experiment with one threshold a predicted label."""
    answers, labels = np.array(pair.large_answers), pair.rows.labels
    wrong_by_answer = [f"{(pair.large_wrong & (answers == label)).sum()} {label}" for label in pair.small.classes_]
    print(f"wrong answers of {pair.large_name}: {', '.join(wrong_by_answer)}\n")
    large = alone(f"{pair.large_name} alone", pair.large_answers, labels, asked=True)
    decisions = {
        "cascade, a threshold for each predicted label": cross_fit_label_thresholds(pair),
        "the same with hindsight: no system, a limit": hindsight_label_thresholds(pair),
    }
    answers_of_both = pair.small_answers, pair.large_answers
    print_outcomes([cascade(name, done, *answers_of_both, labels) for name, done in decisions.items()], large)


def print_other_large_model(pair: Pair) -> None:
    """Print the large model whose replies are sometimes invalid, with and without a fallback on the small model."""
    labels = pair.rows.labels
    mended = with_fallback(pair.large_answers, pair.small_answers)
    reference = alone(f"{pair.large_name} with the invalid-reply fallback", mended, labels, asked=True)
    accepted = cross_fit(pair.small, pair.rows, goals_for(pair.large_name)[HEADLINE_GOAL]).accepted
    outcomes = [
        alone(f"{pair.large_name} alone", pair.large_answers, labels, asked=True),
        reference,
        cascade(f"cascade, {HEADLINE_GOAL}", accepted, pair.small_answers, pair.large_answers, labels),
        cascade(f"cascade with the fallback, {HEADLINE_GOAL}", accepted, pair.small_answers, mended, labels),
    ]
    print_outcomes(outcomes, reference)
    invalid = sum(answer is None for answer in pair.large_answers)
    print(f"{invalid} of {len(labels):,} replies of {pair.large_name} are no valid answer\n")


if __name__ == "__main__":
    measure(recorded_folder(), linear_only="--linear" in sys.argv[1:])
