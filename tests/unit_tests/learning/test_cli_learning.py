"""`datashunt models`, `distill` and `loop`, as they are typed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import Result
from tiny_models import save_tiny_onnx
from typer.testing import CliRunner
from worded_texts import draw, hard_samples, model_of

from langchain_datashunt import HardSampleStore, ModelRegistry, OnnxClassifier, PromotionGate, ShuntPolicy, TargetRisk
from langchain_datashunt.cli.learning_options import gate_of
from langchain_datashunt.cli.main import build_app, main

GATE = draw(3000, 1)
REQUESTS, ANSWERS = draw(1500, 2)
START = draw(60, 3)
OPTIONS = ["--registry", "models", "--store", "samples.db", "--gate", "gate.jsonl", "--target-risk", "0.1"]


def run(*arguments: str) -> Result:
    return CliRunner().invoke(build_app(), list(arguments))


def said(*arguments: str, status: int = 0) -> str:
    result = run(*arguments)
    assert result.exit_code == status, f"{result.output}\n{result.exception!r}"
    return " ".join(result.output.split())


def write_rows(path: Path, texts: list[str], labels: list[str]) -> None:
    rows = [json.dumps({"text": text, "label": label}) for text, label in zip(texts, labels, strict=True)]
    path.write_text("\n".join(rows))


@pytest.fixture(scope="module")
def first() -> Any:
    return model_of(*START)


@pytest.fixture
def place(first: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a registry, a log of what its model deferred, and files of rows."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    gate = PromotionGate(*GATE, goal=TargetRisk(0.1), ledger="gate.json")
    policy = gate.fit_policy(first)
    registry = ModelRegistry("models")
    registry.promote(registry.add(first, policy, data={"gold": 60}).number, reason="the first")
    hard = np.flatnonzero(~policy.accepts(first.predict_proba(REQUESTS)))
    with HardSampleStore("samples.db") as store:
        store.append(hard_samples([REQUESTS[row] for row in hard], [ANSWERS[row] for row in hard]))
    write_rows(tmp_path / "gate.jsonl", *GATE)
    write_rows(tmp_path / "gold.jsonl", *START)
    write_rows(tmp_path / "replay.jsonl", REQUESTS, ANSWERS)
    return tmp_path


def test_loop_promotes_reports_and_then_has_nothing_to_do(place: Path) -> None:
    command = ["loop", "--once", *OPTIONS, "--gold", "gold.jsonl", "--replay", "replay.jsonl"]
    text = said(*command)
    assert "PROMOTED" in text
    assert "version 2 serves" in text
    assert ModelRegistry("models").promoted().version == 2  # type: ignore[union-attr]
    assert "NOTHING TO DO" in said(*command, status=7)


def test_loop_speaks_json(place: Path) -> None:
    result = run("loop", "--once", *OPTIONS, "--replay", "replay.jsonl", "--gold", "gold.jsonl", "--json")
    assert result.exit_code == 0
    record = json.loads(result.stdout)
    assert (record["status"], record["serving"], record["version"]) == ("promoted", 1, 2)
    assert record["counts"]["acquire"] > 100


def test_loop_ends_with_a_status_of_its_own_where_the_student_is_rejected(place: Path) -> None:
    with HardSampleStore("wrong.db") as store:
        hard = [sample.input for sample in HardSampleStore("samples.db").iter_samples()]
        flipped = {"positive": "negative", "negative": "positive"}
        true = dict(zip(REQUESTS, ANSWERS, strict=True))
        store.append(hard_samples(hard, [flipped[true[text]] for text in hard]))
    options = [option if option != "samples.db" else "wrong.db" for option in OPTIONS]
    text = said("loop", "--once", *options, status=5)
    assert "REJECTED" in text
    assert "version 1 serves" in text


def test_loop_ends_with_a_status_of_its_own_where_the_gate_cannot_tell(place: Path) -> None:
    write_rows(place / "few.jsonl", GATE[0][:100], GATE[1][:100])
    options = [option if option != "gate.jsonl" else "few.jsonl" for option in OPTIONS]
    text = said("loop", "--once", *options, "--replay", "replay.jsonl", "--gold", "gold.jsonl", status=6)
    assert "UNDECIDED" in text
    assert "further gold rows would decide" in text


def test_an_answer_of_nought_is_an_answer(place: Path) -> None:
    """Classes may be numbers, and 0 is one of them."""
    rows = [{"text": text, "label": number % 2, "gpt": number % 2} for number, text in enumerate(GATE[0][:100])]
    rows[1]["gpt"] = ""
    (place / "numbers.jsonl").write_text("\n".join(map(json.dumps, rows)))
    gate = gate_of(
        ModelRegistry("models"),
        place / "numbers.jsonl",
        ("text", "label", "gpt"),
        TargetRisk(0.1),
        margin=0.01,
        ledger=None,
    )
    assert gate._large_answers is not None
    assert gate._large_answers[:4] == [0, None, 0, 1]


def test_what_the_file_system_refuses_ends_with_one_message(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["datashunt", "loop", "--once", *OPTIONS, "--ledger", "gate.jsonl/ledger.json"])
    with pytest.raises(SystemExit, match=r"datashunt: .*gate\.jsonl"):
        main()


@pytest.mark.parametrize("command", [["loop", "--once"], ["loop", "--once", "--min-new", "1000000"], ["distill"]])
def test_where_an_onnx_model_serves_every_round_names_the_way_out_and_changes_nothing(
    place: Path, monkeypatch: pytest.MonkeyPatch, command: list[str]
) -> None:
    save_tiny_onnx(place / "exported")
    serving = OnnxClassifier(place / "exported")
    registry = ModelRegistry("models")
    policy = ShuntPolicy(serving.classes_, threshold=0.9, small_model_version=serving.version)
    registry.promote(registry.add(serving, policy).number)
    before = sorted(place.rglob("*"))
    monkeypatch.setattr("sys.argv", ["datashunt", *command, *OPTIONS])
    with pytest.raises(SystemExit, match=r"OnnxClassifier cannot be trained.*export the student with export_onnx"):
        main()
    assert sorted(place.rglob("*")) == before
    assert registry.promoted().version == 2  # type: ignore[union-attr]


def test_loop_wants_to_be_told_that_one_round_is_meant(place: Path) -> None:
    assert "let cron repeat" in said("loop", *OPTIONS, status=2)


def test_distill_keeps_a_student_that_a_person_then_promotes_and_takes_back(place: Path) -> None:
    text = said("distill", *OPTIONS, "--replay", "replay.jsonl", "--gold", "gold.jsonl")
    assert "PROMOTE" in text
    assert "datashunt models promote 2 --replacing 1" in text
    assert ModelRegistry("models").promoted().version == 1  # type: ignore[union-attr]
    assert "version 2 serves, version 1 until then: better" in said(
        "models", "promote", "2", "--replacing", "1", "--reason", "better"
    )
    assert "rollback: version 1 serves" in said("models", "rollback")


def test_models_are_listed_and_shown(place: Path) -> None:
    text = said("models", "list")
    policy = ModelRegistry("models").version(1).policy
    assert "serves" in text
    assert policy.policy_id in text
    (record,) = [json.loads(line) for line in run("models", "list", "--json").stdout.splitlines()]
    assert (record["serves"], record["version"], record["card"]["data"]) == (True, 1, {"gold": 60})
    shown = said("models", "show", "1")
    assert '"gold": 60' in shown
    assert "promote: version 1 serves: the first" in shown
    assert json.loads(run("models", "show", "1", "--json").stdout)["policy"]["policy_id"] == policy.policy_id


def test_a_model_and_a_policy_from_a_file_begin_a_registry(place: Path) -> None:
    (place / "our_models.py").write_text(
        "from langchain_datashunt import ModelRegistry\nmodel = ModelRegistry('models').load(1).small\n"
    )
    ModelRegistry("models").version(1).policy.save("policy.json")
    assert "kept as version 1" in said(
        "models", "add", "--small", "our_models:model", "--policy", "policy.json", "--registry", "other"
    )


@pytest.mark.parametrize("command", [["list"], ["show", "1"], ["promote", "1"], ["rollback"]])
def test_a_registry_that_is_not_there_is_named(place: Path, command: list[str]) -> None:
    result = run("models", *command, "--registry", "absent")
    assert "there is no registry at 'absent'" in str(result.exception)
    assert not (place / "absent").exists()
