"""What mkdocs does beyond its plugins: files of the repository that pages link to become part of the site.

A page links to ``../plugins/demo/CARDS.md`` as a forge shows it. In the site that file lies at
``repository/plugins/demo/CARDS.md``, so the same link works in both places, and without a network.
The command line's page gets the help of every command.
"""

from __future__ import annotations

import re
from pathlib import Path
from posixpath import normpath, relpath
from typing import Any

import click
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[2]
AWAY = "repository"
LINK = re.compile(r"(!?\[[^\]]*\]\()([^)\s#]+)(#[^)]*)?\)")
COMMANDS = "<!-- the help of every command -->"
ROLE = re.compile(r":(?:class|func|meth|mod):(?=<code>)")


def on_files(files: Files, config: Any) -> Files:
    """Add every file outside of docs/ that a page, or a page so added, links to."""
    waiting = [file for file in files if file.src_uri.endswith(".md")]
    known = {file.src_uri for file in files}
    while waiting:
        page = waiting.pop()
        for _, target, _ in LINK.findall(_text(page)):
            uri = _in_site(target, page.src_uri)
            path = ROOT / uri.removeprefix(f"{AWAY}/")
            if uri.startswith(f"{AWAY}/") and uri not in known and path.is_file():
                file = File.generated(config, uri, abs_src_path=str(path))
                files.append(file)
                known.add(uri)
                waiting += [file] if uri.endswith(".md") else []
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    """Point links at where files lie in the site."""
    def moved(found: re.Match[str]) -> str:
        before, target, anchor = found.groups()
        if "://" in target or target.startswith("mailto:"):
            return found[0]
        uri = _in_site(target, page.file.src_uri)
        return f"{before}{relpath(uri, normpath(f'{page.file.src_uri}/..'))}{anchor or ''})"

    markdown = LINK.sub(moved, markdown)
    return markdown.replace(COMMANDS, _commands()) if COMMANDS in markdown else markdown


def on_page_content(html: str, page: Any, config: Any, files: Files) -> str:
    """Docstrings name things as Sphinx does; the name itself is enough here."""
    return ROLE.sub("", html)


def _commands() -> str:
    """A section for each command: its ``--help``."""
    from unlearnkit.cli import cli

    parts = []
    with click.Context(cli, info_name="unlearnkit") as group:
        for name in cli.list_commands(group):
            command = cli.get_command(group, name)
            assert command is not None
            with click.Context(command, parent=group, info_name=name, terminal_width=100) as context:
                parts.append(f"## unlearnkit {name}\n\n```text\n{command.get_help(context)}\n```\n")
    return "\n".join(parts)


def _in_site(target: str, page: str) -> str:
    """A link as written on a page -> the place of its file in the site."""
    real = page.removeprefix(f"{AWAY}/") if page.startswith(f"{AWAY}/") else f"docs/{page}"
    path = normpath(f"{real}/../{target}")
    return path.removeprefix("docs/") if path.startswith("docs/") else f"{AWAY}/{path}"


def _text(page: File) -> str:
    return Path(page.abs_src_path or "").read_text(encoding="utf-8")
