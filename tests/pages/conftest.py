"""Report, audit and comparison in a real browser: Debian's chromium, driven by Playwright."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from handmade_results import png, result

from unlearnkit.cli import main
from unlearnkit.results import write_result

if TYPE_CHECKING:
    from playwright.sync_api import Browser

METHODS = {
    "guide": (0.2, 0.9), "ewc": (0.3, 0.95), "closed-form": (0.05, 0.86), "a-method-with-a-long-name": (0.22, 0.9),
}
"""What is left of the erased person, and what becomes of bystanders."""


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Chromium; skips where there is none, but for CI, which must have one."""
    path = next((found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))),
                None)
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        path = None
    if path is None:
        if os.environ.get("CI") and sys.platform.startswith("linux"):
            pytest.fail("CI has no browser: apt-get install chromium, pip install playwright")
        pytest.skip("needs chromium (apt-get install chromium) and playwright")
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])
        yield found
        found.close()


@pytest.fixture(scope="session")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One page of each kind: of a small run with several pictures, its audit, a handmade comparison and its site."""
    folder = tmp_path_factory.mktemp("pages")
    run = folder / "run"
    _command("run", "--method", "guide", "--generator", "stylegan2", "--steps", "3", "--set", "metrics.samples=6",
             "--set", "request.erase=2", "--out", str(run))
    _command("audit", str(run), "--attack", "reinversion-w", "--attack", "relearning",
             "--set", "attack.reinversion-w.steps=3", "--set", "attack.relearning.steps=3")
    results = folder / "results"
    results.mkdir()
    for method, (erased, kept) in METHODS.items():
        for person in range(4):
            metrics = {"erased_after": erased + person / 50, "bystanders_change": kept, "preserved_identity": kept}
            write_result(results, result(method, f"ind_{person}", metrics=metrics),
                         {role: png() for role in ("picture", "before", "after")})
    _command("compare", str(results), "--html", str(folder / "compare.html"), "--site", str(folder / "site"))
    site = folder / "site"
    return {"report": run / "report.html", "audit": run / "audit.html", "compare": folder / "compare.html",
            "site": site / "index.html", "case": site / "cases" / "stylegan2.ind.guide.ind_0.0.html"}


def _command(*words: str) -> None:
    with pytest.raises(SystemExit) as stop:
        main(words)
    assert stop.value.code == 0
