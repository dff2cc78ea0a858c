"""The policy on labelled rows that had no part in it, beside every baseline."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from langchain_datashunt.evaluation import Evaluation, evaluate_policy
from langchain_datashunt.policy.reliability import reliability_curve
from langchain_datashunt.policy.risk_coverage import risk_coverage
from langchain_datashunt.policy.shunt_policy import ShuntPolicy
from langchain_datashunt.report.charts import Axis, Canvas, nice_high, reliability_canvas
from langchain_datashunt.report.parts import Chart, Section, Table
from langchain_datashunt.report.wording import decimal, number, percent, span, visible
from langchain_datashunt.targets import target_columns
from langchain_datashunt.types import BoolArray, FloatArray

_MOST_POINTS = 200
_SHOWN_COVERAGES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)


@dataclass(frozen=True, slots=True, eq=False)
class LabelledRows:
    """Labelled rows that neither trained the small model nor fitted the policy.

    Attributes:
        probabilities: ``(n, k)`` of the small model, uncalibrated.
        labels: True labels.
        large_answers: The large model's parsed answers, None where a reply was invalid; None without.
    """

    probabilities: FloatArray
    labels: Sequence[Any]
    large_answers: Sequence[Any] | None = None


def on_labelled_rows(policy: ShuntPolicy, rows: LabelledRows) -> Section:
    """Return the section.

    Raises:
        CalibrationDataError: The rows cannot be used.
    """
    evaluation = evaluate_policy(policy, rows.probabilities, rows.labels, large_answers=rows.large_answers)
    calibrated, confidence, _ = policy.judge(rows.probabilities)
    wrong = calibrated.argmax(axis=1) != target_columns(rows.labels, policy.classes)
    risk = "no row was accepted" if evaluation.selective_risk is None else percent(evaluation.selective_risk)
    lead = (
        f"On {number(evaluation.n)} rows that had no part in the policy: coverage {percent(evaluation.coverage)}; "
        f"wrong among the accepted {risk} (95\u00a0% interval {span(*evaluation.selective_risk_interval)})."
    )
    return Section(
        "labelled-rows",
        "On labelled rows",
        [lead],
        [_risk_coverage(confidence, wrong, policy), _reliability(calibrated.max(axis=1), ~wrong)],
        [_systems(evaluation), *_classes(evaluation)],
        ["Intervals are Clopper and Pearson's, of 95\u00a0%."],
    )


def _risk_coverage(confidence: FloatArray, wrong: BoolArray, policy: ShuntPolicy) -> Chart:
    curve = risk_coverage(confidence, wrong)
    step = max(len(curve.coverage) // _MOST_POINTS, 1)
    points = list(zip(curve.coverage[::step].tolist(), curve.risk[::step].tolist(), strict=True))
    points.append((float(curve.coverage[-1]), float(curve.risk[-1])))
    canvas = Canvas(
        "rows-risk",
        "Risk and coverage on labelled rows",
        "Share of wrong answers among the surest rows; the table holds the numbers.",
        Axis(0, 1, "coverage", percent=True),
        Axis(0, nice_high(max(y for _, y in points)), "wrong among accepted", percent=True),
    )
    canvas.axes()
    canvas.path("line", points)
    canvas.vertical(float((confidence >= policy.threshold).mean()), f"threshold {decimal(policy.threshold)}")
    rows = [(percent(coverage), percent(curve.risk_at(coverage))) for coverage in _SHOWN_COVERAGES]
    numbers = Table("Risk by coverage", ["coverage#", "wrong among accepted#"], rows)
    meaning = f"The surest rows first; {number(len(confidence))} rows. Area under the curve {curve.area:.4f}."
    return Chart("Risk and coverage on labelled rows", canvas.svg(), meaning, numbers)


def _reliability(confidence: FloatArray, right: BoolArray) -> Chart:
    curve = reliability_curve(confidence, right)
    floor = float(min(curve.confidence.min(), curve.accuracy.min(), 0.5))
    canvas = reliability_canvas(
        "rows-reliability",
        "Reliability on labelled rows",
        "Right answers against calibrated confidence, by bins; on the dashed line both are equal.",
        floor,
    )
    cells = list(zip(curve.confidence.tolist(), curve.accuracy.tolist(), curve.counts.tolist(), strict=True))
    for x, y, _ in cells:
        canvas.dot(x, y)
    numbers = Table(
        "Reliability",
        ["mean confidence#", "right#", "rows#"],
        [(percent(x), percent(y), number(n)) for x, y, n in cells],
    )
    error = f"Expected calibration error {percent(curve.calibration_error)}, {curve.bins} bins of equal width."
    return Chart("Reliability on labelled rows", canvas.svg(), error, numbers)


def _systems(evaluation: Evaluation) -> Table:
    rows = [
        (
            score.name,
            percent(score.accuracy),
            "" if score.accuracy_interval is None else span(*score.accuracy_interval),
            percent(score.large_calls),
        )
        for score in evaluation.systems
    ]
    return Table(
        "Every way of answering, side by side", ["system", "right#", "95\u00a0% interval#", "LLM calls#"], rows
    )


def _classes(evaluation: Evaluation) -> list[Table]:
    rows = [
        (
            visible(group.group),
            number(group.n),
            percent(group.coverage),
            "too few" if group.risk is None else percent(group.risk),
            "" if group.interval is None else span(*group.interval),
        )
        for group in evaluation.classes
    ]
    columns = ["label given", "rows#", "coverage#", "wrong among accepted#", "95\u00a0% interval#"]
    return [Table("By the label that the small model gives", columns, rows)]
