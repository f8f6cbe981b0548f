"""``unlearnkit sample``: draw pictures from a generator, edited or not."""

from __future__ import annotations

from pathlib import Path

import click

from unlearnkit.cli.common import (
    FILE,
    OUT,
    SEED,
    check_device,
    check_new_file,
    one,
    settings_options,
    told,
)
from unlearnkit.errors import ConfigError


@click.command()
@click.option("--generator", metavar="NAME", help="Which generator; without --checkpoint, the bundled one.")
@click.option("--checkpoint", type=FILE, help="The generator's file of weights.")
@click.option("--edit", type=FILE, help="A run's edit.safetensors, to draw from the edited generator.")
@click.option("--count", type=click.IntRange(min=1), default=16, show_default=True, help="How many pictures.")
@click.option("--seed", type=SEED, default=0, show_default=True, metavar="N", help="Draws the people.")
@click.option("--truncation", type=float, default=1.0, show_default=True, metavar="PSI",
              help="0 draws the mean face, 1 the full variety.")
@click.option("--out", type=OUT, required=True, metavar="FILE",
              help="Grid of pictures (.png); a generator with views also turns heads (.gif).")
@settings_options
def command(
    generator: str | None, checkpoint: Path | None, edit: Path | None, count: int, seed: int,
    truncation: float, out: Path, config: Path | None, sets: tuple[str, ...], device: str | None,
) -> None:
    """Draw pictures of random people."""
    check_new_file(out)
    if out.suffix.lower() not in (".png", ".gif"):
        raise ConfigError(f"--out: got {out.name!r}, expected a name that ends in .png, or in .gif for heads that turn")
    if not -2 <= truncation <= 2:  # also refuses nan
        raise ConfigError(f"--truncation: got {truncation}, expected a number from -2 to 2, mostly 0.5 to 1")
    from unlearnkit.config import merge, resolve
    from unlearnkit.plugins import registry

    options = {
        "generator.name": generator, "generator.checkpoint": one(checkpoint), "device": device, "seed": seed,
    }
    user = told(config, sets, options)
    if edit is not None:  # the generator and what belongs to its base, such as a class label, need not be given again
        from unlearnkit.edits.file import base_options, load_edit

        metadata = load_edit(edit)[1]
        user = merge({"generator": {"name": metadata["generator"], **base_options(metadata)}}, user)
    settings = resolve(user, registry(), sections=("generator",))
    check_device(settings["device"])
    chosen = settings["generator"]
    from unlearnkit.workflows import oneshot

    file = Path(chosen["checkpoint"]) if "checkpoint" in chosen else None
    oneshot.sample(chosen["name"], file, edit, out, count, seed, truncation, settings)
