from __future__ import annotations

import csv
from pathlib import Path

import pytest
from reported_logs import fill
from typer.testing import CliRunner

from langchain_datashunt import HardSampleStore, LiveBound, ShuntPolicy
from langchain_datashunt.cli.main import build_app


def run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(build_app(), ["report", *arguments])
    return result.exit_code, result.output


@pytest.fixture
def log(tmp_path: Path) -> str:
    with HardSampleStore(tmp_path / "log.db") as store:
        fill(store)
    return str(tmp_path / "log.db")


def test_a_report_is_written_with_prices_policy_bound_and_rows(log: str, tmp_path: Path) -> None:
    policy = ShuntPolicy(classes=("positive", "negative"), threshold=0.8)
    policy.save(tmp_path / "policy.json")
    bound = LiveBound("disagreement", 0.05, lowest_audit_rate=0.1)
    bound.save(tmp_path / "bound.json")
    with (tmp_path / "rows.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["text", "p_positive", "p_negative", "label", "llm"])
        rows.writerows([f"text {i}", 0.9, 0.1, "positive" if i % 10 else "negative", "positive"] for i in range(50))
    out = str(tmp_path / "out.html")
    files = [f"--policy={tmp_path}/policy.json", f"--bound={tmp_path}/bound.json", f"--rows={tmp_path}/rows.csv"]
    prices = ["--input-price=0.25", "--output-price=2", "--currency=CHF", "--large-answer=llm", "--title=August"]
    assert run(out, f"--store={log}", *files, *prices) == (0, f"written to {out}\n")
    page = Path(out).read_text(encoding="utf-8")
    for expected in ("<h1>August</h1>", "CHF", "On labelled rows", "Live bound on disagreement", "random shunt"):
        assert expected in page


def test_half_a_price_and_rows_without_a_policy_are_refused(log: str, tmp_path: Path) -> None:
    code, output = run(str(tmp_path / "out.html"), f"--store={log}", "--input-price=1")
    assert code == 2
    assert "--output-price" in output
    code, output = run(str(tmp_path / "out.html"), f"--store={log}", "--rows=rows.csv")
    assert code == 2
    assert "--policy" in output


def test_the_report_names_no_path_of_the_log(log: str, tmp_path: Path) -> None:
    run(str(tmp_path / "out.html"), f"--store={log}")
    page = (tmp_path / "out.html").read_text(encoding="utf-8")
    assert "log.db" not in page
    assert str(tmp_path) not in page
