"""Log-linear fusion of two opinions about the same rows: the yardstick that a hint has to beat.

A prompt that tells an LLM what the small model thinks asks it to weigh both. Arithmetic can do that without any prompt,
so a hint is worth its tokens only where it does better.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from langchain_datashunt.types import FloatArray

WEIGHTS = np.linspace(0.0, 1.0, 41)
"""Weights of the large model that are tried."""

_SMALLEST = 1e-12
"""Probabilities below it count as this much, so that no opinion is a veto."""


@dataclass(frozen=True, slots=True)
class Fusion:
    """``p(label) ~ small(label) ** (1 - weight) * large(label) ** weight``, the logarithmic opinion pool.

    Attributes:
        weight: Of the large model, in [0, 1]; 0 is the small model alone, 1 the large one alone.

    Source: Genest and Zidek, "Combining Probability Distributions" (Statistical Science, 1986).
    """

    weight: float

    @classmethod
    def fit(cls, small: FloatArray, large: FloatArray, targets: NDArray[np.intp]) -> Fusion:
        """Return the fusion that is right on most rows; of equal ones that with the lower negative log-likelihood.

        Args:
            small: ``(n, k)`` probabilities, n at least 1.
            large: ``(n, k)`` probabilities.
            targets: ``(n,)`` columns of the true labels.
        """

        def merit(fusion: Fusion) -> tuple[int, float]:
            fused = fusion.probabilities(small, large)
            likelihood = float(_log(fused[np.arange(len(targets)), targets]).sum())
            return int((fused.argmax(axis=1) == targets).sum()), likelihood

        return max(map(cls, WEIGHTS.tolist()), key=merit)

    def probabilities(self, small: FloatArray, large: FloatArray) -> FloatArray:
        """Return the ``(n, k)`` fused probabilities."""
        logs = (1 - self.weight) * _log(small) + self.weight * _log(large)
        raised = np.exp(logs - logs.max(axis=1, keepdims=True))
        fused: FloatArray = raised / raised.sum(axis=1, keepdims=True)
        return fused


def _log(probabilities: FloatArray) -> FloatArray:
    logs: FloatArray = np.log(np.maximum(probabilities, _SMALLEST))
    return logs
