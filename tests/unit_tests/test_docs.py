"""The documentation is run.

Every fenced block of README.md and docs/ names its language. The ``python`` blocks of a page run one after the other
in one namespace and an empty folder; those inside an HTML comment run too: readers do not see them, they set the scene.
A ``text`` block right below a ``python`` block is what that one prints.
``ChatOpenAI`` speaks to a small server on loopback, which answers ``positive``.
"""

from __future__ import annotations

import doctest
import importlib
import json
import re
import shlex
from contextlib import redirect_stdout
from dataclasses import dataclass
from functools import cache
from io import StringIO
from itertools import zip_longest
from pathlib import Path
from typing import Any

import chat_server
import numpy as np
import pytest
import typer

from langchain_datashunt.cli.main import build_app

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
NAMES = [str(page.relative_to(ROOT)) for page in PAGES]
LANGUAGES = {"python", "bash", "console", "json", "text", "mermaid", "toml"}
FENCE = re.compile(r"^( *)```([^\n]*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
NUMBER = re.compile(r"\d[\d,]*(?:\.\d+)?")
LINK = re.compile(r"\]\(([^)\s]+)\)")
WITH_EXAMPLES = sorted(
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    for path in (ROOT / "langchain_datashunt").rglob("*.py")
    if ">>> " in path.read_text(encoding="utf-8")
)


@dataclass(frozen=True)
class Block:
    language: str
    code: str
    line: int
    output: str | None = None
    """What stands right below it as ``text``."""


def blocks(page: Path) -> list[Block]:
    text = page.read_text(encoding="utf-8")
    found = list(FENCE.finditer(text))
    outputs = [
        after[3] if after and after[2] == "text" and not text[match.end() : after.start()].strip() else None
        for match, after in zip_longest(found, found[1:])
    ]
    return [
        Block(match[2].strip(), match[3], text.count("\n", 0, match.start(3)) + 1, output)
        for match, output in zip(found, outputs, strict=True)
    ]


def check_output(block: Block, printed: str) -> None:
    """Compare word by word; numbers may differ a little, since those of other machines and versions do."""
    words, shown = [NUMBER.sub("#", text).split() for text in (printed, block.output or "")]
    assert words == shown, f"line {block.line} prints:\n{printed}"
    numbers, expected = (
        [float(number.replace(",", "")) for number in NUMBER.findall(text)] for text in (printed, block.output or "")
    )
    assert numbers == pytest.approx(expected, rel=0.03, abs=0.003), f"line {block.line} prints:\n{printed}"


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_every_block_names_a_language_that_is_checked(page: Path) -> None:
    assert {block.language for block in blocks(page)} <= LANGUAGES
    assert page.read_text(encoding="utf-8").count("```") == 2 * len(blocks(page))


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_the_python_blocks_of_a_page_run(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, Any] = {"__name__": "__main__"}
    with chat_server.running("positive") as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.base_url)
        monkeypatch.setenv("OPENAI_API_KEY", "not-a-key")
        for block in blocks(page):
            if block.language == "python":
                padded = "\n" * (block.line - 1) + block.code  # errors then name the page's own line
                with redirect_stdout(StringIO()) as printed:
                    exec(compile(padded, str(page), "exec", dont_inherit=True), namespace)  # noqa: S102  our own pages
                if block.output is not None:
                    check_output(block, printed.getvalue())


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_the_json_blocks_of_a_page_are_json(page: Path) -> None:
    for block in blocks(page):
        if block.language == "json":
            json.loads(block.code)


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_every_make_target_that_a_page_names_exists(page: Path) -> None:
    targets = set(re.findall(r"^([a-z][\w.-]*):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    code = "\n".join(block.code for block in blocks(page) if block.language in {"bash", "console"})
    inline = " ".join(re.findall(r"`(make [\w.-]+)[^`]*`", page.read_text(encoding="utf-8")))
    assert set(re.findall(r"\bmake ([a-z][\w.-]*)", f"{code} {inline}")) <= targets


@cache
def command_line() -> Any:
    return typer.main.get_command(build_app())


def unknown_words(line: str) -> list[str]:
    """Return what `datashunt` does not know of a command line: a command, or an option of it."""
    words, command = shlex.split(line, comments=True)[1:], command_line()
    while words and words[0] in getattr(command, "commands", {}):
        command = command.commands[words.pop(0)]
    options = {option for each in command.params for option in (*each.opts, *each.secondary_opts)}
    unknown = [word for word in words if word.startswith("--") and word not in options]
    return [*unknown, words[0]] if hasattr(command, "commands") and words else unknown


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_every_command_and_option_of_datashunt_that_a_page_shows_exists(page: Path) -> None:
    shown = "\n".join(block.code for block in blocks(page) if block.language == "bash").replace("\\\n", " ")
    unknown = {line: unknown_words(line) for line in shown.splitlines() if line.startswith("datashunt ")}
    assert not {line: words for line, words in unknown.items() if words}


def test_a_wrong_command_or_option_is_noticed() -> None:
    assert unknown_words("datashunt samples lists --limit 20  # a comment") == ["--limit", "lists"]
    assert unknown_words("datashunt report r.html --stores samples.db") == ["--stores"]


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    for target in LINK.findall(page.read_text(encoding="utf-8")):
        path, _, anchor = target.partition("#")
        if path.startswith(("http:", "https:", "mailto:")):
            continue
        found = (page.parent / path) if path else page
        assert found.exists(), f"{target} leads nowhere"
        if anchor:
            assert anchor in _anchors(found), f"{target}: there is no such heading"


def _anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_every_page_is_reached_from_the_index() -> None:
    index = ROOT / "docs" / "index.md"
    linked = {(index.parent / target.partition("#")[0]).resolve() for target in LINK.findall(index.read_text("utf-8"))}
    assert {page.resolve() for page in PAGES[1:]} - {index.resolve()} <= linked


@pytest.mark.parametrize("name", WITH_EXAMPLES)
def test_the_examples_in_a_modules_docstrings_are_true(name: str) -> None:
    module = importlib.import_module(name)
    failed, tried = doctest.testmod(
        module, extraglobs={"np": np}, optionflags=doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS
    )
    assert tried
    assert not failed
