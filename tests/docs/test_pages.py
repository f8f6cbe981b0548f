"""The pages mention everything there is, their links lead somewhere and their commands parse."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import attrs
import click
import pytest

from unlearnkit.cli import cli
from unlearnkit.plugins import registry

ROOT = Path(__file__).parents[2]
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "plugins").glob("*/*.md")),
]
REFERENCE = "".join(
    (ROOT / "docs" / name).read_text() for name in ("methods.md", "baselines.md", "metrics.md", "audit.md")
)
KINDS = ("generator", "method", "target", "loss", "inverter", "identity", "perceptual", "metric", "attack")
COMPONENTS = [(kind, name) for kind in KINDS for name in registry().names(kind)]


@pytest.mark.parametrize(("kind", "name"), COMPONENTS)
def test_every_component_and_option_is_explained(kind: str, name: str) -> None:
    assert f"`{name}`" in REFERENCE, f"docs/ (methods, baselines, metrics, audit) do not mention {kind} {name}"
    for field in attrs.fields(registry().component_class(kind, name)):
        if field.init:
            assert f"`{field.name}`" in REFERENCE, f"{kind} {name}: option {field.name} is not mentioned"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if not target.startswith(("http://", "https://", "#", "mailto:")):
            assert (page.parent / target.split("#")[0]).exists(), f"{page.name}: {target}"


def code_lines(page: Path) -> list[str]:
    """The lines of a page's plain and shell blocks, fenced or indented; continued lines joined."""
    found, fence = [], None
    for line in page.read_text().replace("\\\n", " ").splitlines():
        if line.startswith("```"):
            fence = line[3:] or "plain" if fence is None else None
        elif fence in ("plain", "sh", "bash") or (fence is None and line.startswith("    ")):
            found.append(line)
    return found


def commands() -> list[tuple[str, str]]:
    """Each ``unlearnkit ...`` of the code blocks, with the page it is on."""
    known = "|".join(cli.list_commands(click.Context(cli)))
    pattern = re.compile(rf"\bunlearnkit (?:{known})\b[^&|#>)]*")
    return [(page.name, part) for page in PAGES for line in code_lines(page) for part in pattern.findall(line)]


@pytest.mark.parametrize(("page", "line"), commands())
def test_commands_parse(page: str, line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    name, *arguments = shlex.split(line)[1:]
    command = cli.get_command(click.Context(cli), name)
    assert command is not None, f"{page}: {line}"
    for word in arguments:  # the files of an example need not exist for its command to be right
        if "." in word and not word.startswith("-"):
            (tmp_path / word).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / word).touch()
        elif word.startswith("runs/"):
            (tmp_path / word).mkdir(parents=True, exist_ok=True)
    if "--resume" in arguments:
        (tmp_path / "DIR").mkdir()
    command.make_context(name, arguments, parent=click.Context(cli))


def test_commands_were_found() -> None:
    assert len(commands()) >= 8
