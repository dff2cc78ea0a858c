"""Labelled rows from files: CSV, JSONL, Parquet."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from langchain_datashunt.errors import CalibrationDataError, MissingExtraError

FORMATS = (".csv", ".jsonl", ".parquet")


def read_rows(path: str | Path) -> dict[str, list[Any]]:
    """Return the columns of a file, by name; all values of a CSV file are strings.

    Args:
        path: File ending in .csv (with a header line), .jsonl (one object a line) or .parquet.

    Raises:
        CalibrationDataError: The file is missing, ends in something else, or is malformed.
        MissingExtraError: Parquet needs pyarrow, which is not installed.
    """
    path = Path(path)
    if not path.is_file():
        raise CalibrationDataError(f"there is no file {path}")
    match path.suffix.lower():
        case ".csv":
            return _read_csv(path)
        case ".jsonl":
            return _read_jsonl(path)
        case ".parquet":
            return _read_parquet(path)
    raise CalibrationDataError(f"{path.name}: rows are read from {', '.join(FORMATS)}")


def column(rows: dict[str, list[Any]], name: str) -> list[Any]:
    """Return a column.

    Raises:
        CalibrationDataError: There is none of that name.
    """
    if name not in rows:
        raise CalibrationDataError(f"there is no column {name!r}, the columns are {list(rows)}")
    return rows[name]


def answers_in(rows: dict[str, list[Any]], name: str) -> list[Any]:
    """Return a column of a large model's parsed answers; None where a reply was invalid: empty, or null.

    Raises:
        CalibrationDataError: There is none of that name.
    """
    return [None if answer in ("", None) else answer for answer in column(rows, name)]


def _read_csv(path: Path) -> dict[str, list[Any]]:
    csv.field_size_limit(2**31 - 1)  # texts may be long
    with path.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.reader(file)
        names = next(reader, None)
        if names is None:
            raise CalibrationDataError(f"{path.name} is empty: its first line must name the columns")
        rows = []
        for row in reader:
            if row and len(row) != len(names):
                raise CalibrationDataError(
                    f"{path.name}, line {reader.line_num}: {len(row)} values for {len(names)} columns"
                )
            if row:
                rows.append(row)
    return {name: list(values) for name, values in zip(names, _transposed(rows, len(names)), strict=True)}


def _transposed(rows: Sequence[Sequence[Any]], width: int) -> list[Any]:
    return list(zip(*rows, strict=True)) if rows else [() for _ in range(width)]


def _read_jsonl(path: Path) -> dict[str, list[Any]]:
    records = []
    with path.open(encoding="utf-8") as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            try:
                record = json.loads(line)
            except json.JSONDecodeError as error:
                raise CalibrationDataError(f"{path.name}, line {number}: no JSON ({error})") from error
            if not isinstance(record, dict):
                raise CalibrationDataError(f"{path.name}, line {number}: expected an object, found {record!r}")
            records.append(record)
    names = list(dict.fromkeys(name for record in records for name in record))
    return {name: [record.get(name) for record in records] for name in names}


def _read_parquet(path: Path) -> dict[str, list[Any]]:
    try:
        from pyarrow import ArrowInvalid, parquet  # noqa: PLC0415  an extra
    except ImportError as error:
        raise MissingExtraError("reading Parquet", "export") from error
    try:
        table = parquet.read_table(path)
    except ArrowInvalid as error:
        raise CalibrationDataError(f"{path.name} is no Parquet file: {error}") from error
    return dict(table.to_pydict())
