"""Which small model is this: the identity that a policy is tied to.

A fingerprint hashes what decides a model's answers: for a fitted scikit-learn estimator its class, parameters and
fitted arrays, byte for byte, and everything nested in it. It is the same in every process and after pickling, and
another one after another fit.
"""

from __future__ import annotations

import hashlib
import random
import types
from collections.abc import Iterable, Mapping
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np

from langchain_datashunt.errors import SmallModelError

_LENGTH = 16  # hexadecimal digits shown: 64 bits tell any two models of a team apart

# Attributes of estimators that change no answer: how they run, how a search went, and an id() of one process.
_IRRELEVANT = frozenset(
    {"n_jobs", "verbose", "memory", "cv_results_", "refit_time_", "_stop_words_id", "_sklearn_output_config"}
)

_GENERATORS = (np.random.RandomState, np.random.Generator, np.random.BitGenerator, random.Random)


def version_of(small: Any) -> str | None:
    """Return the identity of a small model.

    It is the attribute `version` where the model has one, else the fingerprint of a fitted scikit-learn estimator.
    None means that the identity is unknown: another object without `version`, or an estimator that holds something
    without a stable name, such as a lambda. Set `version` on such a model to tie policies to it.

    A named function among an estimator's parameters counts by its name: a change of its body is not seen.

    Raises:
        SmallModelError: `version` is there, but is no string or an empty one.
    """
    version = getattr(small, "version", None)
    if version is not None:
        return checked_version(version)
    if not _is_sklearn(small):
        return None
    digest = fingerprint(small)
    return None if digest is None else f"{type(small).__name__}-{digest}"


def checked_version(version: Any) -> str:
    """Return `version`, which must be a string that is not empty."""
    if isinstance(version, str) and version:
        return version
    raise SmallModelError(f'a version is a string that is not empty, such as version="2026-11"; got {version!r}')


def fingerprint(value: Any) -> str | None:
    """Return 16 hexadecimal digits that identify a value by what it holds; None where a part has no stable name."""
    walk = _Walk()
    try:
        walk.feed(value)
    except _NamelessError:
        return None
    return walk.digest()[:_LENGTH]


def files_fingerprint(paths: Iterable[Path], settings: Mapping[str, Any]) -> str:
    """Return 16 hexadecimal digits that identify the contents of files (by name, not by place) and settings.

    Raises:
        SmallModelError: A file cannot be read.
    """
    walk = _Walk()
    for path in sorted(paths, key=lambda path: path.name):
        try:
            with path.open("rb") as file:
                walk.put("file", path.name.encode())
                walk.put("sha256", hashlib.file_digest(file, "sha256").digest())
        except OSError as error:
            raise SmallModelError(f"the model file {path} cannot be read: {error}") from error
    walk.feed(dict(settings))
    return walk.digest()[:_LENGTH]


class _NamelessError(Exception):
    """A part of a value has no name or state that is the same in the next process."""


