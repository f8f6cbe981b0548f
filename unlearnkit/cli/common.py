"""Options and checks that several commands share. Imports no torch."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from unlearnkit.errors import ConfigError, PluginError

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem
    from rich.console import Console
    from rich.table import Table

    from unlearnkit.config import Settings, Uses

__all__ = [
    "FILE", "OUT", "SEED", "ComponentName", "check_new_file", "complete_component", "complete_device",
    "complete_weights", "console", "device_option", "picture_options", "resolve_for", "say_next", "settings_options",
    "table",
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


def complete_weights(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Names of registered weight files, and of their groups, that begin with ``incomplete``; imports no torch."""
    from click.shell_completion import CompletionItem

    from unlearnkit.cli.output import stdout_reserved
    from unlearnkit.plugins import registry

    try:
        with stdout_reserved():
            files = registry().weights()
    except PluginError:
        return []
    offered = {group: "a group of files" for file in files.values() for group in file.groups}
    offered |= {name: file.purpose for name, file in files.items()}
    return [CompletionItem(name, help=purpose) for name, purpose in offered.items() if name.startswith(incomplete)]


def complete_device(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Devices that ``--device`` takes, whether or not this computer has them: asking would import torch."""
    return [name for name in ("auto", "cpu", "mps", "cuda") if name.startswith(incomplete)]


def device_option(help: str = "auto, cpu, mps, cuda or cuda:N.") -> Callable[[Command], Command]:
    """Add ``--device``, whose form is checked; whether this computer has the device is checked where it is used."""
    return click.option("--device", metavar="DEVICE", callback=_device, shell_complete=complete_device, help=help)


def settings_options(command: Command) -> Command:
    """Add ``--config``, ``--set`` and ``--device``."""
    options = (
        click.option("--config", type=FILE, help="TOML file of settings, such as the config.toml of a run."),
        click.option(
            "--set", "set", multiple=True, metavar="SECTION.FIELD=VALUE",
            help="Change one setting, e.g. --set target.distance=30; 'unlearnkit show KIND NAME' lists them.",
        ),
        device_option(),
    )
    for option in reversed(options):
        command = option(command)
    return command


class _Face(click.ParamType):
    """``largest``, or a number from 1."""

    name = "largest|N"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | str:
        if value == "largest" or isinstance(value, int):
            return value
        if not (value.isascii() and value.isdigit() and int(value) > 0):
            self.fail(f"got '{value}', expected largest or a number from 1", param, ctx)
        return int(value)


def picture_options(command: Command) -> Command:
    """Add ``--align`` and ``--face``."""
    options = (
        click.option("--align", type=click.Choice(["auto", "yes", "no"]),
                     help="Find the face in each picture and crop it as FFHQ does; auto: unless that is done already."),
        click.option("--face", type=_Face(), metavar="largest|N",
                     help="Which face of a picture that shows several; the error for such a picture numbers them."),
    )
    for option in reversed(options):
        command = option(command)
    return command


def resolve_for(
    uses: Uses, config: Path | None, sets: Iterable[str], options: Mapping[str, Any], edit: Path | None = None,
) -> Settings:
    """Complete settings of a command other than ``run``, from what the user says.

    Of a configuration file, which may be that of a whole run, the command takes what it uses and names what it leaves
    out; what ``--set`` names must be used. An ``edit`` offers its generator and the options that belong to its base.

    :raises ConfigError: for a setting that does not exist, is wrong, or is not used.
    """
    from unlearnkit.config import read_toml, resolve
    from unlearnkit.config.tables import merge, user_tables
    from unlearnkit.plugins import registry

    file = {} if config is None else read_toml(config)
    used = uses.only(file)
    left_out = [key for key in file if key not in used]
    if left_out:
        click.echo(f"note: '{uses.command}' does not use these settings of {config}: {', '.join(left_out)}", err=True)
    tables = merge(used, user_tables(None, sets, options))
    if edit is not None:
        from unlearnkit.edits.file import with_base_options

        tables = with_base_options(tables, edit)
    return resolve(tables, registry(), uses)


def check_new_file(path: Path, option: str = "--out") -> None:
    """Refuse an output whose name is taken or whose folder is missing, before any work is done.

    :raises ConfigError: if so; nothing that a user names is ever overwritten.
    """
    if path.is_dir():
        raise ConfigError(f"{option}: {path} is a folder, expected the name of a file")
    if os.path.lexists(path):
        raise ConfigError(f"{option}: {path} already exists and is never overwritten; choose another name")
    if not path.parent.is_dir():
        raise ConfigError(f"{option}: the folder {path.parent} does not exist; make it first")


def say_next(*words: str | Path, note: str = "", err: bool = False) -> None:
    """The last line of a command: the one that comes next, ready to be pasted; ``note`` says what it does."""
    click.echo(f"next: {shlex.join(map(str, words))}" + (f"   # {note}" if note else ""), err=err)


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
