"""Split labelled rows by a seeded hash of the input.

A row's part depends on its own input and the seed only: the order of rows, and rows added later, move no other row, and
equal inputs always stay together.
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
    """Return ``(n,)`` 64-bit hashes; equal inputs have equal ones."""
    key = seed.to_bytes(8, "big", signed=True)
    digests = b"".join(blake2b(_input_bytes(each), digest_size=8, key=key).digest() for each in inputs)
    return np.frombuffer(digests, dtype=">u8").astype(np.uint64)


def as_uniform(hashes: NDArray[np.uint64]) -> FloatArray:
    """Return the hashes as numbers spread evenly over [0, 1)."""
    return (hashes >> np.uint64(11)).astype(np.float64) * 2.0**-53


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
    if isinstance(each, np.ndarray):
        return each.tobytes()
    return json.dumps(each, sort_keys=True, default=repr).encode()
