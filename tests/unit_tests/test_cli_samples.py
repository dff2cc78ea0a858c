from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hard_samples import sample
from typer.testing import CliRunner

from langchain_datashunt import HardSampleStore
from langchain_datashunt.cli.main import build_app


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "samples.db"
    with HardSampleStore(path) as store:
        store.append([sample("[red]a[/red] \x1b[31m", tags=("x",), created_at=10.0), sample("b", confidence=0.79)])
        store.count_request("", "policy", "small")
    return path


def run(path: Path | str, *arguments: str) -> str:
    result = CliRunner().invoke(build_app(), ["samples", *arguments, "--store", str(path)], env={"COLUMNS": "200"})
    if result.exception is not None:
        raise result.exception
    return result.output


def listed(path: Path, *arguments: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in run(path, "list", "--json", *arguments).splitlines()]


def test_the_list_shows_texts_as_they_are_and_no_control_characters(path: Path) -> None:
    shown = run(path, "list")
    assert "[red]a[/red]" in shown
    assert "\x1b[31m" not in shown
    assert "negative x1" in shown


def test_the_list_shows_whole_ids_on_a_narrow_terminal(path: Path) -> None:
    shown = CliRunner().invoke(build_app(), ["samples", "list", "--store", str(path)], env={"COLUMNS": "80"}).output
    assert all(row["id"] in shown for row in listed(path))


def test_the_list_can_be_filtered_and_cut(path: Path) -> None:
    assert [row["input"] for row in listed(path, "--tag", "x")] == ["[red]a[/red] \x1b[31m"]
    assert len(listed(path, "--limit", "1")) == 1
    assert [row["input"] for row in listed(path, "--nearest", "0.8", "--limit", "1")] == ["b"]
    assert listed(path, "--tenant", "nobody") == []


def test_a_record_is_shown_and_labelled(path: Path) -> None:
    id_ = listed(path)[0]["id"]
    run(path, "label", id_, "positive")
    shown = json.loads(run(path, "show", id_))
    assert (shown["gold"], shown["target"], shown["label"]) == ("positive", "positive", "negative")
    run(path, "label", id_)
    assert json.loads(run(path, "show", id_))["gold"] is None


def test_an_export_is_imported_elsewhere(path: Path, tmp_path: Path) -> None:
    file = tmp_path / "samples.jsonl"
    assert "2 records written" in run(path, "export", str(file), "--trainable")
    other = tmp_path / "other.db"
    assert "2 records added" in run(other, "import", str(file))
    assert "0 records added" in run(other, "import", str(file))
    assert len(listed(other)) == 2


def test_a_log_of_chat_completions_is_imported(tmp_path: Path) -> None:
    file = tmp_path / "chats.jsonl"
    messages = [{"role": "user", "content": "x"}, {"role": "assistant", "content": "Negative"}]
    file.write_text(json.dumps({"messages": messages}))
    path = tmp_path / "samples.db"
    run(path, "import", str(file), "--label", "positive", "--label", "negative")
    assert listed(path, "--trainable")[0]["target"] == "negative"


def test_stats_count_records_and_requests(path: Path) -> None:
    counted = json.loads(run(path, "stats", "--json"))
    assert counted["routes"][0]["samples"] == 2
    assert counted["traffic"][0]["requests"] == 1
    assert "policy" in run(path, "stats")


def test_old_records_are_pruned_and_a_persons_erased(path: Path) -> None:
    assert "1 records deleted" in run(path, "prune", "--older-than", "30")
    assert "1 records deleted" in run(path, "erase", "--text", "b")
    assert listed(path) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["show", "nothing"], "no sample with the id 'nothing'"),
        (["label", "nothing", "positive"], "no sample with the id 'nothing'"),
        (["erase"], "names one of a tag and an input"),
        (["list", "--nearest", "0.5", "--tag", "x"], "--nearest goes with --tenant only"),
    ],
)
def test_what_cannot_be_done_is_said(path: Path, arguments: list[str], message: str) -> None:
    from langchain_datashunt import HardSampleStoreError

    with pytest.raises(HardSampleStoreError, match=message):
        run(path, *arguments)


def test_a_log_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    from langchain_datashunt import HardSampleStoreError

    with pytest.raises(HardSampleStoreError, match="no hard-sample log at"):
        run(tmp_path / "none.db", "stats")
    assert list(tmp_path.iterdir()) == []
