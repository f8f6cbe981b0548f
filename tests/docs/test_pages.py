"""The pages mention everything there is, and their links lead somewhere."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import pytest
from pages import DOCS, PAGES, name_of

import unlearnkit
import unlearnkit.engine
import unlearnkit.errors
import unlearnkit.interfaces
import unlearnkit.testing
from unlearnkit.plugins import hookspecs, registry

COMPONENT_PAGES = "".join(
    (DOCS / name).read_text()
    for name in ("methods.md", "lethe.md", "baselines.md", "metrics.md", "audit.md", "clusters.md")
)
PLUGIN_PAGES = "".join(page.read_text() for page in (DOCS / "plugins").glob("*.md"))
API = (DOCS / "reference" / "plugin-api.md").read_text()
KINDS = ("generator", "method", "target", "loss", "inverter", "identity", "perceptual", "metric", "attack", "launcher")
COMPONENTS = [(kind, name) for kind in KINDS for name in registry().names(kind)]


@pytest.mark.parametrize(("kind", "name"), COMPONENTS)
def test_every_component_and_option_is_explained(kind: str, name: str) -> None:
    assert f"`{name}`" in COMPONENT_PAGES, f"docs/ (methods, baselines, ...) do not mention {kind} {name}"
    for field in attrs.fields(registry().component_class(kind, name)):
        if field.init:
            assert f"`{field.name}`" in COMPONENT_PAGES, f"{kind} {name}: option {field.name} is not mentioned"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if not target.startswith(("http://", "https://", "#", "mailto:")):
            assert (page.parent / target.split("#")[0]).exists(), f"{page.name}: {target}"


def test_every_page_is_in_the_navigation() -> None:
    text = (DOCS.parent / "mkdocs.yml").read_text()
    missing = [page for page in DOCS.rglob("*.md") if page.relative_to(DOCS).as_posix() not in text]
    assert missing == []


@pytest.mark.parametrize("hook", [name for name in vars(hookspecs) if name.startswith("unlearnkit_")])
def test_every_hook_has_a_section(hook: str) -> None:
    section = rf"^## `{hook}\(" if "_register_" not in hook else rf"^Hook: `{hook}\(register\)`"
    assert re.search(section, PLUGIN_PAGES, re.MULTILINE), f"no page under docs/plugins/ explains {hook}"


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_component_has_a_page(kind: str) -> None:
    assert (DOCS / "plugins" / f"{kind}.md").is_file()


@pytest.mark.parametrize("module", [
    unlearnkit.interfaces, unlearnkit.testing, unlearnkit.engine, unlearnkit.errors,
], ids=lambda module: module.__name__)
def test_every_public_name_is_in_the_reference(module: Any) -> None:
    listed = set(re.findall(rf"^::: {module.__name__}\.(\w+)$", API, re.MULTILINE))
    helpers = {"Gather", "nearest", "one_line"}  # of the program itself
    assert set(module.__all__) - helpers == listed


def test_every_name_of_the_package_is_in_the_reference() -> None:
    page = (DOCS / "reference" / "python.md").read_text()
    listed = set(re.findall(r"^::: unlearnkit\.(\w+)$", page, re.MULTILINE))
    assert set(unlearnkit.__all__) - {"__version__"} == listed


def test_every_setting_is_in_the_reference(cli: Callable[..., Any]) -> None:
    page = (DOCS / "reference" / "settings.md").read_text()
    done = cli("run", "--method", "guide", "--generator", "stylegan2", "--dry-run")
    settings = tomllib.loads(done.stdout)
    names = {key for key, value in settings.items() if not isinstance(value, dict)} | set(settings["request"])
    assert len(names) > 8 and [name for name in sorted(names) if f"| `{name}` |" not in page] == []
    sections = {key for key, value in settings.items() if isinstance(value, dict)} - {"request", "loss", "metric"}
    assert [name for name in sorted(sections) if f"| `[{name}]` |" not in page] == []


def test_the_page_of_weight_files_is_the_registry() -> None:
    page = (DOCS / "weights.md").read_text().partition("\n## ")[0]
    rows = re.findall(r"^\| `([\w-]+)` \| (.*) \|$", page, re.MULTILINE)
    wanted = [
        (file.name, f"{file.purpose} | `{file.file_name}` | {file.size_text} | "
                    f"{file.sha256[:8] + '…' if file.sha256 else 'not published'} | {file.licence} | {file.origin}")
        for file in registry().weights().values()
    ]
    assert rows == wanted
