"""Options and checks that several commands share. Imports no torch."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from unlearnkit.errors import ConfigError, PluginError

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem
    from rich.console import Console
    from rich.table import Table

__all__ = [
    "FILE", "OUT", "SEED", "ComponentName", "absolute_path", "absolute_paths", "check_device", "check_new_file",
    "check_pictures", "complete_component", "complete_device", "console", "settings_options", "table", "user_settings",
]

FILE = click.Path(exists=True, dir_okay=False, readable=True, path_type=Path)
OUT = click.Path(path_type=Path)
SEED = click.IntRange(0, 2**63 - 1)
_DEVICE = re.compile(r"auto|cpu|mps|cuda(:\d+)?")
Command = TypeVar("Command", bound=Callable[..., Any])


class ComponentName(click.ParamType):
    """The name of a component of one kind, with shell completion; whether it exists is checked where it is used."""

    name = "name"

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Names of installed components that begin with ``incomplete``."""
        return complete_component(self.kind, incomplete)


def complete_component(kind: str, incomplete: str) -> list[CompletionItem]:
    """Names of installed components that begin with ``incomplete``, with descriptions; imports no torch."""
    from click.shell_completion import CompletionItem

    from unlearnkit.cli.output import stdout_reserved
    from unlearnkit.plugins import registry

    try:
        # The shell takes standard output for suggestions, so plugins must not print there.
        with stdout_reserved():
            entries = [entry for plugin in registry().plugins for entry in plugin.registrations]
    except PluginError:  # UNLEARNKIT_STRICT_PLUGINS is set: the command itself will say what is wrong
        return []
    found = {entry.name: entry.description for entry in entries if entry.kind == kind}
    return [CompletionItem(name, help=found[name]) for name in sorted(found) if name.startswith(incomplete)]


def complete_device(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Devices that ``--device`` takes, whether or not this computer has them: asking would import torch."""
    return [name for name in ("auto", "cpu", "mps", "cuda") if name.startswith(incomplete)]


def settings_options(command: Command) -> Command:
    """Add ``--config``, ``--set`` and ``--device``."""
    options = (
        click.option("--config", type=FILE, help="TOML file of settings, such as the config.toml of a run."),
        click.option(
            "--set", "sets", multiple=True, metavar="SECTION.FIELD=VALUE",
            help="Change one setting, e.g. --set target.distance=30; 'unlearnkit show KIND NAME' lists them.",
        ),
        click.option(
            "--device", metavar="DEVICE", callback=_device, shell_complete=complete_device,
            help="auto, cpu, mps, cuda or cuda:N.",
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


def user_settings(config: Path | None, sets: Iterable[str], options: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that the user gave: the configuration file's, overridden by ``--set`` and options.

    ``options`` have dotted names; None and an empty list mean that the option was not given.

    :raises ConfigError: if one setting is given both by an option and by ``--set``.
    """
    from unlearnkit.config import merge, nest, parse_set, read_toml

    assigned = nest(dict(parse_set(text) for text in sets))
    given = nest({key: value for key, value in options.items() if value is not None and value != []})
    clash = [key for key in options if options[key] not in (None, []) and _has(assigned, key)]
    if clash:
        raise ConfigError(f"{clash[0]} is given twice, by an option and by --set")
    return merge(read_toml(config) if config else {}, merge(assigned, given))


def check_device(device: str) -> None:
    """Refuse a device that this computer does not have, before any work is done."""
    if not _DEVICE.fullmatch(device):
        raise ConfigError(f"device: got {device!r}, expected auto, cpu, mps, cuda or cuda:N")
    if not device.startswith("cuda"):
        return
    import torch

    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if int(device.partition(":")[2] or 0) >= count:
        found = f"has {count} CUDA device(s), numbered from 0" if count else "has no CUDA device; use cpu"
        raise ConfigError(f"device: got {device!r}, but this computer {found}")


def check_pictures(paths: Iterable[Path], option: str) -> None:
    """Refuse a file that is not a picture, before any work is done."""
    from PIL import Image

    for path in paths:
        try:
            with Image.open(path) as picture:
                picture.verify()
        except Exception as error:
            raise ConfigError(f"{option}: {path} is not a readable picture (PNG, JPEG, …)") from error


def absolute_paths(paths: Iterable[Path]) -> list[str]:
    """Paths as settings hold them: absolute, so that they mean the same from any folder."""
    return [str(path.absolute()) for path in paths]


def absolute_path(path: Path | None) -> str | None:
    """An optional path as settings hold it."""
    return None if path is None else str(path.absolute())


def check_new_file(path: Path, option: str = "--out") -> None:
    """Refuse an output that is a folder, or whose folder is missing, before any work is done."""
    if path.is_dir():
        raise ConfigError(f"{option}: {path} is a folder, expected the name of a file")
    if not path.parent.is_dir():
        raise ConfigError(f"{option}: the folder {path.parent} does not exist; make it first")


def console(stderr: bool = False) -> Console:
    """A console that does not colour numbers in the middle of sentences."""
    from rich.console import Console

    return Console(stderr=stderr, highlight=False)


def table(*columns: str, title: str | None = None) -> Table:
    """A plain table; long words fold rather than vanish, but for those of the first column."""
    from rich import box
    from rich.table import Table

    made = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        made.add_column(column, overflow="fold", no_wrap=column == columns[0])
    return made


def _device(ctx: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    if value is not None and not _DEVICE.fullmatch(value):
        raise click.BadParameter(f"got '{value}', expected auto, cpu, mps, cuda or cuda:N", ctx, parameter)
    return value


def _has(tables: Mapping[str, Any], key: str) -> bool:
    node: Any = tables
    for part in key.split("."):
        if not isinstance(node, Mapping) or part not in node:
            return False
        node = node[part]
    return True
