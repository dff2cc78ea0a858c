from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from langchain_datashunt.evaluation import cascade_curve, evaluate_policy
from langchain_datashunt.plots import plot_cost_accuracy, plot_reliability, plot_risk_coverage
from langchain_datashunt.policy.costs import CallCosts
from langchain_datashunt.policy.reliability import reliability_curve
from langchain_datashunt.policy.risk_coverage import risk_coverage
from langchain_datashunt.policy.shunt_policy import ShuntPolicy

RNG = np.random.default_rng(0)
ROWS = RNG.dirichlet([0.5, 0.5], 200)
LABELS = RNG.choice(["a", "b"], 200).tolist()
CONFIDENCE = ROWS.max(axis=1)
RIGHT = np.array(["a", "b"])[ROWS.argmax(axis=1)] == LABELS


@pytest.mark.parametrize(("suffix", "signature"), [(".png", b"\x89PNG"), (".svg", b"<?xml")])
def test_every_plot_is_a_file_of_the_kind_asked_for(tmp_path: Path, suffix: str, signature: bytes) -> None:
    files = [tmp_path / f"{name}{suffix}" for name in ("risk", "reliability", "cost")]
    plot_risk_coverage(risk_coverage(CONFIDENCE, ~RIGHT), files[0], threshold=0.8, target=0.1)
    plot_reliability({"before": reliability_curve(CONFIDENCE, RIGHT)}, files[1])
    systems = evaluate_policy(ShuntPolicy(("a", "b"), 0.8), ROWS, LABELS, large_answers=LABELS).systems
    plot_cost_accuracy(systems, cascade_curve(CONFIDENCE, RIGHT, np.ones(200, dtype=bool)), files[2])
    for file in files:
        assert file.read_bytes().startswith(signature)


def test_every_baseline_stands_in_the_cost_plot(tmp_path: Path) -> None:
    costs = CallCosts(0.1, 1.0)
    systems = evaluate_policy(ShuntPolicy(("a", "b"), 0.8), ROWS, LABELS, large_answers=LABELS, costs=costs).systems
    curve = cascade_curve(CONFIDENCE, RIGHT, np.ones(200, dtype=bool), costs)
    plot_cost_accuracy(systems, curve, tmp_path / "cost.svg")
    text = (tmp_path / "cost.svg").read_text()
    for system in systems:
        assert system.name in text
    assert "cost an input" in text


def test_an_svg_is_the_same_each_time(tmp_path: Path) -> None:
    for name in ("one.svg", "two.svg"):
        plot_risk_coverage(risk_coverage(CONFIDENCE, ~RIGHT), tmp_path / name)
    assert (tmp_path / "one.svg").read_bytes() == (tmp_path / "two.svg").read_bytes()


def test_another_kind_of_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"\.png or \.svg, got 'plot.pdf'"):
        plot_reliability({}, tmp_path / "plot.pdf")


def test_the_cascade_curve_runs_from_large_alone_to_small_alone() -> None:
    large_right = RNG.random(200) < 0.9
    curve = cascade_curve(CONFIDENCE, RIGHT, large_right, CallCosts(0.1, 1.0))
    assert curve.cost[0] == pytest.approx(1.1)
    assert curve.accuracy[0] == pytest.approx(large_right.mean())
    assert curve.cost[-1] == pytest.approx(0.1)
    assert curve.accuracy[-1] == pytest.approx(RIGHT.mean())
    assert (np.diff(curve.cost) < 0).all()
