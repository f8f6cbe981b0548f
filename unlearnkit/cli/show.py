"""``unlearnkit show``: the options of a component, or what came out of a run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from unlearnkit.errors import ConfigError, RunError, nearest
from unlearnkit.plugins.registration import KINDS


@click.command()
@click.argument("kind")
@click.argument("name", required=False)
def command(kind: str, name: str | None) -> None:
    """Show the options of a component, or a run's summary.

    \b
    unlearnkit show method            names of all methods
    unlearnkit show method guide      its options
    unlearnkit show run runs/guide-1  what came out of a run

    KIND: generator, inverter, target, loss, method, identity, perceptual, metric, attack, or run.
    """
    if kind == "run":
        if name is None:
            raise click.UsageError("show run needs the folder of a run", click.get_current_context())
        _show_run(Path(name))
    elif kind not in KINDS:
        kinds = [*KINDS, "run"]
        raise ConfigError(f"there is no kind '{kind}'.{nearest(kind, kinds)} Kinds: {', '.join(kinds)}.")
    elif name is None:
        _show_names(kind)
    else:
        _show_component(kind, name)


def _show_names(kind: str) -> None:
    from rich.markup import escape

    from unlearnkit.cli.common import console, table
    from unlearnkit.plugins import registry

    found = registry()
    rows = table("name", "description", "from")
    for name in found.names(kind):
        entry = found.get(kind, name)
        rows.add_row(escape(name), escape(entry.description), escape(entry.owner))
    console().print(rows if rows.rows else f"no plugin offers a {kind}")


def _show_component(kind: str, name: str) -> None:
    from rich.markup import escape

    from unlearnkit.cli.common import console, table
    from unlearnkit.config import describe
    from unlearnkit.plugins import registry

    found, out = registry(), console()
    entry, options = found.get(kind, name), describe(found.component_class(kind, name))
    out.print(escape(f"{kind} {name}: {entry.description}\nfrom {entry.owner}, {entry.path}"), soft_wrap=True)
    columns: dict[str, list[str]] = {
        "option": [option.name for option in options],
        "type": [option.type for option in options],
        "default": ["(must be given)" if option.required else _text(option.default) for option in options],
        "unit": [option.unit for option in options],
        "allowed": [option.allowed for option in options],
        "what it does": [option.help for option in options],
    }
    # A narrow window has no room for columns that say nothing.
    columns = {title: cells for title, cells in columns.items() if any(cells)}
    rows = table(*columns)
    for cells in zip(*columns.values(), strict=True):
        rows.add_row(*(escape(cell) for cell in cells))
    out.print(rows if options else "It has no options.")
    if entry.preset:
        out.print("It sets, unless you say otherwise:")
        for key, value in sorted(entry.preset.items()):
            out.print(escape(f"  {key} = {_text(value)}"), soft_wrap=True)


def _show_run(folder: Path) -> None:
    from rich.markup import escape

    from unlearnkit.cli.common import console, table
    from unlearnkit.config import read_toml
    from unlearnkit.report.numbers import NUMBERS_FILE, flat, lines, read_declared

    if not (folder / "config.toml").is_file():
        raise RunError(f"{folder} is no run folder: it holds no config.toml")
    settings, manifest = read_toml(folder / "config.toml"), _json(folder / "manifest.json")
    out = console()
    for section in ("method", "generator", "target"):
        out.print(escape(f"{section}: {settings.get(section, {}).get('name', '-')}"), soft_wrap=True)
    for key in ("status", "seconds", "seed", "device"):
        if key in manifest:
            out.print(escape(f"{key}: {manifest[key]}"), soft_wrap=True)
    declared = read_declared(_json(folder / NUMBERS_FILE), str(folder / NUMBERS_FILE))
    rows = table("number", "value", "better", "samples", "what it is")
    for line in lines(flat(_json(folder / "metrics.json")), declared):
        title = "" if line.title == line.name else escape(line.title)
        rows.add_row(escape(line.name), line.value, line.better, line.count, title)
    out.print(rows if rows.rows else "no metrics yet")
    for file in ("edit.safetensors", "report.html"):
        if (folder / file).is_file():
            out.print(escape(f"{folder / file}"), soft_wrap=True)


def _json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        value = json.loads(path.read_bytes())
    except (ValueError, OSError) as error:
        raise RunError(f"{path} cannot be read: {error}") from error
    return value if isinstance(value, dict) else {}


def _text(value: Any) -> str:
    return "none" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
