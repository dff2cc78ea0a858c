"""How good probabilities are: negative log-likelihood, Brier score, expected calibration error, reliability curve."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from langchain_datashunt.policy.calibration import log_probabilities
from langchain_datashunt.types import BoolArray, FloatArray

Binning = Literal["equal_width", "equal_mass"]
BINS = 15


@dataclass(frozen=True, slots=True, eq=False)
class ReliabilityCurve:
    """Confidence against accuracy, by bins; empty bins are left out.

    Attributes:
        confidence: ``(b,)`` mean confidence of each bin.
        accuracy: ``(b,)`` share of correct rows in each bin.
        counts: ``(b,)`` rows in each bin.
        bins: Bins asked for.
        binning: How their edges were chosen.
    """

    confidence: FloatArray
    accuracy: FloatArray
    counts: NDArray[np.intp]
    bins: int
    binning: Binning

    @property
    def calibration_error(self) -> float:
        """Expected calibration error (ECE): the mean distance of confidence and accuracy, weighted by rows."""
        return float(np.average(np.abs(self.confidence - self.accuracy), weights=self.counts))


def reliability_curve(
    confidence: FloatArray, correct: BoolArray, bins: int = BINS, binning: Binning = "equal_width"
) -> ReliabilityCurve:
    """Bin rows by confidence.

    Args:
        confidence: ``(n,)`` in [0, 1], n at least 1; for the usual ECE the largest calibrated probability.
        correct: ``(n,)`` whether the label is right.
        bins: How many.
        binning: ``equal_width`` cuts [0, 1] evenly, as most papers do; ``equal_mass`` cuts at quantiles, with rows of
            equal confidence together.
    """
    if binning == "equal_width":
        edges = np.linspace(0, 1, bins + 1)[1:-1]
    else:
        edges = np.unique(np.quantile(confidence, np.linspace(0, 1, bins + 1)[1:-1]))
    index = np.searchsorted(edges, confidence, side="right")
    counts = np.bincount(index, minlength=len(edges) + 1)
    kept = counts > 0
    mean_confidence = np.bincount(index, confidence, len(edges) + 1)[kept] / counts[kept]
    accuracy = np.bincount(index, correct, len(edges) + 1)[kept] / counts[kept]
    return ReliabilityCurve(mean_confidence, accuracy, counts[kept], bins, binning)


def row_losses(probabilities: FloatArray, targets: NDArray[np.intp]) -> FloatArray:
    """Return ``(n,)`` negative log-likelihoods, in nats; a probability of exactly 0 counts as 1e-38."""
    true = np.take_along_axis(probabilities, targets[:, None], axis=1)
    return np.asarray(-log_probabilities(true)[:, 0])


def negative_log_likelihood(probabilities: FloatArray, targets: NDArray[np.intp]) -> float:
    """Return the mean negative log-likelihood of the true classes, in nats."""
    return float(row_losses(probabilities, targets).mean())


def brier_score(probabilities: FloatArray, targets: NDArray[np.intp]) -> float:
    """Return the mean squared distance to the true one-hot vector, summed over classes, in [0, 2]."""
    true = np.take_along_axis(probabilities, targets[:, None], axis=1)[:, 0]
    return float(np.mean(np.einsum("ij,ij->i", probabilities, probabilities) - 2 * true + 1))


def calibration_metrics(probabilities: FloatArray, targets: NDArray[np.intp]) -> dict[str, Any]:
    """Return ECE (15 bins of equal width, on the largest probability), NLL and Brier score, as plain JSON."""
    correct = probabilities.argmax(axis=1) == targets
    return {
        "ece": reliability_curve(probabilities.max(axis=1), correct).calibration_error,
        "ece_bins": f"{BINS} of equal width",
        "nll": negative_log_likelihood(probabilities, targets),
        "brier": brier_score(probabilities, targets),
    }
