"""``python -m benchmarks.speed renderer --repeats 5``: measure one thing, or several, and print the table."""

from __future__ import annotations

from pathlib import Path

import click
import torch

from benchmarks.speed.table import machine, table, write_json
from benchmarks.speed.works import WORKS, Row, measure


@click.command()
@click.argument("names", nargs=-1, type=click.Choice([*WORKS]))
@click.option("--size", type=click.Choice(["full", "small"]), default="full", show_default=True)
@click.option("--repeats", type=click.IntRange(1), default=5, show_default=True, help="turns of each side")
@click.option("--threads", type=click.IntRange(1), help="torch's own number without it")
@click.option("--json", "file", type=click.Path(dir_okay=False, path_type=Path), help="write what was measured there")
def main(names: tuple[str, ...], size: str, repeats: int, threads: int | None, file: Path | None) -> None:
    """Time NAMES (all of them without any): ours and the authors' way, turn by turn."""
    if threads is not None:
        torch.set_num_threads(threads)
    for name, value in machine().items():
        click.echo(f"{name}: {value}")
    rows: list[Row] = []
    for name in names or WORKS:
        rows += measure(WORKS[name], size, repeats)
        if file is not None:
            write_json(file, rows)  # after each, for the largest take an hour
    click.echo("\n" + table(rows))


if __name__ == "__main__":
    main(prog_name="python -m benchmarks.speed")
