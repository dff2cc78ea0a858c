"""The one door that makes policies from a small model and labelled rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from langchain_datashunt.calibration import Calibration, NoCalibration, fit_temperature
from langchain_datashunt.confidence import ConfidenceScore, confidence_of
from langchain_datashunt.errors import CalibrationDataError
from langchain_datashunt.goals import TargetRisk
from langchain_datashunt.policy import CalibrationData, ShuntPolicy
from langchain_datashunt.small_models import class_names, label_name, probability_rows, version_of
from langchain_datashunt.splitting import as_uniform, data_fingerprint, hash_inputs
from langchain_datashunt.thresholds import certify_target_risk
from langchain_datashunt.types import FloatArray, SmallModel

CERTIFICATION_SHARE = 0.75


def fit_policy(
    small: SmallModel,
    inputs: Sequence[Any],
    labels: Sequence[Any],
    goal: TargetRisk,
    *,
    calibration: Literal["temperature", "none"] = "temperature",
    confidence_score: ConfidenceScore = "max_probability",
    certification_share: float = CERTIFICATION_SHARE,
    seed: int = 0,
) -> ShuntPolicy:
    """Calibrate a small model, find the threshold that meets a goal, and certify it.

    Rows are split once, by a seeded hash of the input: one part fits the calibration and orders the candidate
    thresholds, the other is used for nothing but counting errors at them. No row may have trained the small model.

    Args:
        small: A fitted small model.
        inputs: What the small model sees, one each.
        labels: True labels, one an input; each the name of one of the small model's classes.
        goal: What the threshold is asked to do.
        calibration: ``temperature``, or ``none``.
        confidence_score: What the threshold acts on.
        certification_share: Share of the rows that certify, in (0, 1).
        seed: Of the split.

    Raises:
        CalibrationDataError: The rows cannot be used: lengths differ, labels unknown, or too few.
        InfeasibleTargetError: No threshold reaches the goal on these rows.
        SmallModelError: The small model's answer is no probability rows.
    """
    classes = class_names(small)
    rows = _read_rows(small, inputs, labels, classes, seed)
    certifying = as_uniform(rows.hashes) < certification_share
    fit_part, test_part = rows.where(~certifying), rows.where(certifying)
    calibrator = _fit_calibration(calibration, fit_part)
    found = certify_target_risk(
        *fit_part.scored(calibrator, confidence_score), *test_part.scored(calibrator, confidence_score), goal
    )
    return ShuntPolicy(
        classes=classes,
        threshold=found.threshold,
        calibration=calibrator,
        confidence_score=confidence_score,
        small_model_version=version_of(small),
        goal=goal.to_dict(),
        certificate=found.certificate,
        data=CalibrationData(
            n=len(inputs),
            n_calibration=len(fit_part.targets),
            n_certification=len(test_part.targets),
            certification_share=certification_share,
            seed=seed,
            fingerprint=data_fingerprint(inputs, [label_name(label) for label in labels]),
        ),
        created=datetime.now(UTC).date().isoformat(),
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Rows:
    """Labelled rows in the order of their hashes, which is the same however the caller ordered them."""

    hashes: NDArray[np.uint64]
    probabilities: FloatArray
    targets: NDArray[np.intp]

    def where(self, mask: NDArray[np.bool_]) -> _Rows:
        return _Rows(self.hashes[mask], self.probabilities[mask], self.targets[mask])

    def scored(self, calibration: Calibration, score: ConfidenceScore) -> tuple[FloatArray, NDArray[np.bool_]]:
        probabilities = calibration.apply(self.probabilities)
        return confidence_of(probabilities, score), probabilities.argmax(axis=1) != self.targets


def _read_rows(
    small: SmallModel, inputs: Sequence[Any], labels: Sequence[Any], classes: tuple[str, ...], seed: int
) -> _Rows:
    if len(inputs) != len(labels):
        raise CalibrationDataError(f"each input needs one label: got {len(inputs)} inputs and {len(labels)} labels")
    columns = {label: column for column, label in enumerate(classes)}
    names = [label_name(label) for label in labels]
    unknown = sorted(set(names) - set(classes))
    if unknown:
        raise CalibrationDataError(f"labels {unknown} are none of the small model's classes {list(classes)}")
    targets = np.array([columns[name] for name in names], dtype=np.intp)
    hashes = hash_inputs(inputs, seed)
    order = np.lexsort((targets, hashes))
    probabilities = probability_rows(small.predict_proba([inputs[i] for i in order]), len(inputs), classes)
    return _Rows(hashes[order], probabilities, targets[order])


def _fit_calibration(choice: str, rows: _Rows) -> Calibration:
    if choice == "none":
        return NoCalibration()
    return fit_temperature(rows.probabilities, rows.targets)
