"""``unlearnkit sample``: draw pictures from a generator, edited or not."""

from __future__ import annotations

from pathlib import Path

import click

from unlearnkit.cli.common import (
    FILE,
    OUT,
    SEED,
    ComponentName,
    check_new_file,
    console,
    resolve_for,
    say_next,
    settings_options,
)
from unlearnkit.errors import ConfigError


@click.command()
@click.option("--generator", type=ComponentName("generator"),
              help="Which generator; without --checkpoint, the bundled one.")
@click.option("--checkpoint", type=FILE, help="The generator's file of weights.")
@click.option("--edit", type=FILE, help="A run's edit.safetensors, to draw from the edited generator.")
@click.option("--count", type=click.IntRange(1, 10_000), default=16, show_default=True, help="How many pictures.")
@click.option("--seed", type=SEED, metavar="N",
              help="Number of the first person, 0 by default; 'run --latent-seed' takes the same numbers.")
@click.option("--truncation", type=float, default=1.0, show_default=True, metavar="PSI",
              help="0 draws the mean face, 1 the full variety.")
@click.option("--out", type=OUT, required=True, metavar="FILE",
              help="Grid of pictures (.png); a generator with views also turns heads (.gif).")
@settings_options
def command(
    generator: str | None, checkpoint: Path | None, edit: Path | None, count: int, seed: int | None,
    truncation: float, out: Path, config: Path | None, set: tuple[str, ...], device: str | None,
) -> None:
    """Draw pictures of random people, each by a number: N, N + 1, and so on."""
    check_new_file(out)
    if out.suffix.lower() not in (".png", ".gif"):
        raise ConfigError(f"--out: got {out.name!r}, expected a name that ends in .png, or in .gif for heads that turn")
    if not -2 <= truncation <= 2:  # also refuses nan
        raise ConfigError(f"--truncation: got {truncation}, expected a number from -2 to 2, mostly 0.5 to 1")
    from unlearnkit.config import SAMPLE
    from unlearnkit.workflows.options import absolute
    from unlearnkit.workflows.preflight import check_device
    from unlearnkit.workflows.progress import ProgressLine
    from unlearnkit.workflows.sample import sample

    settings = resolve_for(SAMPLE, config, set, {
        "generator.name": generator, "generator.checkpoint": absolute(checkpoint), "device": device, "seed": seed,
    }, edit)
    check_device(settings.device)
    with ProgressLine(console(stderr=True)) as line:
        sample(settings, edit, out, count, truncation, lambda: line.task("drawing"))
    if edit is None:
        say_next("unlearnkit", "run", "--method", "guide", "--generator", settings.generator.name,
                 *(() if checkpoint is None else ("--checkpoint", checkpoint)), "--latent-seed",
                 str(settings.seed), note="erase the first of them")
