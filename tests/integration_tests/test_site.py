"""The documentation as a site: it builds without a warning, its links lead somewhere, every public name is in it."""

from __future__ import annotations

import ast
import importlib
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

import browser
import pytest
from bs4 import BeautifulSoup

from langchain_datashunt.cli.main import COMMANDS, GROUPS

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
WITH_PUBLIC_NAMES = ["langchain_datashunt", "langchain_datashunt.serve", "langchain_datashunt.testing"]
HIDDEN = re.compile(r"<!--.*?-->", re.DOTALL)
PYTHON = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
VISITS = [
    (name, width, scheme)
    for name in ("index", "thresholds", "reference/routing")
    for width in (browser.PHONE, browser.DESKTOP)
    for scheme in ("light", "dark")
]
LOADED = "script[src], img[src], iframe[src], source[src], link[rel~=stylesheet], link[rel~=icon], link[rel~=preload]"
pytestmark = pytest.mark.timeout(600)  # of processor time the site takes 15 s


class Page:
    """A page of the site as it was built."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.html = BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser")
        self.anchors = {str(tag["id"]) for tag in self.html.select("[id]")}

    def targets(self, tags: str) -> list[str]:
        return [str(tag.get("href") or tag.get("src")) for tag in self.html.select(tags)]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    options = ["--builder", "html", "--fail-on-warning", "--quiet", "--doctree-dir", str(folder / "doctrees")]
    command = [sys.executable, "-m", "sphinx", *options, str(DOCS), str(folder / "site")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)  # noqa: S603  our own words
    assert done.returncode == 0, done.stderr
    return folder / "site"


@pytest.fixture(scope="module")
def pages(built: Path) -> dict[Path, Page]:
    return {path: Page(path) for path in sorted(built.rglob("*.html"))}


@pytest.fixture(scope="module")
def described(pages: dict[Path, Page]) -> set[str]:
    """What the reference describes, by full name."""
    return {anchor for path, page in pages.items() if path.parent.name == "reference" for anchor in page.anchors}


@pytest.fixture(scope="module")
def chromium() -> Iterator[browser.Browser]:
    with browser.running() as chromium:
        yield chromium


@pytest.mark.parametrize("module", WITH_PUBLIC_NAMES)
def test_every_public_name_is_in_the_reference(described: set[str], module: str) -> None:
    public = {f"{module}.{name}" for name in importlib.import_module(module).__all__}
    assert public <= described, f"put them into docs/reference: {sorted(public - described)}"


def test_every_name_that_a_page_imports_is_in_the_reference(described: set[str]) -> None:
    shown = "\n".join(HIDDEN.sub("", path.read_text(encoding="utf-8")) for path in DOCS.rglob("*.md"))
    imported = {
        f"{node.module}.{alias.name}"
        for block in PYTHON.findall(shown)
        for node in ast.walk(ast.parse(block))
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith("langchain_datashunt")
        for alias in node.names
    }
    assert len(imported) > 30
    assert imported <= described, f"put them into docs/reference: {sorted(imported - described)}"


def test_every_command_has_its_manual(pages: dict[Path, Page], built: Path) -> None:
    headings = {
        tag.get_text().rstrip("¶") for tag in pages[built / "reference" / "command-line.html"].html.select("h3")
    }
    assert {f"datashunt {name}" for name in [*COMMANDS, *GROUPS]} <= headings


def test_nothing_is_loaded_from_elsewhere(pages: dict[Path, Page], built: Path) -> None:
    for page in pages.values():
        assert not [target for target in page.targets(LOADED) if urlsplit(target).netloc], page.path
    for sheet in built.rglob("*.css"):
        assert not re.search(r"@import|url\(\s*['\"]?(https?:)?//", sheet.read_text(encoding="utf-8")), sheet


def test_every_link_leads_somewhere(pages: dict[Path, Page]) -> None:
    for page in pages.values():
        for target in page.targets("a[href], link[href], script[src], img[src]"):
            parts = urlsplit(target)
            if parts.scheme or parts.netloc:
                assert re.fullmatch(r"https://[\w-]+(\.[\w-]+)+(/\S*)?", target), f"{page.path}: {target}"
                continue
            found = (page.path.parent / unquote(parts.path)).resolve() if parts.path else page.path
            assert found.is_file(), f"{page.path}: {target}"
            if parts.fragment:
                assert unquote(parts.fragment) in pages[found].anchors, f"{page.path}: {target}"


def test_code_that_sets_the_scene_is_not_shown(pages: dict[Path, Page], built: Path) -> None:
    scenes = 0
    for source in DOCS.rglob("*.md"):
        html = pages[built / source.relative_to(DOCS).with_suffix(".html")].path.read_text(encoding="utf-8")
        shown = BeautifulSoup(html, "html.parser").get_text()
        assert "<!--" not in shown
        for comment in HIDDEN.findall(source.read_text(encoding="utf-8")):
            _, code, _ = comment.split("```")
            assert code.removeprefix("python\n") not in shown
            assert comment not in html
            scenes += 1
    assert scenes > 15


@pytest.mark.parametrize(("name", "width", "scheme"), VISITS)
def test_a_page_fits_is_quiet_and_asks_no_other_host(
    chromium: browser.Browser, built: Path, name: str, width: int, scheme: browser.Scheme
) -> None:
    with chromium.visit((built / f"{name}.html").as_uri(), width=width, scheme=scheme) as visit:
        assert visit.overflowing() == []
        assert (visit.problems, visit.dialogs) == ([], [])
        assert {urlsplit(url).scheme for url in visit.requests} <= {"file", "data"}
        if folder := os.environ.get("DATASHUNT_SCREENSHOTS"):
            visit.screenshot(Path(folder) / f"site-{name.replace('/', '-')}-{width}-{scheme}.png")
        red, *_ = map(int, re.findall(r"\d+", visit.page.evaluate("getComputedStyle(document.body).backgroundColor")))
        assert (red < 64) == (scheme == "dark")


def test_a_reader_finds_a_page_by_searching(chromium: browser.Browser, built: Path) -> None:
    with chromium.visit(f"{(built / 'search.html').as_uri()}?q=LiveBound") as visit:
        visit.page.wait_for_selector("#search-results li a")
        found = [link.get_attribute("href") for link in visit.page.query_selector_all("#search-results li a")]
        assert any("reference/log.html#langchain_datashunt.LiveBound" in str(target) for target in found)