class _Walk:
    """Feed a value into a hash, part by part; each part is framed by its kind and length, so that none run together."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self._inside: list[int] = []  # ids of the objects being walked through, outermost first: cycles end there

    def digest(self) -> str:
        return self._hash.hexdigest()

    def put(self, kind: str, data: bytes) -> None:
        self._hash.update(f"{kind}:{len(data)}:".encode())
        self._hash.update(data)

    def feed(self, value: Any) -> None:
        if isinstance(value, np.generic | np.ndarray):
            self._feed_array(np.asanyarray(value))
        elif value is None or isinstance(value, bool | int | complex):
            self.put(type(value).__name__, repr(value).encode())
        elif isinstance(value, float):
            self.put("float", value.hex().encode())
        elif isinstance(value, str):
            self.put("str", value.encode("utf-8", "surrogatepass"))
        elif isinstance(value, bytes | bytearray):
            self.put("bytes", bytes(value))
        elif isinstance(value, type | types.FunctionType):
            self.put("name", _import_name(value).encode())
        elif isinstance(value, np.dtype | Enum):
            self.put(type(value).__name__, str(value).encode())
        elif isinstance(value, _GENERATORS):
            self.put("generator", type(value).__name__.encode())  # where it stands matters to the next fit only
        elif id(value) in self._inside:
            self.put("cycle", str(self._inside[::-1].index(id(value))).encode())
        else:
            self._inside.append(id(value))
            self._feed_parts(value)
            self._inside.pop()

    def _feed_parts(self, value: Any) -> None:
        if isinstance(value, list | tuple) and type(value).__reduce_ex__ is object.__reduce_ex__:
            self.put(type(value).__name__, str(len(value)).encode())
            for item in value:
                self.feed(item)
        elif isinstance(value, set | frozenset):
            self.put("set", "".join(sorted(self._apart(item) for item in value)).encode())
        elif isinstance(value, Mapping):
            self._feed_mapping(value)
        elif hasattr(value, "tocsr"):  # scipy sparse: its flags and format are caches, its entries are the value
            rows = value.tocsr()
            self.put("sparse", str(rows.shape).encode())
            for part in (rows.data, rows.indices, rows.indptr):
                self._feed_array(part)
        elif hasattr(value, "get_arrays"):  # scikit-learn's neighbour trees: their state also counts the queries
            self.put("object", _import_name(type(value)).encode())
            for part in value.get_arrays():
                self._feed_array(np.asarray(part))
        elif _is_sklearn(value):
            self.put("object", _import_name(type(value)).encode())
            self._feed_mapping({name: part for name, part in vars(value).items() if name not in _IRRELEVANT})
        else:
            self._feed_state(value)

    def _feed_mapping(self, mapping: Mapping[Any, Any]) -> None:
        self.put("mapping", str(len(mapping)).encode())
        by_text = all(type(key) is str for key in mapping)
        for key in sorted(mapping, key=None if by_text else self._apart):
            self.feed(key)
            self.feed(mapping[key])

    def _feed_array(self, array: Any) -> None:
        if isinstance(array, np.ma.MaskedArray):
            self._feed_array(np.ma.getmaskarray(array))
            array = np.ma.getdata(array)
        self.put("array", f"{array.dtype.str}{array.shape}".encode())
        if array.dtype.names:  # a row may hold padding bytes that mean nothing
            for name in array.dtype.names:
                self._feed_array(array[name])
        elif array.dtype.hasobject:
            for item in array.flat:
                self.feed(item)
        else:
            self.put("data", np.ascontiguousarray(array).tobytes())

    def _feed_state(self, value: Any) -> None:
        """Walk through what any other object says of itself when it is copied or pickled."""
        try:
            parts = value.__reduce_ex__(2)
        except Exception as error:
            raise _NamelessError(type(value).__name__) from error
        self.put("object", _import_name(type(value)).encode())
        if isinstance(parts, str):
            self.put("name", parts.encode())
            return
        make, arguments, state, items, pairs = (*parts, None, None, None)[:5]
        self.feed(make)
        self.feed(tuple(arguments))
        self.feed(state)
        self.feed(None if items is None else list(items))
        self.feed(None if pairs is None else dict(pairs))

    def _apart(self, value: Any) -> str:
        """Return the digest of a value by itself, to sort by."""
        walk = _Walk()
        walk._inside = list(self._inside)
        walk.feed(value)
        return walk.digest()


def _is_sklearn(value: Any) -> bool:
    """Tell a scikit-learn estimator without importing scikit-learn."""
    return any(parent.__module__ == "sklearn.base" for parent in type(value).__mro__)


def _import_name(value: Any) -> str:
    if "<" in value.__qualname__:  # <lambda>, <locals>
        raise _NamelessError(value.__qualname__)
    return f"{value.__module__}.{value.__qualname__}"
