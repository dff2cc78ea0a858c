from __future__ import annotations

import json
from pathlib import Path

import pytest

from langchain_datashunt.distillation.gate_ledger import GateLedger
from langchain_datashunt.errors import DistillationError


@pytest.mark.parametrize("budget", [0.001, 0.05, 0.5])
def test_all_looks_together_spend_no_more_than_the_budget(tmp_path: Path, budget: float) -> None:
    ledger = GateLedger(tmp_path / "ledger.json", budget)
    levels = [ledger.spend({"candidate": str(number)}).error_level for number in range(25)]
    assert sum(levels) < budget
    assert levels == sorted(levels, reverse=True)


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
