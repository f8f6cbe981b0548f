"""The pages of the documentation and the code blocks on them, for the tests beside."""

from __future__ import annotations

import re
import sys
import textwrap
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import attrs
import pytest

from unlearnkit import plugins

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = [
    *sorted(ROOT.glob("*.md")),
    *sorted(DOCS.rglob("*.md")),
    *sorted((ROOT / "plugins").glob("*/*.md")),
]
_FENCE = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
_FILE = re.compile(r"# ([\w/]+\.py)\n")


@attrs.frozen
class Block:
    """A fenced block: its page (relative to the repository), the line it starts on, its language and its text."""

    page: str
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"

    @property
    def file(self) -> str | None:
        """The file that the block is, if its first line says so: ``# package/module.py``."""
        named = _FILE.match(self.text)
        return named[1] if named and self.language == "python" else None

    @property
    def code(self) -> str:
        """The text, moved down so that a traceback names the line on the page."""
        return "\n" * self.line + self.text


def name_of(page: Path) -> str:
    """A page's path in the repository."""
    return page.relative_to(ROOT).as_posix()


def blocks(page: Path, language: str | None = None) -> list[Block]:
    """The fenced blocks of a page, in order."""
    return [block for block in _blocks(page) if language in (None, block.language)]


def _blocks(page: Path) -> Iterator[Block]:
    text = page.read_text(encoding="utf-8")
    for found in _FENCE.finditer(text):
        line = text.count("\n", 0, found.start()) + 1
        yield Block(name_of(page), line, found[2], textwrap.dedent(found[3]))


@contextmanager
def installed(page: Path, folder: Path) -> Iterator[str]:
    """The plugin that a page's blocks are, as pip would leave it behind in ``folder``; gives its name."""
    for block in blocks(page, "python"):
        if block.file is not None:
            file = folder / block.file
            file.parent.mkdir(exist_ok=True)
            with file.open("a", encoding="utf-8") as stream:  # a file may go on in a later block
                stream.write("\n\n" + block.text)
    project = next(table["project"] for table in map(tomllib.loads, (b.text for b in blocks(page, "toml")))
                   if "project" in table)
    info = folder / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n")
    points = project["entry-points"]["unlearnkit"]
    (info / "entry_points.txt").write_text("[unlearnkit]\n" + "".join(f"{k} = {v}\n" for k, v in points.items()))
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        plugins.reset()
        yield next(iter(points))
    plugins.reset()
    packages = tuple(points.values())
    for module in [module for module in sys.modules if module.startswith(packages)]:
        del sys.modules[module]
