"""Every code block of every page is true: Python runs, TOML and JSON parse, commands exist and take their arguments."""

from __future__ import annotations

import importlib.util
import json
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import click
import pytest
from pages import DOCS, PAGES, ROOT, Block, blocks, installed, name_of

import unlearnkit
from unlearnkit.cli import cli as group
from unlearnkit.testing import check_component, components_of

LANGUAGES = {"python", "toml", "json", "sh", "text"}
"""``text`` is for what nobody types: trees of folders and output."""
NOT_RUN: dict[str, str] = {}
"""Page:line of a block -> why nothing can run or parse it."""
ELSEWHERE: dict[str, str] = {}
"""Commands that pages describe before they are merged; to be empty when they are."""
TOOLS = {"pip", "pytest", "mkdocs", "nox", "pre-commit", "git", "mkdir", "cd", "echo", "export", "set", "for", "wait",
         "jq", "done", "cp", "source", "ruff", "mypy", "lint-imports", "openssl", "sha256sum"}
PRELUDES = {
    "docs/audit.md": """
        from unlearnkit.testing import ToyGenerator, ToyIdentity, make_evidence
        evidence, identity = make_evidence(ToyGenerator(), ToyGenerator()), ToyIdentity()
        targets = 2 * evidence.frozen.w_avg - evidence.request.erased
        """,
}
"""What a page's first block takes for granted."""

SHORT_SETTINGS: dict[str, Any] = {
    "inverter.refine_steps": 1, "request.random_bystanders": 0, "metrics.names": ["identity"], "metrics.samples": 2,
}
"""What is added so that the runs on a page take seconds."""

Cli = Callable[..., Any]
ALL = [block for page in PAGES for block in blocks(page)]
WITH_RUNS = ("docs/reference/python.md",)
PYTHON = [
    pytest.param(page, marks=pytest.mark.slow) if name_of(page) in WITH_RUNS else page
    for page in PAGES if blocks(page, "python")
]
COMMAND = re.compile(r"^ {4}(?=unlearnkit )", re.MULTILINE)


def test_every_block_says_what_it_is() -> None:
    assert [f"{block}: {block.language or 'no language'}" for block in ALL if block.language not in LANGUAGES] == []
    assert set(NOT_RUN) <= {str(block) for block in ALL} and all(NOT_RUN.values())


# ---------------------------------------------------------------- Python

