"""The browser's own watchfulness: a page that misbehaves is seen to."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import browser
import pytest


@pytest.fixture(scope="module")
def chromium() -> Iterator[browser.Browser]:
    with browser.running() as chromium:
        yield chromium


def page(folder: Path, body: str) -> str:
    path = folder / "page.html"
    path.write_text(f"<!doctype html><meta name=viewport content='width=device-width'><body>{body}", encoding="utf-8")
    return path.as_uri()


def test_a_quiet_page_has_nothing_to_tell(chromium: browser.Browser, tmp_path: Path) -> None:
    url = page(tmp_path, "<p>quiet")
    with chromium.visit(url, width=browser.PHONE, scheme="dark") as visit:
        assert (visit.problems, visit.dialogs, visit.requests, visit.overflowing()) == ([], [], [url], [])
        assert visit.page.evaluate("matchMedia('(prefers-color-scheme: dark)').matches && innerWidth") == browser.PHONE
        visit.screenshot(tmp_path / "shots" / "quiet.png")
    assert (tmp_path / "shots" / "quiet.png").read_bytes().startswith(b"\x89PNG")


def test_errors_alerts_requests_and_overflow_are_seen(chromium: browser.Browser, tmp_path: Path) -> None:
    body = "<p style='width:500px'>wide<img src='http://127.0.0.1:9/pixel'><script>alert('hello'); nonsense()</script>"
    with chromium.visit(page(tmp_path, body), width=browser.PHONE) as visit:
        assert visit.dialogs == ["hello"]
        assert any("nonsense" in problem for problem in visit.problems)
        assert "http://127.0.0.1:9/pixel" in visit.requests
        assert "P." in visit.overflowing()
