from __future__ import annotations

from pathlib import Path

import pytest

from langchain_datashunt.cli.row_files import read_rows
from langchain_datashunt.errors import CalibrationDataError


def write(folder: Path, name: str, content: str) -> Path:
    (folder / name).write_text(content, encoding="utf-8")
    return folder / name


def test_csv_texts_may_hold_commas_quotes_and_lines(tmp_path: Path) -> None:
    path = write(tmp_path, "a.csv", 'text,label\n"a, ""b""\nc",x\n\nd,y\n')
    assert read_rows(path) == {"text": ['a, "b"\nc', "d"], "label": ["x", "y"]}


def test_a_byte_order_mark_is_no_part_of_a_name(tmp_path: Path) -> None:
    assert list(read_rows(write(tmp_path, "a.csv", "\ufefftext\nx\n"))) == ["text"]


def test_a_csv_without_rows_has_empty_columns(tmp_path: Path) -> None:
    assert read_rows(write(tmp_path, "a.csv", "text,label\n")) == {"text": [], "label": []}


def test_jsonl_keeps_types_and_fills_gaps(tmp_path: Path) -> None:
    path = write(tmp_path, "a.jsonl", '{"text": "a", "label": 1}\n\n{"text": "b"}\n')
    assert read_rows(path) == {"text": ["a", "b"], "label": [1, None]}


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [("a.csv", "", "is empty"), ("a.csv", "a,b\n1\n", "line 2: 1 values for 2 columns"),
     ("a.jsonl", "{", "line 1: no JSON"), ("a.jsonl", "[1]", "expected an object"),
     ("a.txt", "x", "rows are read from"),
     ("a.parquet", "x", "no Parquet file")],
)  # fmt: skip
def test_a_malformed_file_is_refused(tmp_path: Path, name: str, content: str, message: str) -> None:
    with pytest.raises(CalibrationDataError, match=message):
        read_rows(write(tmp_path, name, content))
