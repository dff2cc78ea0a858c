"""Confidence scores: how sure a row of probabilities is, as one number in [0, 1], higher is surer.

A score is not a confidence *level*; it orders inputs, and a policy's threshold acts on it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, get_args

import numpy as np

from langchain_datashunt.errors import PolicyError
from langchain_datashunt.types import FloatArray

ConfidenceScore = Literal["max_probability", "margin", "entropy"]


def confidence_of(probabilities: FloatArray, score: ConfidenceScore = "max_probability") -> FloatArray:
    """Return the confidence of each row.

    Args:
        probabilities: ``(n, k)``, rows summing to 1, k at least 2.
        score: ``max_probability``, the paper's rule; ``margin``, the largest minus the second largest probability;
            ``entropy``, ``1 - H / log k`` with the Shannon entropy H of the row.

    Returns:
        ``(n,)`` in [0, 1].

    Raises:
        PolicyError: The score is unknown.

    Example:
        >>> import numpy as np
        >>> confidence_of(np.array([[0.7, 0.2, 0.1]]), "margin").round(3).tolist()
        [0.5]
    """
    if score not in _SCORES:
        raise PolicyError(f"unknown confidence score {score!r}, expected one of {list(get_args(ConfidenceScore))}")
    return np.clip(_SCORES[score](probabilities), 0.0, 1.0)


def _max_probability(probabilities: FloatArray) -> FloatArray:
    return np.asarray(probabilities.max(axis=1))


def _margin(probabilities: FloatArray) -> FloatArray:
    top_two = np.partition(probabilities, -2, axis=1)[:, -2:]
    return np.asarray(top_two[:, 1] - top_two[:, 0])


def _entropy(probabilities: FloatArray) -> FloatArray:
    # 0 log 0 is 0; the floor only keeps log from warning.
    logs = np.log(np.maximum(probabilities, np.finfo(np.float64).tiny))
    return np.asarray(1.0 + np.einsum("ij,ij->i", probabilities, logs) / np.log(probabilities.shape[1]))


_SCORES: dict[str, Callable[[FloatArray], FloatArray]] = {
    "max_probability": _max_probability,
    "margin": _margin,
    "entropy": _entropy,
}
