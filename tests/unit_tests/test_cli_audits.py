from __future__ import annotations

import json
from pathlib import Path

import pytest
from hard_samples import sample
from typer.testing import CliRunner

from langchain_datashunt import HardSampleStore
from langchain_datashunt.bounds.live_bound import LiveBound
from langchain_datashunt.cli.main import build_app


def run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(build_app(), ["audits", *arguments])
    return result.exit_code, result.output


@pytest.fixture
def bounds(tmp_path: Path) -> tuple[str, str]:
    """A quiet bound, and one whose alarm has gone off."""
    quiet, loud = (LiveBound("disagreement", 0.05, lowest_audit_rate=0.02) for _ in range(2))
    quiet.update([False] * 100, 0.02)
    loud.update([True] * 100, 0.02)
    quiet.save(tmp_path / "quiet.json")
    loud.save(tmp_path / "loud.json")
    return str(tmp_path / "quiet.json"), str(tmp_path / "loud.json")


def test_check_ends_well_without_an_alarm(bounds: tuple[str, str]) -> None:
    code, output = run("check", bounds[0])
    assert code == 0
    assert "no alarm" in output


def test_check_ends_with_status_3_where_an_alarm_has_gone_off(bounds: tuple[str, str]) -> None:
    code, output = run("check", *bounds)
    assert code == 3
    assert "ALARM after" in output


def test_check_prints_json(bounds: tuple[str, str]) -> None:
    _, output = run("check", "--json", *bounds)
    quiet, loud = map(json.loads, output.splitlines())
    assert quiet["alarm"] is None
    assert loud["alarm"]["lower"] >= 0.05


def test_estimate_prints_what_the_log_says(tmp_path: Path) -> None:
    path = str(tmp_path / "samples.db")
    with HardSampleStore(path) as store:
        store.append([sample("a", route="audit", sampling_probability=0.02)])
    assert "disagreement among accepted inputs: 1.0000" in run("estimate", "--policy", "policy", "--store", path)[1]
    printed = json.loads(run("estimate", "--policy", "policy", "--store", path, "--json")[1])
    assert printed["disagreement"]["audits"] == 1


def test_estimate_names_the_policies_that_the_log_has(tmp_path: Path) -> None:
    path = str(tmp_path / "samples.db")
    with HardSampleStore(path) as store:
        store.append([sample("a", route="audit", sampling_probability=0.02)])
    result = CliRunner().invoke(build_app(), ["audits", "estimate", "--policy", "polcy", "--store", path])
    assert result.exit_code == 1
    assert str(result.exception) == "the log has nothing of policy 'polcy', tenant None; it has ['policy']"


def fed(tmp_path: Path, wrong: int, right: int) -> tuple[str, str]:
    """A log with so many labelled audits, and the file of a bound to be."""
    path = str(tmp_path / "samples.db")
    with HardSampleStore(path) as store:
        for i in range(wrong + right):
            (id_,) = store.append([sample(str(i), route="audit", label="positive", sampling_probability=0.02)])
            store.label(id_, "negative" if i < wrong else "positive")
    return path, str(tmp_path / "error.json")


NEW = ("--target", "0.05", "--lowest-audit-rate", "0.02")


def test_feed_adds_peoples_labels_and_ends_with_status_3_at_an_alarm(tmp_path: Path) -> None:
    log, file = fed(tmp_path, 0, 20)
    code, output = run("feed", file, "--policy", "policy", "--store", log, *NEW)
    assert (code, "0.0000 in 20 audits" in output) == (0, True)
    with HardSampleStore(log) as store:
        wrong = [sample(f"wrong {i}", route="audit", label="positive", sampling_probability=0.02) for i in range(20)]
        for id_ in store.append(wrong):
            store.label(id_, "negative")
    code, output = run("feed", file, "--policy", "policy", "--store", log)
    assert (code, "ALARM after" in output) == (3, True)
    assert run("check", file)[0] == 3
    assert run("check", "--json", file)[0] == 3


def test_feed_says_what_a_new_or_another_bound_needs(tmp_path: Path) -> None:
    log, file = fed(tmp_path, 0, 1)

    def refusal(*arguments: str) -> str:
        result = CliRunner().invoke(build_app(), ["audits", "feed", file, "--store", log, *arguments])
        assert result.exit_code == 1
        return str(result.exception)

    assert "needs --target and --lowest-audit-rate" in refusal("--policy", "policy")
    assert run("feed", file, "--policy", "policy", "--store", log, *NEW)[0] == 0
    assert "has its target already" in refusal("--policy", "policy", *NEW)
    assert "watches the policy 'policy', not 'other'" in refusal("--policy", "other")