@pytest.mark.parametrize("page", PYTHON, ids=name_of)
def test_python_runs(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    if name_of(page) in WITH_RUNS:
        short = partial(unlearnkit.unlearn, steps=2, quiet=True, set=SHORT_SETTINGS)
        monkeypatch.setattr(unlearnkit, "unlearn", short, raising=False)
        monkeypatch.setattr(unlearnkit, "audit", partial(unlearnkit.audit, attack="neighbours"), raising=False)
    is_plugin = any(block.file for block in blocks(page, "python"))
    with installed(page, tmp_path) if is_plugin else nullcontext() as plugin:
        names: dict[str, Any] = {"__name__": "page"}
        exec("\n".join(line.strip() for line in PRELUDES.get(name_of(page), "").splitlines()), names)
        for block in blocks(page, "python"):
            if str(block) not in NOT_RUN:
                exec(compile(block.code, block.page, "exec", dont_inherit=True), names)
        if plugin is not None:
            subjects = components_of(plugin)
            assert subjects
            for subject in subjects:
                check_component(subject)


def test_pages_of_components_check_their_example() -> None:
    pages = sorted((DOCS / "plugins").glob("*.md"))
    assert len(pages) == 11
    unchecked = [page.name for page in pages if "check_component(" not in page.read_text()]
    assert unchecked == ["defaults.md"]


# ---------------------------------------------------------------- data

@pytest.mark.parametrize("block", [block for block in ALL if block.language in ("toml", "json")], ids=str)
def test_data_parses(block: Block) -> None:
    assert (tomllib.loads if block.language == "toml" else json.loads)(block.text)


# ---------------------------------------------------------------- shell

def commands(text: str) -> list[list[str]]:
    """The simple commands of shell lines, as words; comments, redirections and what joins commands are left out."""
    found: list[list[str]] = []
    for line in text.replace("\\\n", " ").splitlines():
        words = shlex.shlex(line, posix=True, punctuation_chars=True)
        words.whitespace_split = True
        command: list[str] = []
        for word in words:
            if set(word) <= set("&;|<>()"):
                found, command = [*found, command], []
            else:
                command.append(word)
        found.append(command)
    plain = [command[1:] if command[:1] in (["do"], ["time"]) else command for command in found]
    return [words for command in plain if (words := _without_variables(command))]


def _without_variables(command: list[str]) -> list[str]:
    start = next((place for place, word in enumerate(command) if not re.match(r"\w+=", word)), len(command))
    return command[start:]


def shell_blocks() -> list[Block]:
    """Blocks of shell, and the commands that a page shows by indenting them."""
    indented = [
        Block(name_of(page), text.count("\n", 0, found.start()) + 1, "sh", text[found.end():].split("\n", 1)[0])
        for page in PAGES if (text := page.read_text(encoding="utf-8")) for found in COMMAND.finditer(text)
    ]
    return [block for block in ALL if block.language == "sh"] + indented


SHELL = [(block, words) for block in shell_blocks() for words in commands(block.text)]
OURS = [(block, words) for block, words in SHELL if words[0] == "unlearnkit"]


def test_tools_are_known() -> None:
    after_redirection = re.compile(r"[~./\w-]+(\.\w+|/dev/null)$")
    others = [(str(block), words) for block, words in SHELL if words[0] not in {*TOOLS, "unlearnkit", "python"}]
    assert [item for item in others if not after_redirection.match(item[1][0])] == []


@pytest.mark.parametrize(
    ("block", "words"), [pair for pair in SHELL if pair[1][0] == "python"], ids=lambda value: str(value)[:60]
)
def test_modules_and_lines_of_python_exist(
    block: Block, words: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(ROOT)  # benchmarks/ is part of the checkout, not of the package
    flag, what = words[1:3]
    assert flag in ("-m", "-c"), words
    if flag == "-c":
        compile(what, str(block), "exec")
    else:
        assert importlib.util.find_spec(what) is not None, f"{block}: there is no module {what}"


@pytest.mark.parametrize(("block", "words"), OURS, ids=lambda value: str(value)[:60])
def test_commands_parse(block: Block, words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    name, *arguments = words[1:]
    command = group.get_command(click.Context(group), name)
    if command is None and name in ELSEWHERE:
        pytest.skip(ELSEWHERE[name])
    assert command is not None, f"{block}: there is no command {name}"
    make_files(arguments, tmp_path)
    command.make_context(name, arguments, parent=click.Context(group))


def make_files(arguments: list[str], folder: Path) -> None:
    """Files and runs that an example names need not exist for its command to be right."""
    for word in arguments:
        path = folder / word
        if word.startswith("runs/") and "." not in Path(word).name:
            path.mkdir(parents=True, exist_ok=True)
        elif "." in word and not word.startswith("-") and not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
    if "--resume" in arguments:
        (folder / "DIR").mkdir(exist_ok=True)


def test_commands_were_found() -> None:
    assert len(OURS) >= 60 and {words[1] for _, words in OURS} >= {"run", "audit", "apply", "sample", "show", "doctor"}


def test_commands_in_sentences_exist() -> None:
    known = {*group.list_commands(click.Context(group)), *ELSEWHERE}
    for page in PAGES:
        named = set(re.findall(r"`unlearnkit ([a-z][a-z-]*)", page.read_text(encoding="utf-8")))
        assert named <= known, f"{name_of(page)}: no command {named - known}"


def is_cheap(words: list[str]) -> bool:
    """Needs no file and takes a second or two."""
    if words[1] == "run":
        return "--dry-run" in words and not {"--checkpoint", "--image", "--config"} & set(words)
    return words[1] in ("show", "plugins", "doctor", "completion") and not any("runs/" in word for word in words)


NEED_A_PLUGIN = ("docs/tutorials/researcher.md", "docs/plugins.md")
CHEAP = [shlex.join(words[1:]) for block, words in OURS if is_cheap(words) and block.page not in NEED_A_PLUGIN]


@pytest.mark.parametrize("line", sorted(set(CHEAP)))
def test_cheap_commands_run(line: str, cli: Cli) -> None:
    done = cli(*shlex.split(line))
    if f"No such command '{line.split()[0]}'" in done.stderr and line.split()[0] in ELSEWHERE:
        pytest.skip(ELSEWHERE[line.split()[0]])
    assert done.returncode == 0 and done.stdout, done.stderr


# ---------------------------------------------------------------- tutorials, from the first command to the last

SHORT = {
    "run": ["--steps", "2", *(word for key, value in SHORT_SETTINGS.items()
                              for word in ("--set", f"{key}={json.dumps(value)}"))],
    "audit": ["--attack", "neighbours"],
}


@pytest.mark.slow
def test_the_engineers_tutorial_leads_to_a_checkpoint(cli: Cli, tmp_path: Path) -> None:
    for block in blocks(DOCS / "tutorials" / "engineer.md", "sh"):
        for words in commands(block.text):
            if words[0] == "python":
                subprocess.run([sys.executable, *words[1:]], cwd=tmp_path, check=True, timeout=60)
            elif words[0] == "unlearnkit" and "ffhq.pkl" not in words:
                done = cli(*words[1:], *([] if "--dry-run" in words else SHORT.get(words[1], [])))
                assert done.returncode == 0, f"{block}: {shlex.join(words)}\n{done.stderr}"
    assert {path.name for path in tmp_path.iterdir()} >= {"edited.safetensors", "before.png", "after.png"}
    assert (tmp_path / "runs" / "mine" / "audit.html").is_file()


@pytest.mark.slow
def test_the_researchers_method_runs(cli: Cli, tmp_path: Path) -> None:
    site = tmp_path / "site"
    site.mkdir()
    page = DOCS / "tutorials" / "researcher.md"
    with installed(page, site):
        lines = [words for block in blocks(page, "sh") for words in commands(block.text)]
        first = next(words for words in lines if words[:2] == ["unlearnkit", "run"])
        assert first[2:4] == ["--method", "crowd"]
        done = cli(*first[1:], *SHORT["run"], paths=(site,))
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "runs" / "crowd" / "edit.safetensors").is_file()


def test_no_page_is_left_out() -> None:
    assert ROOT / "README.md" in PAGES and DOCS / "plugins.md" in PAGES and len(PAGES) > 40
