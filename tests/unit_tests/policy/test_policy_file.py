from __future__ import annotations

import errno
import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from langchain_datashunt.errors import PolicyError
from langchain_datashunt.policy.calibration import TemperatureScaling
from langchain_datashunt.policy.certification import Certificate
from langchain_datashunt.policy.policy_file import seal
from langchain_datashunt.policy.shunt_policy import ShuntPolicy

POLICY = ShuntPolicy(
    ("a", "b"),
    0.8,
    TemperatureScaling(2.0),
    certificate=Certificate("selective_risk", 0.02, 0.95, "a test", "a split", 1_000, 600, 0.01, 5),
)


@pytest.mark.parametrize(
    ("path", "value"),
    [(("threshold",), 0.5), (("calibration", "temperature"), 1.0), (("certificate", "n"), 10**6), (("created",), "x")],
)
def test_a_changed_file_is_refused(tmp_path: Path, path: tuple[str, ...], value: Any) -> None:
    record = POLICY.to_dict()
    place: dict[str, Any] = record
    for name in path[:-1]:
        place = place[name]
    place[path[-1]] = value
    (tmp_path / "policy.json").write_text(json.dumps(record))
    with pytest.raises(PolicyError, match="changed after it was fitted"):
        ShuntPolicy.load(tmp_path / "policy.json")


def test_a_save_that_fails_half_way_leaves_the_old_policy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, link = tmp_path / "policy.json", tmp_path / "link.json"
    link.symlink_to(path)
    POLICY.save(link)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        replace(POLICY, threshold=0.123).save(link)
    assert ShuntPolicy.load(path) == POLICY
    assert {each.name for each in tmp_path.iterdir()} == {"policy.json", "link.json"}
    assert link.is_symlink()


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"not json"])
def test_a_file_that_is_no_json_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "policy.json").write_bytes(content)
    with pytest.raises(PolicyError, match=r"policy\.json is no policy: it is not JSON"):
        ShuntPolicy.load(tmp_path / "policy.json")


@pytest.mark.parametrize("foreign", [[], "text", None, {}, {"format": "another/policy"}, {"threshold": 0.5}])
def test_foreign_json_is_refused(foreign: Any) -> None:
    with pytest.raises(PolicyError, match="this is no policy"):
        ShuntPolicy.from_dict(foreign)


def test_another_format_version_is_refused() -> None:
    with pytest.raises(PolicyError, match="format version 99"):
        ShuntPolicy.from_dict({**POLICY.to_dict(), "format_version": 99})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"unheard_of": 1}, "a policy has the fields"),
        ({"threshold": 2}, "number in"),
        ({"classes": "ab"}, "classes must be"),
        ({"calibration": None}, "unknown calibration"),
        ({"certificate": {"n": 1}}, "Certificate expects the fields"),
        ({"certificate": 7}, "Certificate expects the fields"),
        ({"policy_id": "0" * 16}, "the policy says its id is"),
    ],
)
def test_a_sealed_record_that_is_malformed_is_refused(change: dict[str, Any], message: str) -> None:
    record = {
        name: value for name, value in POLICY.to_dict().items() if name not in ("format", "format_version", "checksum")
    }
    with pytest.raises(PolicyError, match=message):
        ShuntPolicy.from_dict(seal({**record, **change}))


def test_a_missing_field_is_named() -> None:
    record = POLICY.to_dict()
    fields = {
        name: record[name] for name in record if name not in ("threshold", "format", "format_version", "checksum")
    }
    with pytest.raises(PolicyError, match="threshold"):
        ShuntPolicy.from_dict(seal(fields))


def test_metrics_that_are_no_json_cannot_be_saved() -> None:
    with pytest.raises(PolicyError, match="plain JSON"):
        ShuntPolicy(("a", "b"), 0.8, metrics={"nan": float("nan")}).to_dict()


def test_the_file_is_readable_and_sorted(tmp_path: Path) -> None:
    POLICY.save(tmp_path / "policy.json")
    text = (tmp_path / "policy.json").read_text()
    assert list(json.loads(text)) == sorted(json.loads(text))
    assert text.count("\n") > 20
