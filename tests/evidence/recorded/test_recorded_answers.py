"""What docs/evidence-recorded.md claims, measured again: run by `make evidence`."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.evidence.recorded import measure_banking77, measure_imdb, measure_sms_spam
from tests.evidence.recorded.comparison import HEADLINE_GOAL, PAPER_CALL_RATE
from tests.evidence.recorded.outcomes import Outcome, fewer_errors

pytestmark = [pytest.mark.evidence, pytest.mark.recorded]

EXAMPLE_PRICES = measure_sms_spam.Prices(input=1.0, output=8.0, core_hour=0.05)


def test_the_imdb_cascade_errs_less_than_gpt_3_5_at_the_papers_call_rate(recorded_data: Path) -> None:
    outcomes = measure_imdb.measure(recorded_data)
    assert_fewer_errors_within_the_budget(outcomes, measure_imdb.LARGE_MODEL)


def test_the_banking77_cascade_errs_less_than_gpt_4_at_the_papers_call_rate(recorded_data: Path) -> None:
    outcomes = measure_banking77.measure(recorded_data)
    assert_fewer_errors_within_the_budget(outcomes, measure_banking77.LARGE_MODEL)


def test_the_sms_spam_verdict_turns_with_the_small_model(recorded_data: Path) -> None:
    verdicts = measure_sms_spam.measure(recorded_data, EXAMPLE_PRICES)
    for large in measure_sms_spam.BILLED_MODELS:
        assert verdicts[large, HEADLINE_GOAL].shunt
    risky = f"{measure_sms_spam.RISKY_GOAL}, baseline small model"
    assert not verdicts["gpt-5", risky].shunt


def assert_fewer_errors_within_the_budget(outcomes: dict[str, Outcome], large: str) -> None:
    system = outcomes[f"cascade, {HEADLINE_GOAL}"]
    assert system.call_rate <= PAPER_CALL_RATE
    lowest, _ = fewer_errors(system, outcomes[f"{large} alone"]).points_interval
    assert lowest > 0
