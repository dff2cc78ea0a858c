"""Plots of an evaluation: risk-coverage, reliability, cost against accuracy. PNG or SVG; needs the extra ``report``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from langchain_datashunt.errors import MissingExtraError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from matplotlib.axes import Axes

    from langchain_datashunt.evaluation import CascadeCurve, SystemScore
    from langchain_datashunt.policy.reliability import ReliabilityCurve
    from langchain_datashunt.policy.risk_coverage import RiskCoverage

FORMATS = (".png", ".svg")


def plot_risk_coverage(
    curve: RiskCoverage, path: str | Path, *, threshold: float | None = None, target: float | None = None
) -> None:
    """Draw selective risk against coverage.

    Args:
        curve: Of the rows.
        path: File to write, ending in .png or .svg.
        threshold: A policy's, to mark its point.
        target: A certified risk, drawn as a line.

    Raises:
        MissingExtraError: matplotlib is not installed.
        ValueError: The file ends in something else.
    """
    with _drawing(path, "coverage", "selective risk") as axes:
        axes.step(curve.coverage, curve.risk, where="post", label=f"small model (AURC {curve.area:.4f})")
        if target is not None:
            axes.axhline(target, color="black", linestyle="--", linewidth=1, label=f"target {target:g}")
        accepted = 0 if threshold is None else int(np.sum(curve.thresholds >= threshold))
        if accepted:
            axes.plot(curve.coverage[accepted - 1], curve.risk[accepted - 1], "o", label=f"threshold {threshold:.4f}")
        axes.set_xlim(0, 1)
        axes.set_ylim(bottom=0)


def plot_reliability(curves: Mapping[str, ReliabilityCurve], path: str | Path) -> None:
    """Draw accuracy against confidence; on the diagonal confidence means what it says.

    Args:
        curves: By name, for example before and after calibration.
        path: File to write, ending in .png or .svg.

    Raises:
        MissingExtraError: matplotlib is not installed.
        ValueError: The file ends in something else.
    """
    with _drawing(path, "confidence", "accuracy") as axes:
        axes.plot([0, 1], [0, 1], color="black", linestyle="--", linewidth=1)
        for name, curve in curves.items():
            label = f"{name} (ECE {curve.calibration_error:.4f}, {curve.bins} bins)"
            axes.plot(curve.confidence, curve.accuracy, "o-", label=label)


def plot_cost_accuracy(systems: Sequence[SystemScore], curve: CascadeCurve, path: str | Path) -> None:
    """Draw accuracy against cost: the cascade at every threshold, and every baseline as a point.

    Cost is that of the systems where they have one, else the share of large calls.

    Args:
        systems: Of an evaluation.
        curve: Of the same rows and costs.
        path: File to write, ending in .png or .svg.

    Raises:
        MissingExtraError: matplotlib is not installed.
        ValueError: The file ends in something else.
    """
    with_costs = all(system.cost is not None for system in systems)
    with _drawing(path, "cost an input" if with_costs else "share of large calls", "accuracy") as axes:
        axes.plot(curve.cost, curve.accuracy, label="cascade at every threshold (these rows)")
        for system in systems:
            cost = system.large_calls if system.cost is None else system.cost
            axes.plot(cost, system.accuracy, "o", label=system.name)


@contextmanager
def _drawing(path: str | Path, x: str, y: str) -> Iterator[Axes]:
    """Give empty axes, and write them to the file when they are drawn."""
    path = Path(path)
    if path.suffix.lower() not in FORMATS:
        raise ValueError(f"plots are written as {' or '.join(FORMATS)}, got {path.name!r}")
    try:
        import matplotlib as mpl  # noqa: PLC0415  an extra
        from matplotlib.figure import Figure  # noqa: PLC0415  an extra
    except ImportError as error:
        raise MissingExtraError("plotting", "report") from error
    figure = Figure(figsize=(6, 4.5), layout="constrained")  # not pyplot, which keeps figures and opens windows
    axes = figure.subplots()
    yield axes
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.grid(visible=True, alpha=0.3)
    axes.legend(fontsize="small")
    reproducible: dict[str, Any] = {"Date": None} if path.suffix.lower() == ".svg" else {}
    with mpl.rc_context({"svg.hashsalt": "langchain-datashunt"}):
        figure.savefig(path, metadata=reproducible, dpi=150)
