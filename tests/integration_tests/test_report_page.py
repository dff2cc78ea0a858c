"""The report in a real browser: phone and desktop, light and dark, and what an attacker may put into a log."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import browser
import pytest
from hard_samples import sample
from report_demo import Demo, run_demo

from langchain_datashunt import HardSampleStore, Prices, write_report
from langchain_datashunt.types import HardSample

WINDOWS = [(width, scheme) for width in (browser.PHONE, browser.DESKTOP) for scheme in ("light", "dark")]

# The least contrast of all texts with what is behind them, as WCAG 2 reckons it.
LEAST_CONTRAST = """() => {
    const rgb = text => (text.match(/[\\d.]+/g) || []).map(Number);
    const light = ([r, g, b]) => [r, g, b].map(v => v / 255)
        .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
        .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
    const behind = e => {
        for (; e; e = e.parentElement) {
            const ground = rgb(getComputedStyle(e).backgroundColor);
            if (ground.length === 3 || ground[3] > 0) return ground;
        }
    };
    let least = [99, ''];
    for (const e of document.querySelectorAll('body *')) {
        if (e.closest('title, desc')) continue;
        if (![...e.childNodes].some(n => n.nodeType === 3 && n.textContent.trim())) continue;
        const style = getComputedStyle(e);
        const a = light(rgb(e instanceof SVGElement ? style.fill : style.color)), b = light(behind(e));
        const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
        if (contrast < least[0]) least = [contrast, e.textContent.trim().slice(0, 40)];
    }
    return least;
}"""


@pytest.fixture(scope="module")
def chromium() -> Iterator[browser.Browser]:
    with browser.running() as chromium:
        yield chromium


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    demo = run_demo(tmp_path_factory.mktemp("demo") / "samples.db")
    yield demo
    demo.store.close()


@pytest.fixture(scope="module")
def page(demo: Demo, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("report") / "report.html"
    prices = Prices(input=0.25, output=2.0, currency="USD")
    write_report(demo.store, path, policy=demo.policy, prices=prices, bounds=[demo.bound], labelled=demo.labelled)
    return path


@pytest.mark.parametrize(("width", "scheme"), WINDOWS)
def test_the_page_fits_is_quiet_and_loads_nothing(
    chromium: browser.Browser, page: Path, tmp_path: Path, width: int, scheme: browser.Scheme
) -> None:
    folder = Path(os.environ.get("DATASHUNT_SCREENSHOTS", tmp_path))
    with chromium.visit(page.as_uri(), width=width, scheme=scheme) as visit:
        assert visit.overflowing() == []
        for details in visit.page.query_selector_all("summary"):
            details.click()  # the numbers behind the charts
        assert visit.overflowing() == []
        visit.screenshot(folder / f"report-{width}-{scheme}.png")
        assert (visit.problems, visit.dialogs) == ([], [])
        assert visit.requests == [page.as_uri()]
        dark = visit.page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(18, 21, 26)"
        assert dark == (scheme == "dark")
        contrast, text = visit.page.evaluate(LEAST_CONTRAST)
        assert contrast >= 4.5, text
    assert (folder / f"report-{width}-{scheme}.png").stat().st_size > 50_000


PAPER = 703
"""Pixels across a sheet of A4 between margins of 12 mm."""


def test_on_paper_the_page_is_white_fits_and_has_the_numbers_behind_the_charts(
    chromium: browser.Browser, page: Path, tmp_path: Path
) -> None:
    folder = Path(os.environ.get("DATASHUNT_SCREENSHOTS", tmp_path))
    with chromium.visit(page.as_uri(), width=PAPER, scheme="dark") as visit:
        visit.page.emulate_media(media="print")
        colours = "e => [getComputedStyle(e).backgroundColor, getComputedStyle(e).color]"
        assert visit.page.eval_on_selector("body", colours) == ["rgb(255, 255, 255)", "rgb(27, 31, 36)"]
        assert visit.overflowing() == []
        assert all(table.is_visible() for table in visit.page.query_selector_all("figure details table"))
        contrast, text = visit.page.evaluate(LEAST_CONTRAST)
        assert contrast >= 4.5, text
        visit.screenshot(folder / "report-paper.png")
        pages = visit.page.pdf(format="A4", prefer_css_page_size=True)
    assert pages.count(b"/Type /Page\n") < 12


def test_every_chart_is_named_described_and_stands_beside_its_numbers(chromium: browser.Browser, page: Path) -> None:
    with chromium.visit(page.as_uri()) as visit:
        charts = visit.page.query_selector_all("svg.chart")
        assert len(charts) == 10
        for chart in charts:
            assert chart.query_selector("title").text_content()
            assert len(chart.query_selector("desc").text_content()) > 20
            named = chart.get_attribute("aria-labelledby").split()
            assert all(visit.page.query_selector(f"[id='{name}']") for name in named)
        without = "figure:not(:has(details table))"
        assert all(
            figure.evaluate("e => e.closest('section').querySelector(':scope > .scroll table') !== null")
            for figure in visit.page.query_selector_all(without)
        )
        ids = visit.page.evaluate("[...document.querySelectorAll('[id]')].map(e => e.id)")
        assert len(ids) == len(set(ids))


def test_accepted_and_deferred_differ_without_colour(chromium: browser.Browser, page: Path) -> None:
    with chromium.visit(page.as_uri()) as visit:
        fills = visit.page.evaluate(
            "[...document.querySelectorAll('svg.chart rect.outlined')].map(e => getComputedStyle(e).fill)"
        )
        assert fills
        assert all(fill.startswith('url("#') for fill in fills)  # hatched
        large = visit.page.query_selector("svg.chart .fill-large")
        ground = visit.page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert large.evaluate("e => getComputedStyle(e).fill") == ground  # an outline
        assert "now" in visit.page.inner_text("tr.present th") or visit.page.evaluate(
            "getComputedStyle(document.querySelector('tr.present th'), '::after').content.includes('now')"
        )


def test_the_page_is_the_same_over_http(chromium: browser.Browser, page: Path) -> None:
    """Browsers ask servers for an icon, unless the page names one."""
    import threading
    from functools import partial
    from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

    asked: list[str] = []

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *arguments: object) -> None:
            asked.append(self.path)

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(page.parent)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        with chromium.visit(f"http://127.0.0.1:{server.server_port}/report.html") as visit:
            assert visit.problems == []
            assert visit.page.inner_text("h1") == "What the shunt did"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
    assert asked == ["/report.html"]


HOSTILE = [
    "<script>alert('script')</script>",
    "<img src=http://127.0.0.1:9/pixel onerror=alert('image')>",
    "\"><svg onload=alert('svg')>",
    "'; </title></style><script>alert('close')</script><style>",
    "<iframe src=\"javascript:alert('frame')\"></iframe>",
    "<a href='http://127.0.0.1:9/link'>click</a><meta http-equiv=refresh content='0;url=http://127.0.0.1:9/away'>",
    "{{ 7 * 7 }}{% raw %}\u202egnp.exe\x00\ud800",
]


def key(text: str) -> str:
    """Return what the log takes of a text as a key."""
    return text.replace("\x00", "").replace("\ud800", "")


def hostile_sample(text: str, **fields: object) -> HardSample:
    """A record every text of which is hostile."""
    given = {
        "tenant": key(text),
        "policy_id": "policy",
        "small_label": key(text),
        "classes": (key(text), "other"),
        "label": f"{key(text)} again",
        "teacher": key(text),
        "small_model_version": key(text),
        "tags": (text,),
        "metadata": {text: text},
        "problem": text,
        "raw": text,
    }
    return sample(text, **{**given, **fields})


def test_what_an_attacker_puts_into_the_log_is_shown_as_text(chromium: browser.Browser, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    audit = {"route": "audit", "reason": "accepted", "confidence": 0.9, "sampling_probability": 0.5}
    with HardSampleStore(tmp_path / "samples.db") as store:
        for text in HOSTILE:
            store.append([hostile_sample(text), hostile_sample(text, label=None)])
            (id_, _) = store.append([hostile_sample(text, **audit), hostile_sample(f"{text} disputed", **audit)])
            store.label(id_, f"{key(text)} gold")
            store.append([hostile_sample(text, policy_id=key(text))])
            for policy_id in ("policy", key(text)):
                store.count_request(key(text), policy_id, "small")
        store._tally.lose(1, HOSTILE[0])
        store.flush()
        prices = Prices(input=1.0, output=1.0, currency=HOSTILE[1])
        write_report(store, path, policy_id="policy", prices=prices, title=HOSTILE[3])
    with chromium.visit(path.as_uri()) as visit:
        visit.page.wait_for_timeout(300)
        assert (visit.dialogs, visit.problems, visit.requests) == ([], [], [path.as_uri()])
        assert visit.overflowing() == []
        shown = visit.page.inner_text("body")
        assert "<script>alert('script')</script>" in shown
        assert "{{ 7 * 7 }}" in shown
        assert "\\u202egnp.exe\\u0000\\ud800" in shown
        tags = visit.page.evaluate("[...new Set([...document.querySelectorAll('*')].map(e => e.tagName))]")
        assert not set(tags) & {"SCRIPT", "IMG", "IFRAME", "OBJECT", "FORM"}
        assert visit.page.evaluate("document.querySelectorAll('style').length") == 1
        assert visit.page.evaluate("document.querySelectorAll('[onload], [onerror], [style]').length") == 0


def test_the_page_forbids_what_would_get_through(chromium: browser.Browser, page: Path, tmp_path: Path) -> None:
    """Were a text not escaped, the page's own policy would stop it."""
    injected = "".join(HOSTILE[:5]) + "<link rel=stylesheet href=http://127.0.0.1:9/style.css>"
    path = tmp_path / "injected.html"
    path.write_text(page.read_text(encoding="utf-8").replace("<main>", f"<main>{injected}"), encoding="utf-8")
    with chromium.visit(path.as_uri()) as visit:
        visit.page.wait_for_timeout(300)
        assert visit.dialogs == []
        assert not [url for url in visit.requests if url.startswith("http") and url not in _refused(visit)]
        assert any("Content Security Policy" in problem for problem in visit.problems)


def _refused(visit: browser.Visit) -> set[str]:
    """Return the URLs that the browser tells of, having refused to load them."""
    return {url for url in visit.requests if any(url in problem for problem in visit.problems)}
