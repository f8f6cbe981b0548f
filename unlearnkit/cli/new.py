"""``unlearnkit new``: a small plugin package that works, from the files in ``templates/``. Imports no torch."""

from __future__ import annotations

import ast
import keyword
import os
import re
import shlex
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path

import attrs
import click

from unlearnkit.errors import ConfigError
from unlearnkit.files.atomic import plain_errors

_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_LONGEST_NAME = 24
_RUN = "unlearnkit run --method guide --generator stylegan2"


@attrs.frozen
class Part:
    """One component of the new package: what a person calls it, its line in ``register``, and commands that use it."""

    kind: str
    title: str
    line: str
    commands: tuple[str, ...]

    @property
    def hook(self) -> str:
        """The hook that registers it."""
        from unlearnkit.plugins.registration import KINDS

        return KINDS[self.kind][0]


PARTS = (
    Part("method", "method", "GUIDE's losses on a part of the network",
         ("unlearnkit run --method NAME --generator stylegan2",)),
    Part("loss", "loss", "The erased latent shows the target's colours and identity",
         (f"{_RUN} --set 'losses.names=[\"NAME\", \"guide-global\"]'",)),
    Part("target", "target selector", "A random person, or a point on the way there", (f"{_RUN} --target NAME",)),
    Part("metric", "metric", "How much brighter or darker random people have become",
         (f"{_RUN} --set 'metrics.names=[\"NAME\", \"identity\"]'",)),
    Part("generator", "generator", "Coloured blobs, 32 x 32 pixels", (
        "python -m PACKAGE.example NAME.safetensors",
        "unlearnkit run --method guide --generator NAME --checkpoint NAME.safetensors --latent-seed 1 "
        "--identity demo-identity --judge demo-judge --perceptual demo-trunk",
    )),
    Part("identity", "identity encoder", "Where in the picture it is bright and dark", (f"{_RUN} --identity NAME",)),
    Part("perceptual", "perceptual distance", "Colour difference on a pyramid of pictures",
         (f"{_RUN} --perceptual NAME",)),
    Part("inverter", "inverter", "Gradient descent from the mean latent",
         ("unlearnkit invert face.png --generator stylegan2 --inverter NAME --out face.safetensors",)),
)
"""What can be made, in the order in which the README lists it."""


@click.command()
@click.argument("name")
@click.option("--kind", "kinds", type=click.Choice([part.kind for part in PARTS]), multiple=True, default=("loss",),
              show_default=True, help="What the plugin adds; repeatable, for a plugin of several components.")
@click.option("--out", type=click.Path(path_type=Path), metavar="FOLDER", help="New folder; by default ./NAME.")
def command(name: str, kinds: tuple[str, ...], out: Path | None) -> None:
    """Write a plugin package called NAME that works: one component, its tests, and the command that uses it.

    \b
    unlearnkit new left-ear --kind loss
    pip install -e 'left-ear[test]' && pytest left-ear
    """
    _check(name)
    folder = Path(name) if out is None else out
    parts = [_named(part, name) for part in PARTS if part.kind in kinds]
    write_folder(folder, package_files(name, parts))
    click.echo(f"wrote {folder}; next:")
    click.echo(f"  pip install -e {shlex.quote(f'{folder}[test]')} && pytest {shlex.quote(str(folder))}")
    for line in (line for part in parts for line in part.commands):
        click.echo(f"  {line}")


def package_files(name: str, parts: Iterable[Part]) -> dict[str, str]:
    """The text of each file of a new package, by its path inside.

    :raises ConfigError: if the name makes a class that a file of the package cannot define.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    parts = list(parts)
    package, cls = _package(name), "".join(word.capitalize() for word in name.split("-"))
    words = {"name": name, "package": package, "cls": cls, "snake": name.replace("-", "_"), "parts": parts,
             "kinds": [part.kind for part in parts]}
    places = {"pyproject.toml": "", "README.md": "", "__init__.py": package, "test_conformance.py": "tests"}
    for part in parts:
        places |= {f"{part.kind}.py": package, f"test_{part.kind}.py": "tests"}
        places |= {"example.py": package} if part.kind == "generator" else {}
    templates = Environment(
        loader=PackageLoader("unlearnkit.cli"), undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True,
        keep_trailing_newline=True, autoescape=False,
    )
    files = {str(Path(place, file)): templates.get_template(f"{file}.jinja").render(words)
             for file, place in places.items()}
    for text in (text for path, text in files.items() if path.startswith(package)):
        if keyword.iskeyword(cls) or (f"class {cls}(" in text and cls in _other_names(text)):
            raise ConfigError(f"NAME: {name!r} makes a class {cls}, a word that is taken; choose another name")
    return files


def write_folder(folder: Path, files: Mapping[str, str]) -> None:
    """Make ``folder`` with all ``files`` in it, or, on a full disk or an interruption, none of it.

    :raises ConfigError: if it is there already.
    :raises RunError: if it cannot be written.
    """
    if os.path.lexists(folder):
        raise ConfigError(f"{folder} is there already and is left as it is; choose another with --out")
    with plain_errors("write", folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{folder.name}-", dir=folder.parent) as beside:
            whole = Path(beside) / "whole"
            for path, text in files.items():
                (whole / path).parent.mkdir(parents=True, exist_ok=True)
                (whole / path).write_text(text, encoding="utf-8")
            os.rename(whole, folder)


def _check(name: str) -> None:
    """Refuse names that no plugin may have, or that one has already."""
    from unlearnkit.plugins import registry

    if not _NAME.fullmatch(name) or len(name) > _LONGEST_NAME:
        raise ConfigError(f"NAME: got {name!r}, expected at most {_LONGEST_NAME} small letters and digits, "
                          "words joined by '-': left-ear")
    taken = next((plugin for plugin in registry().plugins if plugin.name == name), None)
    if taken is not None:
        raise ConfigError(f"NAME: {taken.owner} is installed already; choose another name")


def _package(name: str) -> str:
    return f"unlearnkit_{name.replace('-', '_')}"


def _named(part: Part, name: str) -> Part:
    """The part with the plugin's name in its commands."""
    lines = (line.replace("NAME", name).replace("PACKAGE", _package(name)) for line in part.commands)
    return attrs.evolve(part, commands=tuple(lines))


def _other_names(text: str) -> set[str]:
    """What a module imports or defines besides its last class."""
    body = ast.parse(text).body
    imported = {alias.name for node in body if isinstance(node, ast.ImportFrom) for alias in node.names}
    return imported | {node.name for node in body[:-1] if isinstance(node, ast.ClassDef)}
