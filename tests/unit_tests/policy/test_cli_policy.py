from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import Result
from typer.testing import CliRunner

from langchain_datashunt.cli.main import build_app
from langchain_datashunt.policy.shunt_policy import ShuntPolicy

MODEL = """
import numpy as np
class Model:
    classes_ = ("negative", "positive")
    version = "saying-1"
    def predict_proba(self, inputs):
        chance = np.array([float(each.split()[1]) for each in inputs])
        return np.column_stack([1 - chance, chance])
model = Model()
nothing = object()
"""


def draw(n: int, seed: int) -> list[dict[str, Any]]:
    rng = np.random.default_rng(seed)
    chance = rng.beta(0.3, 0.3, n)
    labels = np.where(rng.random(n) < chance, "positive", "negative")
    return [
        {
            "text": f"{i} {chance[i]:.17g}",
            "label": str(labels[i]),
            "p_negative": float(1 - chance[i]),
            "p_positive": float(chance[i]),
            "answer": str(labels[i]) if rng.random() < 0.95 else "",
            "language": str(rng.choice(["en", "fi"])),
            "price": 0.001 * (1 + i % 3),
        }
        for i in range(n)
    ]


def write_csv(path: Path, rows: list[dict[str, Any]]) -> Path:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "my_small_model.py").write_text(MODEL)
    write_csv(tmp_path / "fit.csv", draw(1_500, seed=0))
    write_csv(tmp_path / "test.csv", draw(800, seed=1))
    return tmp_path


def run(*arguments: str) -> Result:
    return CliRunner().invoke(build_app(), list(arguments))


def fit(*arguments: str) -> Result:
    return run("fit-policy", "fit.csv", "--small", "my_small_model:model", *arguments)


@pytest.mark.usefixtures("folder")
def test_a_fitted_policy_is_written_and_its_certificate_printed() -> None:
    result = fit("--target-risk", "0.1", "--out", "mine.json")
    assert result.exit_code == 0, result.output
    policy = ShuntPolicy.load("mine.json")
    assert policy.small_model_version == "saying-1"
    assert policy.goal == {"kind": "TargetRisk", "risk": 0.1, "confidence_level": 0.95}
    assert policy.policy_id in result.output
    assert "certified at level 0.95" in result.output


@pytest.mark.usefixtures("folder")
def test_an_infeasible_goal_ends_with_status_four_and_says_what_is_achievable() -> None:
    result = fit("--target-risk", "0.0001")
    assert result.exit_code == 4
    assert "INFEASIBLE" in result.output
    assert "lowest certified risk" in result.output
    assert not Path("policy.json").exists()


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("arguments", "kind"),
    [
        (["--max-deferral", "0.3"], "MaxDeferral"),
        (["--margin", "0.05", "--large-answer", "answer"], "EndToEnd"),
        (["--max-cost", "0.3", "--small-cost", "0.00001", "--large-cost", "0.002"], "MaxDeferral"),
    ],
)
def test_every_goal_can_be_asked_for(arguments: list[str], kind: str) -> None:
    assert fit(*arguments).exit_code == 0
    assert (ShuntPolicy.load("policy.json").goal or {})["kind"] == kind


def test_a_budget_of_cost_is_kept_with_a_price_for_each_call(folder: Path) -> None:
    result = fit("--max-cost", "0.3", "--small-cost", "0.00001", "--large-cost-column", "price")
    assert result.exit_code == 0, result.output
    policy = ShuntPolicy.load("policy.json")
    assert policy.goal == {
        "kind": "MaxDeferral", "share": 0.3, "confidence_level": None, "of": "cost", "best": "deferral"
    }  # fmt: skip
    with (folder / "fit.csv").open(newline="") as file:
        rows = [(float(row["p_positive"]), float(row["price"])) for row in csv.DictReader(file)]
    probabilities = np.array([[1 - chance, chance] for chance, _ in rows])
    prices = np.array([price for _, price in rows])
    spent = 0.00001 * len(rows) + prices[~policy.accepts(probabilities)].sum()
    assert 0.25 < spent / prices.sum() < 0.33


