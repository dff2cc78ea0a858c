"""Records as JSONL, Parquet and `datasets.Dataset`."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any, Literal, get_args

from langchain_datashunt.errors import HardSampleStoreError, MissingExtraError
from langchain_datashunt.types import HardSample

ExportFormat = Literal["jsonl", "parquet"]

_ROWS_AT_ONCE = 1000
_LISTS = {
    "classes": "string",
    "probabilities": "float64",
    "candidates": "string",
    "teacher_probabilities": "float64",
    "tags": "string",
}
_NUMBERS = {
    "confidence": "float64",
    "threshold": "float64",
    "sampling_probability": "float64",
    "latency_ms": "float64",
    "small_latency_ms": "float64",
    "created_at": "float64",
    "first_seen": "float64",
    "last_seen": "float64",
    "attempts": "int64",
    "input_tokens": "int64",
    "output_tokens": "int64",
    "complete_count": "int64",
    "incomplete_count": "int64",
    "complete": "bool",
}
_JSON = ("request", "parsed", "logprobs", "metadata", "answers")


def export(samples: Iterable[HardSample], path: Path, file_format: ExportFormat | None) -> int:
    """Write samples to a file; return how many.

    Args:
        samples: The samples.
        path: The file; it is replaced.
        file_format: By default what the file's ending says.

    Raises:
        HardSampleStoreError: The format is unknown.
        MissingExtraError: Parquet, and pyarrow is not installed.
    """
    wanted = file_format or path.suffix.removeprefix(".")
    if wanted == "jsonl":
        return _write_jsonl(samples, path)
    if wanted == "parquet":
        return _write_parquet(samples, path)
    raise HardSampleStoreError(f"an export is one of {list(get_args(ExportFormat))}; got {wanted!r} for {path.name!r}")


def as_dataset(samples: Iterable[HardSample]) -> Any:
    """Return a `datasets.Dataset` with the columns of the Parquet export.

    Raises:
        MissingExtraError: datasets is not installed.
    """
    try:
        from datasets import Dataset  # noqa: PLC0415  an extra
    except ModuleNotFoundError as error:
        raise MissingExtraError("a datasets.Dataset", "export") from error
    return Dataset(_table(samples))


def as_json(sample: HardSample) -> dict[str, Any]:
    """Return all that the log keeps of a sample, and the label to train on."""
    kept = {f.name: getattr(sample, f.name) for f in fields(sample) if f.name != "prompt"}
    return {**kept, "target": sample.target}


def _write_jsonl(samples: Iterable[HardSample], path: Path) -> int:
    n = 0
    with path.open("w", encoding="ascii") as file:
        for sample in samples:
            file.write(json.dumps(as_json(sample)) + "\n")
            n += 1
    return n


def _write_parquet(samples: Iterable[HardSample], path: Path) -> int:
    pyarrow = _pyarrow()
    from pyarrow import parquet  # noqa: PLC0415  an extra

    n = 0
    with parquet.ParquetWriter(path, _schema(pyarrow)) as writer:
        for rows in _row_batches(samples):
            writer.write_table(pyarrow.Table.from_pylist(rows, schema=_schema(pyarrow)))
            n += len(rows)
    return n


def _table(samples: Iterable[HardSample]) -> Any:
    pyarrow = _pyarrow()
    schema = _schema(pyarrow)
    tables = [pyarrow.Table.from_pylist(rows, schema=schema) for rows in _row_batches(samples)]
    return pyarrow.concat_tables(tables) if tables else schema.empty_table()


def _row_batches(samples: Iterable[HardSample]) -> Iterator[list[dict[str, Any]]]:
    iterator = iter(samples)
    while rows := [_row(sample) for _, sample in zip(range(_ROWS_AT_ONCE), iterator, strict=False)]:
        yield rows


def _row(sample: HardSample) -> dict[str, Any]:
    """Return a sample in columns of one type each: what can be any JSON becomes text, unless it is one."""
    row = as_json(sample)
    row["input"] = row["input"] if isinstance(row["input"], str) or row["input"] is None else json.dumps(row["input"])
    for name in _JSON:
        row[name] = None if row[name] is None else json.dumps(row[name])
    return {name: _unicode(value) for name, value in row.items()}


def _unicode(value: Any) -> Any:
    """Spell lone surrogates out: Arrow's texts are Unicode."""
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, (tuple, list)):
        return [_unicode(item) for item in value]
    return value


def _schema(pyarrow: Any) -> Any:
    def kind(name: str) -> Any:
        if name in _LISTS:
            return pyarrow.list_(pyarrow.type_for_alias(_LISTS[name]))
        return pyarrow.type_for_alias(_NUMBERS.get(name, "string"))

    names = [f.name for f in fields(HardSample) if f.name != "prompt"]
    return pyarrow.schema([(name, kind(name)) for name in [*names, "target"]])


def _pyarrow() -> Any:
    try:
        import pyarrow  # noqa: ICN001, PLC0415  an extra
    except ModuleNotFoundError as error:
        raise MissingExtraError("a Parquet export", "export") from error
    return pyarrow
