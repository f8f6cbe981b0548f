"""``unlearnkit show``: the components of a kind, the options of one, or the results of a run."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import click

from unlearnkit.cli.common import complete_component, complete_weights
from unlearnkit.cli.output import json_option, print_json, stdout_reserved
from unlearnkit.errors import ConfigError, RunError, nearest
from unlearnkit.files.plain import parse_json
from unlearnkit.files.reading import read_file
from unlearnkit.plugins.registration import KINDS, Registration

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

_SUBJECTS = (*KINDS, "weights", "run")


def _complete_kind(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    return [kind for kind in _SUBJECTS if kind.startswith(incomplete)]


def _complete_name(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    from click.shell_completion import CompletionItem

    kind = ctx.params.get("kind", "")
    if kind == "run":
        return [CompletionItem(incomplete, type="dir")]
    return complete_weights(ctx, param, incomplete) if kind == "weights" else complete_component(kind, incomplete)


@click.command()
@click.argument("kind", shell_complete=_complete_kind)
@click.argument("name", required=False, shell_complete=_complete_name)
@json_option
def command(kind: str, name: str | None, as_json: bool) -> None:
    """Show the options of a component, a weight file, or the results of a run.

    \b
    unlearnkit show method            names of all methods
    unlearnkit show method guide      its options
    unlearnkit show weights           weight files that others publish
    unlearnkit show run runs/guide-1  the results of a run

    KIND: generator, inverter, target, loss, method, identity, perceptual, metric, attack,
    launcher, weights, or run.
    """
    if kind not in _SUBJECTS:
        raise ConfigError(f"there is no kind '{kind}'.{nearest(kind, _SUBJECTS)} Kinds: {', '.join(_SUBJECTS)}.")
    if kind == "run" and name is None:
        raise click.UsageError("show run needs the folder of a run", click.get_current_context())
    with stdout_reserved(as_json):
        if kind == "weights":
            what, document = "weights", _weights(name)
        elif name is None:
            what, document = "components", _components(kind)
        elif kind == "run":
            what, document = "run", _run(Path(name))
        else:
            what, document = "component", _component(kind, name)
    if as_json:
        print_json(what, document)
    else:
        show = {"components": _show_components, "component": _show_component, "weights": _show_weights,
                "run": _show_run}
        show[what](document)


# ---------------------------------------------------------------- documents, as --json prints them

def _components(kind: str) -> dict[str, Any]:
    from unlearnkit.plugins import registry

    found = registry()
    return {"kind": kind, "components": [_registration(found.get(kind, name)) for name in found.names(kind)]}


def _component(kind: str, name: str) -> dict[str, Any]:
    from unlearnkit.config import describe
    from unlearnkit.plugins import registry

    found = registry()
    entry = found.get(kind, name)
    cls: Any = found.component_class(kind, name)
    holds = {"holds": attrs.asdict(cls.holds), "attacker_has": cls.holds.words} if kind == "attack" else {}
    levels = {"levels_source": cls.levels_source} if kind == "identity" else {}
    options = [attrs.asdict(option) for option in describe(cls)]
    return {"kind": kind, **_registration(entry), **holds, **levels, "options": options,
            "preset": dict(sorted(entry.preset.items()))}


def _registration(entry: Registration) -> dict[str, Any]:
    return {"name": entry.name, "description": entry.description, "path": entry.path, "plugin": entry.plugin,
            "distribution": entry.distribution, "version": entry.version}


def _weights(name: str | None) -> dict[str, Any]:
    from unlearnkit.plugins import registry
    from unlearnkit.weights import place, present

    files = list(registry().weights().values()) if name is None else [registry().weight_file(name)]
    paths = [present(file) for file in files]
    return {"weights": [
        {**attrs.asdict(file), "place": str(place(file)), "path": None if path is None else str(path)}
        for file, path in zip(files, paths, strict=True)
    ]}


def _run(folder: Path) -> dict[str, Any]:
    from unlearnkit.config import read_toml
    from unlearnkit.numbers import to_plain
    from unlearnkit.report.numbers import NUMBERS_FILE, read_declared

    if not (folder / "config.toml").is_file():
        raise RunError(f"{folder} is not a run folder: it holds no config.toml")
    settings = read_toml(folder / "config.toml")
    for section in ("method", "generator", "target"):
        if not isinstance(settings.get(section, {}), dict):
            raise RunError(f"{folder / 'config.toml'} is damaged: '{section}' is no table; restore it")
    declared = read_declared(_json(folder / NUMBERS_FILE), str(folder / NUMBERS_FILE))
    files = {"edit": folder / "edit.safetensors", "report": folder / "report.html"}
    return {
        "folder": str(folder), "settings": settings,
        "manifest": _json(folder / "manifest.json"), "metrics": _json(folder / "metrics.json"),
        "numbers": to_plain(declared), "verdict": _verdict(folder),
        "files": {name: str(file) if file.is_file() else None for name, file in files.items()},
    }


def _verdict(folder: Path) -> dict[str, Any] | None:
    """Tone, answer and sentences of a finished run, its audits included; None before it is finished."""
    from unlearnkit.report import run_verdict, sentences
    from unlearnkit.runs import Run

    if _json(folder / "manifest.json").get("status") != "finished":
        return None
    found = run_verdict(Run.open(folder))
    return {"tone": found.tone, "answer": found.answer, "sentences": sentences(found)}


def _json(path: Path) -> dict[str, Any]:
    if not os.path.lexists(path):
        return {}
    try:
        value = parse_json(read_file(path))
    except (ValueError, OSError) as error:
        raise RunError(f"{path} cannot be read: {error}; restore it, or start a new run") from error
    if not isinstance(value, dict):
        raise RunError(f"{path} is damaged: it holds no table; restore it, or start a new run")
    return value


# ---------------------------------------------------------------- the same, for people

def _show_components(document: dict[str, Any]) -> None:
    from rich.markup import escape

    from unlearnkit.cli.common import console, table

    rows = table("name", "description", "from")
    for entry in document["components"]:
        rows.add_row(escape(entry["name"]), escape(entry["description"]), escape(_owner(entry)))
    console().print(rows if rows.rows else f"no plugin offers a {document['kind']}")


def show_weights() -> None:
    """Print the table of all weight files."""
    _show_weights(_weights(None))


def _show_weights(document: dict[str, Any]) -> None:
    from rich.markup import escape

    from unlearnkit.cli.common import console, table
    from unlearnkit.plugins import registry

    rows = table("name", "needed by", "size", "licence", "there", "how to get it")
    for entry in document["weights"]:
        file = registry().weight_file(entry["name"])
        by_hand = f"by hand, from {file.page}; save as {entry['place']}"
        way = f"unlearnkit fetch {file.name}" if file.fetchable else by_hand
        rows.add_row(*(escape(cell) for cell in (
            file.name, file.purpose, file.size_text, file.licence, entry["path"] or "no", way)))
    console().print(rows)


def _show_component(document: dict[str, Any]) -> None:
    from rich.markup import escape

    from unlearnkit.cli.common import console, table

    out, options = console(), document["options"]
    title = f"{document['kind']} {document['name']}: {document['description']}"
    out.print(escape(f"{title}\nfrom {_owner(document)}, {document['path']}"), soft_wrap=True)
    if "holds" in document:
        out.print(f"the attacker has {document['attacker_has']}; computes: {document['holds']['compute']}",
                  soft_wrap=True)
    if "levels_source" in document:
        out.print(escape(f"levels as a judge: {document['levels_source'] or 'unknown'}"), soft_wrap=True)
    columns: dict[str, list[str]] = {
        "option": [option["name"] for option in options],
        "type": [option["type"] for option in options],
        "default": ["(must be given)" if option["required"] else _text(option["default"]) for option in options],
        "unit": [option["unit"] for option in options],
        "allowed": [option["allowed"] for option in options],
        "what it does": [option["help"] for option in options],
    }
    # A narrow window has no room for columns that say nothing.
    columns = {title: cells for title, cells in columns.items() if any(cells)}
    rows = table(*columns)
    for cells in zip(*columns.values(), strict=True):
        rows.add_row(*(escape(cell) for cell in cells))
    out.print(rows if options else "It has no options.")
    if document["preset"]:
        out.print("It sets, unless you say otherwise:")
        for key, value in document["preset"].items():
            out.print(escape(f"  {key} = {_text(value)}"), soft_wrap=True)


def _show_run(document: dict[str, Any]) -> None:
    from rich.markup import escape

    from unlearnkit.cli.common import console, table
    from unlearnkit.numbers import from_plain
    from unlearnkit.report.numbers import flat, lines

    settings, manifest, out = document["settings"], document["manifest"], console()
    for section in ("method", "generator", "target"):
        out.print(escape(f"{section}: {settings.get(section, {}).get('name', '-')}"), soft_wrap=True)
    for key in ("status", "seconds", "seed", "device"):
        if key in manifest:
            out.print(escape(f"{key}: {manifest[key]}"), soft_wrap=True)
    if verdict := document["verdict"]:
        out.print(escape(f"verdict: {verdict['answer']}. {' '.join(verdict['sentences'])}"), soft_wrap=True)
    rows = table("number", "value", "better", "samples", "what it is")
    for line in lines(flat(document["metrics"]), from_plain(document["numbers"])):
        title = "" if line.title == line.name else escape(line.title)
        rows.add_row(escape(line.name), line.value, line.better, line.count, title)
    out.print(rows if rows.rows else "no metrics yet")
    for file in document["files"].values():
        if file is not None:
            out.print(escape(file), soft_wrap=True)


def _owner(entry: dict[str, Any]) -> str:
    return f"plugin '{entry['plugin']}' ({entry['distribution']} {entry['version']})"


def _text(value: Any) -> str:
    return "none" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