@pytest.mark.usefixtures("folder")
def test_a_margin_with_costs_says_what_its_thresholds_cost() -> None:
    result = fit(
        "--margin", "0.05", "--large-answer", "answer", "--small-cost", "0.00001", "--large-cost-column", "price"
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert "against" in result.output
    metrics = ShuntPolicy.load("policy.json").metrics
    assert metrics is not None
    assert metrics["cheapest"]["cost"] < metrics["cheapest"]["cost_of_large_alone"]


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "exactly one goal"),
        (["--target-risk", "0.1", "--margin", "0.1"], "exactly one goal"),
        (["--margin", "0.1"], "--large-answer"),
        (["--target-risk", "2"], "strictly between 0 and 1"),
        (["--max-cost", "0.3"], "--max-cost needs prices"),
        (["--max-cost", "0.3", "--small-cost", "1"], "costs come together"),
        (["--target-risk", "0.1", "--small-cost", "1", "--large-cost", "2"], "not with --target-risk"),
        (["--target-risk", "0.1", "--calibration", "platt"], "platt"),
    ],
)
def test_a_goal_that_makes_no_sense_is_a_usage_error(arguments: list[str], message: str) -> None:
    result = fit(*arguments)
    assert result.exit_code == 2
    assert message in result.output


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_rows_come_from_csv_jsonl_and_parquet_alike(folder: Path, suffix: str) -> None:
    rows = draw(1_500, seed=0)
    if suffix == "jsonl":
        (folder / "fit.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    elif suffix == "parquet":
        pyarrow = pytest.importorskip("pyarrow")
        pyarrow.parquet = pytest.importorskip("pyarrow.parquet")
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), folder / "fit.parquet")
    result = run("fit-policy", f"fit.{suffix}", "--target-risk", "0.1", "--small-version", "saying-1")
    assert result.exit_code == 0, result.output
    remembered = ShuntPolicy.load("policy.json")
    fit("--target-risk", "0.1")
    assert ShuntPolicy.load("policy.json") == remembered


def test_an_evaluation_compares_everything_and_gives_a_verdict(folder: Path) -> None:
    fit("--target-risk", "0.1")
    result = run(
        "evaluate", "test.csv", "--small", "my_small_model:model", "--large-answer", "answer", "--group", "language",
        "--small-cost", "0.00001", "--large-cost-column", "price", "--json", "figures.json", "--plots", "plots",
        "--format", "svg",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    for part in ("small alone", "large alone", "random shunt", "cascade", "ECE", "fi", "SHUNT"):
        assert part in result.output
    figures = json.loads((folder / "figures.json").read_text())
    assert figures["n"] == 800
    assert figures["verdict"]["saving"] > 0
    for name in ("risk_coverage", "reliability", "cost_accuracy"):
        assert (folder / "plots" / f"{name}.svg").read_text().lstrip().startswith("<?xml")


@pytest.mark.usefixtures("folder")
def test_a_policy_of_another_model_is_refused() -> None:
    fit("--target-risk", "0.1")
    result = run("evaluate", "test.csv", "--small-version", "another")
    assert result.exit_code == 1
    assert "was fitted for small model 'saying-1'" in str(result.exception)


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["fit-policy", "missing.csv", "--target-risk", "0.1"], "there is no file"),
        (["fit-policy", "my_small_model.py", "--target-risk", "0.1"], "rows are read from"),
        (["fit-policy", "fit.csv", "--target-risk", "0.1", "--input", "body"], "no column 'body'"),
        (["fit-policy", "fit.csv", "--target-risk", "0.1", "--prefix", "q_"], "named q_<class>"),
        (["fit-policy", "fit.csv", "--target-risk", "0.1", "--prefix", "la"], "must hold probabilities"),
        (["fit-policy", "fit.csv", "--target-risk", "0.1", "--small", "nonsense"], "package.module:attribute"),
        (["fit-policy", "fit.csv", "--max-cost", "0.3", "--small-cost", "1", "--large-cost-column", "label"], "cost"),
        (["fit-policy", "fit.csv", "--target-risk", "0.1", "--small", "no_such:model"], "No module named"),
        (["fit-policy", "fit.csv", "--target-risk", "0.1", "--small", "my_small_model:nothing"], "no predict_proba"),
        (["evaluate", "test.csv", "--policy", "fit.csv"], "is no policy"),
    ],
)
def test_bad_input_is_named(arguments: list[str], message: str) -> None:
    result = run(*arguments)
    assert result.exit_code == 1
    assert message in str(result.exception)


@pytest.mark.usefixtures("folder")
def test_costs_come_together_or_not_at_all() -> None:
    fit("--target-risk", "0.1")
    result = run("evaluate", "test.csv", "--small", "my_small_model:model", "--small-cost", "1")
    assert result.exit_code == 2
    assert "--large-cost" in result.output
