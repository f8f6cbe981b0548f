"""What a reader meets: axe's findings, errors, loads from elsewhere, letters too small to read, what overflows."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

DRAWINGS = ("report", "audit", "compare")
KINDS = (*DRAWINGS, "site", "case")
SMALLEST = 10.9
"""CSS pixels of the smallest letters in a drawing."""

DRAWN = """() => [...document.querySelectorAll("svg text")].map(text => {
  const box = text.getBoundingClientRect(), svg = text.closest("svg").getBoundingClientRect();
  const scale = text.getScreenCTM().a || Math.abs(text.getScreenCTM().b);
  return {text: text.textContent, size: scale * parseFloat(getComputedStyle(text).fontSize),
          out: Math.max(svg.left - box.left, box.right - svg.right, svg.top - box.top, box.bottom - svg.bottom)};
})"""
LABELS = """() => [...document.querySelectorAll(".legend span, .value, h3, figcaption, td, th, p")]
  .filter(e => e.offsetParent && !e.closest(".wide")).map(e => {
    const box = e.getBoundingClientRect();
    const card = (e.closest("section, details, header") || document.body).getBoundingClientRect();
    return {text: e.textContent.trim().slice(0, 40), out: Math.max(card.left - box.left, box.right - card.right)};
  }).filter(found => found.out > 1)"""


@pytest.fixture(params=[(1280, "light"), (1280, "dark"), (400, "light"), (400, "dark")], ids=lambda p: f"{p[0]}-{p[1]}")
def window(browser: Browser, request: pytest.FixtureRequest) -> Any:
    """A page in a window of one width, light or dark; what it loads and complains of is on record."""
    width, scheme = request.param
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    page = context.new_page()
    page.complaints = []
    page.on("console", lambda message: page.complaints.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: page.complaints.append(str(error)))
    page.on("request", lambda asked: None if asked.url.startswith(("file:", "data:")) else
            page.complaints.append(f"loads {asked.url}"))
    yield page
    context.close()


def show(window: Page, path: Path) -> None:
    """Open a page with all its details unfolded."""
    window.goto(path.as_uri())
    for details in window.query_selector_all("details:not([open]) > summary"):
        details.click()


@pytest.mark.parametrize("kind", KINDS)
def test_axe_finds_nothing_serious(window: Page, pages: dict[str, Path], kind: str) -> None:
    from axe_playwright_python.sync_playwright import Axe

    # axe is a script, and the pages forbid scripts: it looks at the page without that rule.
    path = pages[kind]
    free = path.with_name(f"{path.stem}-axe.html")
    free.write_text(path.read_text().replace('http-equiv="Content-Security-Policy"', 'name="was-csp"'))
    show(window, free)
    found = Axe().run(window).response["violations"]
    serious = [(each["id"], each["nodes"][0]["html"][:150], len(each["nodes"])) for each in found
               if each["impact"] in ("serious", "critical")]
    assert not serious


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_loaded_nothing_runs_nothing_complains(window: Page, pages: dict[str, Path], kind: str) -> None:
    show(window, pages[kind])
    assert window.complaints == []  # type: ignore[attr-defined]
    assert "<script" not in pages[kind].read_text()


@pytest.mark.parametrize("kind", KINDS)
def test_everything_fits(window: Page, pages: dict[str, Path], kind: str) -> None:
    show(window, pages[kind])
    wide = window.evaluate("[document.documentElement.scrollWidth, innerWidth]")
    assert wide[0] <= wide[1], "the page scrolls sideways"
    assert window.evaluate(LABELS) == []


@pytest.mark.parametrize("kind", DRAWINGS)
def test_letters_in_drawings_can_be_read(window: Page, pages: dict[str, Path], kind: str) -> None:
    show(window, pages[kind])
    drawn = window.evaluate(DRAWN)
    assert drawn, "no drawing with letters"
    assert [found for found in drawn if found["size"] < SMALLEST or found["out"] > 1] == []


def test_the_report_draws_the_border_and_puts_the_worst_first(window: Page, pages: dict[str, Path]) -> None:
    show(window, pages["report"])
    assert window.locator(".legend .border").inner_text().startswith("recognised from")
    similar = [float(text.split()[1].rstrip(",")) for text in
               window.locator("section:has(h2:text('Bystanders')) .card h3 span").all_inner_texts()]
    assert len(similar) > 2 and similar == sorted(similar)


def test_a_comparison_begins_with_its_answer(window: Page, pages: dict[str, Path]) -> None:
    show(window, pages["compare"])
    answer = window.locator("header").inner_text()
    assert "Best balance" in answer and "closed-form erases best" in answer
    window.keyboard.press("Tab")
    reached = set()
    for _ in range(12):
        reached.add(window.evaluate("document.activeElement.getAttribute('aria-label') || ''"))
        window.keyboard.press("Tab")
    assert any("numbers" in label for label in reached), "tables that scroll can be reached by keyboard"


def test_from_the_leaderboard_to_a_case_and_back(window: Page, pages: dict[str, Path]) -> None:
    show(window, pages["site"])
    window.get_by_role("region", name="every case").first.get_by_role("link", name="0.20").click()
    assert "guide: ind_0" in window.locator("h1").inner_text() and window.locator("figure img").count() == 3
    assert all(window.locator("figure img").nth(i).evaluate("e => e.naturalWidth") > 0 for i in range(3))
    window.get_by_role("link", name="Back to all methods").click()
    assert window.url == pages["site"].as_uri()
