"""Debian's Chromium, headless, for tests that look at pages as readers do. Playwright drives it; it brings no browser.

The tests skip where there is no Chromium.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest

PHONE, DESKTOP = 390, 1280
"""Widths of the two windows that every page is looked at in."""

Scheme = Literal["light", "dark"]

_FLAGS = (
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
_HEIGHT = 900
_OVERFLOWING = """() => {
    const width = document.documentElement.clientWidth;
    const scrolls = e => e && (/auto|scroll|hidden/.test(getComputedStyle(e).overflowX) || scrolls(e.parentElement));
    return [...document.body.querySelectorAll('*')]
        .filter(e => e.getBoundingClientRect().right > width + 1 && !scrolls(e.parentElement))
        .map(e => e.tagName + '.' + (e.getAttribute('class') || ''));
}"""


@dataclass
class Visit:
    """An open page, and what happened on it.

    Attributes:
        page: Playwright's.
        problems: Console errors and warnings, and uncaught exceptions.
        requests: The URLs of all requests, the page's own first.
        dialogs: The texts of alerts and the like; each is dismissed.
    """

    page: Any
    problems: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    dialogs: list[str] = field(default_factory=list)

    def overflowing(self) -> list[str]:
        """Return the elements that stick out of the window to the right, but for those inside a box that scrolls."""
        wide = self.page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth")
        return self.page.evaluate(_OVERFLOWING) or (["the page"] if wide else [])

    def screenshot(self, path: Path) -> None:
        """Write the whole page as a PNG."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=path, full_page=True)


@dataclass
class Browser:
    """A running Chromium."""

    chromium: Any

    @contextmanager
    def visit(self, url: str, *, width: int = DESKTOP, scheme: Scheme = "light") -> Iterator[Visit]:
        """Open a page in a fresh profile, and wait until it has loaded."""
        context = self.chromium.new_context(viewport={"width": width, "height": _HEIGHT}, color_scheme=scheme)
        visit = Visit(context.new_page())
        page = visit.page
        page.on("console", lambda m: visit.problems.append(m.text) if m.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: visit.problems.append(str(error)))
        page.on("request", lambda request: visit.requests.append(request.url))
        page.on("dialog", lambda dialog: (visit.dialogs.append(dialog.message), dialog.dismiss()))
        try:
            page.goto(url, wait_until="load")
            yield visit
        finally:
            context.close()


@contextmanager
def running() -> Iterator[Browser]:
    """Run Chromium until the block ends; skip the test where there is none.

    Playwright's event loop runs meanwhile: asynchronous tests have to wait for the end of the block.
    """
    path = shutil.which("chromium")
    if path is None:
        pytest.skip("there is no chromium here: apt-get install chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=path, args=list(_FLAGS))
        try:
            yield Browser(chromium)
        finally:
            chromium.close()
