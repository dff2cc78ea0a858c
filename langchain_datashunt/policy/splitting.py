"""Split labelled rows by a seeded hash of the input.

A row's part depends on its own input, the seed and the share only: the order of rows moves none, and equal inputs
always stay together.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from hashlib import blake2b, sha256
from typing import Any

import numpy as np
from numpy.typing import NDArray

from langchain_datashunt.types import FloatArray


def hash_inputs(inputs: Sequence[Any], seed: int) -> NDArray[np.uint64]:
    """Return ``(n,)`` 64-bit hashes; equal inputs have equal ones, an array and the list that a log keeps of it too."""
    key = seed.to_bytes(8, "big", signed=True)
    digests = b"".join(blake2b(_input_bytes(each), digest_size=8, key=key).digest() for each in inputs)
    return np.frombuffer(digests, dtype=">u8").astype(np.uint64)


def as_uniform(hashes: NDArray[np.uint64]) -> FloatArray:
    """Return the hashes as numbers spread evenly over [0, 1)."""
    return (hashes >> np.uint64(11)).astype(np.float64) * 2.0**-53


def default_certification_share(n: int) -> float:
    """Return the share of n labelled rows that certify: nine tenths, of more than 1,000 rows all but n to the 2/3.

    The others calibrate and put the thresholds in order. For that a few hundred are enough, and each costs coverage.

    Example:
        >>> [round(default_certification_share(n), 3) for n in (200, 1_000, 5_000, 100_000)]
        [0.9, 0.9, 0.942, 0.978]
    """
    return max(0.9, 1 - n ** (-1 / 3)) if n else 0.9


def data_fingerprint(inputs: Sequence[Any], labels: Sequence[str]) -> str:
    """Return the SHA-256, in hex, of all (input, label) pairs in no particular order."""
    pairs = sorted(
        blake2b(_input_bytes(each) + b"\0" + label.encode(), digest_size=16).digest()
        for each, label in zip(inputs, labels, strict=True)
    )
    return sha256(b"".join(pairs)).hexdigest()


def _input_bytes(each: Any) -> bytes:
    if isinstance(each, str):
        return each.encode("utf-8", "surrogatepass")
    if (numbers := _numbers(each)) is not None:
        return numbers.tobytes()
    return json.dumps(each, sort_keys=True, default=_in_json).encode()


def _numbers(each: Any) -> FloatArray | None:
    """Return a row of numbers, however it is kept, as one array; None for anything else."""
    if isinstance(each, np.ndarray):
        return each.astype(np.float64) if each.ndim == 1 and each.dtype.kind in "biuf" else None
    if not isinstance(each, list | tuple) or not all(isinstance(value, int | float) for value in each):
        return None
    try:
        return np.array(each, dtype=np.float64)
    except OverflowError:
        return None


def _in_json(value: Any) -> Any:
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else repr(value)
