from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from langchain_datashunt.distillation.gate_ledger import GateLedger, Look
from langchain_datashunt.errors import DistillationError


def levels_of(path: Path, budget: float, decisions: Sequence[str]) -> list[float]:
    """The levels of as many looks as there are decisions."""
    ledger, levels = GateLedger(path, budget), []
    for number, decision in enumerate(decisions):
        look = ledger.spend({"candidate": str(number)})
        ledger.note(look, decision)
        levels.append(look.error_level)
    return levels


@pytest.mark.parametrize("budget", [0.001, 0.05, 0.5])
def test_looks_that_promote_nothing_spend_no_more_than_the_budget_together(tmp_path: Path, budget: float) -> None:
    levels = levels_of(tmp_path / "ledger.json", budget, ["reject", "undecided"] * 12)
    assert sum(levels) < budget
    assert levels == sorted(levels, reverse=True)


def test_a_promotion_hands_its_level_on_to_the_next_look_only(tmp_path: Path) -> None:
    levels = levels_of(tmp_path / "ledger.json", 0.12, ["promote", "promote", "reject", "undecided", "promote"])
    assert levels == pytest.approx([0.06, 0.06 + 0.02, 0.06 + 0.02 + 0.01, 0.006, 0.004])


def test_a_look_that_was_never_decided_hands_nothing_on(tmp_path: Path) -> None:
    ledger = GateLedger(tmp_path / "ledger.json", 0.12)
    ledger.spend({"candidate": "a"})
    assert ledger.spend({"candidate": "b"}).error_level == pytest.approx(0.02)


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=12))
def test_wrong_candidates_have_no_more_than_the_budget_up_to_the_first_wrong_promotion(
    candidates: list[tuple[bool, bool]],
) -> None:
    with TemporaryDirectory() as folder:
        decisions = ["promote" if promoted else "reject" for _, promoted in candidates]
        levels = levels_of(Path(folder, "ledger.json"), 0.05, decisions)
    at_risk = 0.0
    for level, (wrong, promoted) in zip(levels, candidates, strict=True):
        at_risk += level * wrong
        if wrong and promoted:
            break
    assert at_risk < 0.05


@pytest.mark.skipif(sys.platform == "win32", reason="there one process at a time may judge")
def test_looks_at_the_same_time_have_numbers_and_levels_of_their_own(tmp_path: Path) -> None:
    def spent(who: int) -> list[Look]:
        ledger = GateLedger(tmp_path / "ledger.json", 0.05)
        return [ledger.spend({"candidate": f"{who} {i}"}) for i in range(10)]

    with ThreadPoolExecutor(4) as pool:
        looks = [look for each in pool.map(spent, range(4)) for look in each]
    assert sorted(look.number for look in looks) == list(range(1, 41))
    assert sum(look.error_level for look in looks) < 0.05


def test_a_look_is_written_before_its_result_is_known(tmp_path: Path) -> None:
    path = tmp_path / "new" / "ledger.json"
    look = GateLedger(path, 0.05).spend({"candidate": "a"})
    assert json.loads(path.read_text(encoding="utf-8"))["looks"][0]["decision"] is None
    after_a_crash = GateLedger(path, 0.05)
    assert after_a_crash.spend({"candidate": "a"}) == look
    after_a_crash.note(look, "reject")
    assert after_a_crash.spend({"candidate": "b"}).number == 2
    assert [each.name for each in path.parent.iterdir()] == ["ledger.json"]


def test_a_budget_stays_what_it_was(tmp_path: Path) -> None:
    GateLedger(tmp_path / "ledger.json", 0.05).spend({"candidate": "a"})
    with pytest.raises(DistillationError, match=r"budget 0\.05"):
        GateLedger(tmp_path / "ledger.json", 0.1)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"format_version": 2, "error_budget": 0.05, "looks": []}'])
def test_a_file_that_is_no_ledger_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "ledger.json"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(DistillationError, match=r"ledger\.json"):
        GateLedger(path, 0.05)


def test_a_budget_is_a_chance(tmp_path: Path) -> None:
    with pytest.raises(DistillationError, match="error_budget"):
        GateLedger(tmp_path / "ledger.json", 0.0)
