"""``python -m benchmarks.speed renderer --repeats 5``: measure one thing, or several, and print the table."""

from __future__ import annotations

from pathlib import Path

import click
import torch

from speed.table import check_kernels, kernels_sentence, machine, table, write_json
from speed.works import WORKS, Row, measure
from unlearnkit.errors import BuildError


@click.command()
@click.argument("names", nargs=-1, type=click.Choice([*WORKS]))
@click.option("--size", type=click.Choice(["full", "small"]), default="full", show_default=True)
@click.option("--repeats", type=click.IntRange(1), default=5, show_default=True, help="turns of each side")
@click.option("--threads", type=click.IntRange(1), help="torch's own number without it")
@click.option("--without-kernels", is_flag=True, help="time pure PyTorch, where there are no native kernels")
@click.option("--json", "file", type=click.Path(dir_okay=False, path_type=Path), help="write what was measured there")
def main(names: tuple[str, ...], size: str, repeats: int, threads: int | None, without_kernels: bool,
         file: Path | None) -> None:
    """Time NAMES (all of them without any): ours and the authors' way, turn by turn."""
    if threads is not None:
        torch.set_num_threads(threads)
    try:
        check_kernels(without_kernels)
    except BuildError as error:
        raise click.ClickException(str(error)) from error
    for name, value in machine().items():
        click.echo(f"{name}: {value}")
    rows: list[Row] = []
    for name in names or WORKS:
        rows += measure(WORKS[name], size, repeats)
        if file is not None:
            write_json(file, rows)  # after each, for the largest take an hour
    click.echo(f"\n{table(rows)}\n\n{kernels_sentence()}")


if __name__ == "__main__":
    main(prog_name="python -m benchmarks.speed")
