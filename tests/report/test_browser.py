"""The pages in a real browser: nothing is asked of the outside, nothing complains, and the keyboard reaches everything.

Needs Chromium, which Debian calls `chromium`; Playwright drives it and is asked to download no other. Without Chromium
the tests are skipped, and a run with CI=true does not allow that.
"""

import shutil
from pathlib import Path

import pytest
from playwright.sync_api import sync_playwright
from tests.report.evaluations import DATA, MODELS, judge

from pixelwise.data.shapes import LABEL_SPEC
from pixelwise.report.folder import write_report
from pixelwise.report.gallery import looking_at
from pixelwise.report.judged import differences

CONTROLS = "a[href], summary, button, input, [tabindex='0']"

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def browser():
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("no chromium is installed: apt-get install chromium")
    with sync_playwright() as started:
        browser = started.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="module", params=[["near"], list(MODELS)], ids=["one model", "two models"])
def written(request, tmp_path_factory) -> Path:
    judged = [judge(name) for name in request.param]
    look = looking_at(DATA, {name: MODELS[name] for name in request.param})
    return write_report(tmp_path_factory.mktemp("pages") / "report", judged, LABEL_SPEC, look, differences(judged))


@pytest.fixture
def opened(browser, written):
    """The page, and what it said and asked for while it was opened."""
    page = browser.new_page(viewport={"width": 1200, "height": 900})
    heard: list[str] = []
    page.on("console", lambda message: heard.append(f"{message.type}: {message.text}"))
    page.on("pageerror", lambda error: heard.append(f"error: {error}"))
    page.on("requestfailed", lambda request: heard.append(f"failed: {request.url.partition(',')[0]}"))
    page.on("request", lambda request: heard.append(f"asked: {request.url.partition(',')[0]}"))  # no picture's bytes
    page.goto(written.as_uri(), wait_until="load")
    yield page, heard
    page.close()


def test_it_asks_for_nothing_and_nothing_complains(opened, written):
    _, heard = opened
    outside = [line for line in heard if not line.startswith(("asked: data:", f"asked: {written.as_uri()}"))]
    assert outside == []
    assert f"asked: {written.as_uri()}" in heard


def test_every_picture_is_there(opened):
    page, _ = opened
    sizes = page.evaluate("[...document.images].map(image => image.complete ? image.naturalWidth : 0)")
    assert len(sizes) > 20
    assert all(sizes)


def test_no_text_of_a_figure_leaves_it(opened):
    page, _ = opened
    outside = page.evaluate(
        """[...document.querySelectorAll('svg text')].filter(text => {
            const [one, all] = [text.getBoundingClientRect(), text.ownerSVGElement.getBoundingClientRect()];
            return one.left < all.left - 1 || one.right > all.right + 1 || one.top < all.top - 1 || one.bottom > all.bottom + 1;
        }).map(text => text.textContent)"""
    )
    assert outside == []


def test_the_keyboard_reaches_every_control_and_works_it(opened):
    page, _ = opened
    count = page.locator(CONTROLS).count()
    assert count > 8
    for _ in range(count + 2):
        page.keyboard.press("Tab")
        page.evaluate("document.activeElement.dataset.reached = 'yes'")
    unreached = page.evaluate(
        f'[...document.querySelectorAll("{CONTROLS}")].filter(one => !one.dataset.reached).map(one => one.outerHTML)'
    )
    assert unreached == []
    page.locator("summary").first.focus()
    page.keyboard.press("Enter")
    assert page.locator("details").first.get_attribute("open") is None


@pytest.mark.parametrize("width", [1200, 400])
def test_the_page_is_no_wider_than_the_window(opened, width):
    page, _ = opened
    page.set_viewport_size({"width": width, "height": 900})
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_it_can_be_printed_and_a_picture_taken(opened, tmp_path):
    page, _ = opened
    assert page.pdf()[:5] == b"%PDF-"
    page.screenshot(path=tmp_path / "page.png", full_page=True)
    assert (tmp_path / "page.png").stat().st_size > 10_000
