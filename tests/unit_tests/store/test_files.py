from __future__ import annotations

import json
from pathlib import Path

import pytest
from hard_samples import LABELS, only, sample

from langchain_datashunt import HardSampleStore, HardSampleStoreError
from langchain_datashunt.store.exporting import as_json


@pytest.fixture
def filled(store: HardSampleStore) -> HardSampleStore:
    store.append([sample("a", tags=("x",)), sample("a"), sample("b", label=None), sample("\ud800 \0", raw=None)])
    store.append([sample({"text": "a", "n": 1}, tenant="acme", metadata={"k": {"v": 1}})])
    store.label(next(store.iter_samples()).id, "positive")
    return store


def test_an_export_imported_elsewhere_is_the_same_log(filled: HardSampleStore, tmp_path: Path) -> None:
    file = tmp_path / "samples.jsonl"
    assert filled.export(file) == 4
    with HardSampleStore(tmp_path / "other.db") as other:
        assert other.import_jsonl(file) == 4
        assert [as_json(kept) for kept in other.iter_samples()] == [as_json(kept) for kept in filled.iter_samples()]


def test_importing_twice_changes_nothing(filled: HardSampleStore, tmp_path: Path) -> None:
    file = tmp_path / "samples.jsonl"
    filled.export(file)
    before = filled.stats()
    assert filled.import_jsonl(file) == 0
    assert filled.stats() == before


def test_parquet_has_a_row_a_sample_and_typed_columns(filled: HardSampleStore, tmp_path: Path) -> None:
    from pyarrow import parquet

    file = tmp_path / "samples.parquet"
    filled.export(file, trainable_only=True)
    table = parquet.read_table(file)
    rows = {row["input"]: row for row in table.to_pylist()}
    assert set(rows) == {"a", "\\ud800 \0", '{"text": "a", "n": 1}'}
    assert rows["a"]["target"] == "positive"
    assert rows["a"]["probabilities"] == [0.6, 0.4]
    assert json.loads(rows["a"]["answers"]) == {"negative": 2}


def test_an_empty_log_exports_empty_files(store: HardSampleStore, tmp_path: Path) -> None:
    assert store.export(tmp_path / "none.jsonl") == 0
    assert store.export(tmp_path / "none.parquet") == 0
    assert store.to_dataset().num_rows == 0


def test_a_dataset_has_the_columns_of_the_parquet_export(filled: HardSampleStore) -> None:
    dataset = filled.to_dataset(trainable_only=True)
    assert dataset.num_rows == 3
    assert dataset[0]["input"] == "a"
    assert dataset[0]["target"] == "positive"


def test_an_unknown_format_is_refused(store: HardSampleStore, tmp_path: Path) -> None:
    with pytest.raises(HardSampleStoreError, match=r"one of .*'jsonl', 'parquet'.*; got 'csv'"):
        store.export(tmp_path / "samples.csv")


def test_labelled_texts_are_imported_as_gold(store: HardSampleStore, tmp_path: Path) -> None:
    file = tmp_path / "texts.jsonl"
    file.write_text('{"input": "a", "gold": "positive"}\n\n{"input": "b", "label": "negative", "teacher": "x/y"}\n')
    assert store.import_jsonl(file) == 2
    targets = {kept.input: (kept.target, kept.teacher_kind) for kept in store.iter_samples(trainable_only=True)}
    assert targets == {"a": ("positive", "other"), "b": ("negative", "llm")}


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"text": "a"}', r"texts.jsonl:2: .* lacks 'input' or has \['text'\]"),
        ("[1]", "texts.jsonl:2: a line is a JSON object; got list"),
        ("{", "texts.jsonl:2: no JSON"),
    ],
)
def test_a_malformed_line_is_named(store: HardSampleStore, tmp_path: Path, line: str, message: str) -> None:
    file = tmp_path / "texts.jsonl"
    file.write_text('{"input": "a", "gold": "positive"}\n' + line + "\n")
    with pytest.raises(HardSampleStoreError, match=message):
        store.import_jsonl(file)


def test_chat_completion_logs_of_three_shapes_are_read(store: HardSampleStore, tmp_path: Path) -> None:
    asked = [{"role": "system", "content": "Classify."}, {"role": "user", "content": "Text: fine"}]
    reply = {"role": "assistant", "content": "It is **Positive**."}
    usage = {"prompt_tokens": 9, "completion_tokens": 4}
    response = {"model": "m", "choices": [{"message": reply}], "usage": usage, "created": 1700000000}
    lines = [
        {"request": {"model": "m", "messages": asked}, "response": response},
        {"messages": [asked[0], {"role": "user", "content": "Text: good"}], **response},
        {"messages": [asked[0], {"role": "user", "content": "Text: well"}, reply], "model": "m"},
    ]
    file = tmp_path / "chats.jsonl"
    file.write_text("\n".join(json.dumps(line) for line in lines))
    assert store.import_chat_logs(file, LABELS, text_of=lambda text: text.removeprefix("Text: ")) == 3
    samples = {kept.input: kept for kept in store.iter_samples()}
    assert set(samples) == {"fine", "good", "well"}
    assert {kept.target for kept in samples.values()} == {"positive"}
    assert {kept.teacher for kept in samples.values()} == {"m"}
    assert samples["fine"].input_tokens == 9


def test_an_unreadable_reply_in_a_chat_log_is_kept_without_a_label(store: HardSampleStore, tmp_path: Path) -> None:
    file = tmp_path / "chats.jsonl"
    file.write_text(
        json.dumps({"messages": [{"role": "user", "content": "x"}, {"role": "assistant", "content": "Hm."}]})
    )
    store.import_chat_logs(file, LABELS)
    assert (only(store).label, only(store).trainable) == (None, False)


def test_a_line_that_is_no_chat_completion_is_named(store: HardSampleStore, tmp_path: Path) -> None:
    file = tmp_path / "chats.jsonl"
    file.write_text('{"messages": []}')
    with pytest.raises(
        HardSampleStoreError, match=r"chats.jsonl:1: a chat completion has .*; got the keys \['messages'\]"
    ):
        store.import_chat_logs(file, LABELS)
