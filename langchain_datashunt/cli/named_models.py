"""Small models for the command line: named by where they are imported from, or remembered in a file."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from langchain_datashunt.cli.imported import import_attribute
from langchain_datashunt.errors import SmallModelError
from langchain_datashunt.small_models import class_names, version_of
from langchain_datashunt.types import FloatArray, SmallModel

CHUNK = 1_000


def import_small_model(name: str) -> SmallModel:
    """Import a small model.

    Args:
        name: ``package.module:attribute``; modules of the current folder are found too. A function that needs no
            arguments is called, and what it returns is the model.

    Raises:
        SmallModelError: There is no such module or attribute, or it is no small model.
    """
    try:
        found = import_attribute(name)
    except (ImportError, AttributeError, ValueError) as error:
        raise SmallModelError(f"no small model {name!r}: {error}") from error
    model = found() if callable(found) and not hasattr(found, "predict_proba") else found
    if not hasattr(model, "predict_proba"):
        raise SmallModelError(f"{name!r} has no predict_proba: it is a {type(model).__name__}")
    return model  # type: ignore[no-any-return]


class RememberedModel:
    """A small model whose probabilities stand in the file beside the inputs; it answers for these inputs only.

    Args:
        columns: The file's columns.
        inputs: Name of the column of inputs.
        prefix: What the names of probability columns begin with; the rest is the class.
        version: Identity of the model that gave them.

    Raises:
        SmallModelError: There are fewer than two such columns.
    """

    def __init__(
        self, columns: Mapping[str, Sequence[Any]], inputs: str, prefix: str, version: str | None = None
    ) -> None:
        names = [name for name in columns if name.startswith(prefix)]
        self.classes_ = tuple(name.removeprefix(prefix) for name in names)
        self.version = version
        if len(names) < 2:  # noqa: PLR2004  two is what "to classify" means
            raise SmallModelError(
                f"without --small the file must hold the small model's probabilities, one column a class, named "
                f"{prefix}<class>; its columns are {list(columns)}"
            )
        rows = np.array([[_number(value, name) for value in columns[name]] for name in names]).T
        self._rows = {_key(each): row for each, row in zip(columns[inputs], rows, strict=True)}

    def predict_proba(self, inputs: Sequence[Any], /) -> FloatArray:
        """Return the remembered ``(n, k)`` probabilities."""
        return np.array([self._rows[_key(each)] for each in inputs]).reshape(len(inputs), len(self.classes_))


def _key(each: Any) -> str:
    return each if isinstance(each, str) else json.dumps(each, sort_keys=True)


def _number(value: Any, name: str) -> float:
    try:
        return float(value)
    except (TypeError, ValueError) as error:
        raise SmallModelError(f"column {name!r} must hold probabilities, found {value!r}") from error


class WatchedModel:
    """A small model that is called in chunks, so that somebody can watch.

    Args:
        small: The model.
        on_progress: Is told how many inputs are done.
    """

    def __init__(self, small: SmallModel, on_progress: Callable[[int], None]) -> None:
        self.classes_ = class_names(small)
        self.version = version_of(small)
        self._small = small
        self._on_progress = on_progress

    def predict_proba(self, inputs: Sequence[Any], /) -> FloatArray:
        """Return ``(n, k)`` probabilities."""
        chunks = []
        for start in range(0, len(inputs), CHUNK):
            chunks.append(np.asarray(self._small.predict_proba(inputs[start : start + CHUNK]), dtype=np.float64))
            self._on_progress(min(start + CHUNK, len(inputs)))
        return np.concatenate(chunks) if chunks else np.empty((0, len(self.classes_)))
