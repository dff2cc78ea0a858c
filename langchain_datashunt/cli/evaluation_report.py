"""A policy and its evaluation, shown: tables for a terminal, plots for a folder."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from langchain_datashunt.evaluation import Evaluation, cascade_curve
from langchain_datashunt.plots import plot_cost_accuracy, plot_reliability, plot_risk_coverage
from langchain_datashunt.policy.costs import CallCosts
from langchain_datashunt.policy.reliability import reliability_curve
from langchain_datashunt.policy.risk_coverage import GroupRisk, risk_coverage
from langchain_datashunt.policy.shunt_policy import ShuntPolicy
from langchain_datashunt.targets import answer_columns, target_columns
from langchain_datashunt.types import FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class Labelled:
    """The rows behind an evaluation, for its plots."""

    probabilities: FloatArray
    labels: Sequence[Any]
    large_answers: Sequence[Any] | None
    costs: CallCosts | None


def print_policy(policy: ShuntPolicy, console: Console) -> None:
    """Print what a policy decides and what it is certified to do."""
    version = policy.small_model_version or "none: it is tied to no model"
    table = _table("policy", ["", ""])
    table.add_row("id", policy.policy_id)
    table.add_row("small model", version)
    table.add_row("threshold", f"{policy.threshold:.6f} on {policy.confidence_score}")
    table.add_row("calibration", policy.calibration.kind)
    table.add_row("certificate", "none" if policy.certificate is None else policy.certificate.claim())
    for name in ("cheapest", "most_accurate"):
        if policy.metrics is not None and name in policy.metrics:
            table.add_row(name.replace("_", " "), _system(policy.metrics[name]))
    if policy.data is not None:
        table.add_row("rows", f"{policy.data.n_calibration} calibrate, {policy.data.n_certification} certify or select")
    console.print(table)


def print_evaluation(evaluation: Evaluation, console: Console) -> None:
    """Print every system side by side, the calibration, the groups, and the verdict."""
    systems = _table(f"on {evaluation.n} rows", ["system", "accuracy", "95 % interval", "macro F1", "calls", "cost"])
    for score in evaluation.systems:
        systems.add_row(
            score.name,
            f"{score.accuracy:.4f}",
            "" if score.accuracy_interval is None else _interval(score.accuracy_interval),
            "" if score.macro_f1 is None else f"{score.macro_f1:.4f}",
            f"{score.large_calls:.2%}",
            "" if score.cost is None else f"{score.cost:.4g}",
        )
    console.print(systems)
    risk = "none accepted" if evaluation.selective_risk is None else f"{evaluation.selective_risk:.4f}"
    console.print(
        f"coverage {evaluation.coverage:.4f}, selective risk {risk} {_interval(evaluation.selective_risk_interval)}, "
        f"AURC {evaluation.aurc:.4f}; ECE ({evaluation.calibrated['ece_bins']} bins) "
        f"{evaluation.uncalibrated['ece']:.4f} -> {evaluation.calibrated['ece']:.4f}",
        highlight=False,
    )
    if evaluation.accuracy_change is not None:
        change, (low, high) = evaluation.accuracy_change
        console.print(
            f"cascade minus large alone: {change:+.4f} (paired 95 % {low:+.4f} to {high:+.4f})", highlight=False
        )
    for title, groups in (("class given", evaluation.classes), ("group", evaluation.groups)):
        if groups:
            console.print(_group_table(title, groups))
    if evaluation.verdict is not None:
        console.print(str(evaluation.verdict), style="bold", highlight=False)


def draw_evaluation(folder: Path, suffix: str, policy: ShuntPolicy, evaluation: Evaluation, rows: Labelled) -> None:
    """Draw the three plots; cost against accuracy only where the large model's answers are known.

    Args:
        folder: Made where it is not there.
        suffix: ``.png`` or ``.svg``.
        policy: The policy.
        evaluation: Of the policy on the rows.
        rows: The rows.
    """
    folder.mkdir(parents=True, exist_ok=True)
    targets = target_columns(rows.labels, policy.classes)
    calibrated, confidence, _ = policy.judge(rows.probabilities)
    right = calibrated.argmax(axis=1) == targets
    certificate = policy.certificate
    plot_risk_coverage(
        risk_coverage(confidence, ~right),
        folder / f"risk_coverage{suffix}",
        threshold=policy.threshold,
        target=certificate.target if certificate is not None and certificate.quantity == "selective_risk" else None,
    )
    curves = {
        name: reliability_curve(probabilities.max(axis=1), probabilities.argmax(axis=1) == targets)
        for name, probabilities in (("uncalibrated", rows.probabilities), ("calibrated", calibrated))
    }
    plot_reliability(curves, folder / f"reliability{suffix}")
    if rows.large_answers is not None:
        large_right = answer_columns(rows.large_answers, policy.classes) == targets
        curve = cascade_curve(confidence, right, large_right, rows.costs)
        plot_cost_accuracy(evaluation.systems, curve, folder / f"cost_accuracy{suffix}")


def _system(found: Mapping[str, float]) -> str:
    """Say what a certified threshold of `EndToEnd` was seen to do."""
    cost = f", cost {found['cost']:.4g} against {found['cost_of_large_alone']:.4g}" if "cost" in found else ""
    return (
        f"threshold {found['threshold']:.6f}: coverage {found['coverage']:.3f}, "
        f"system accuracy {found['system_accuracy']:.4f}{cost}"
    )


def _group_table(title: str, groups: Iterable[GroupRisk]) -> Table:
    table = _table("", [title, "rows", "coverage", "selective risk", "95 % interval"])
    for group in groups:
        risk = "too few" if group.risk is None else f"{group.risk:.4f}"
        interval = "" if group.interval is None else _interval(group.interval)
        table.add_row(group.group, str(group.n), f"{group.coverage:.3f}", risk, interval)
    return table


def _table(title: str, headings: Sequence[str]) -> Table:
    table = Table(*headings, title=title or None, title_justify="left", show_header=any(headings))
    for each in table.columns[1:]:
        each.justify = "left" if not any(headings) else "right"
    return table


def _interval(interval: tuple[float, float]) -> str:
    return f"{interval[0]:.4f} to {interval[1]:.4f}"
