"""``unlearnkit invert``: find the latent of a picture."""

from __future__ import annotations

from pathlib import Path

import click

from unlearnkit.cli.common import (
    FILE,
    OUT,
    ComponentName,
    absolute_path,
    check_device,
    check_new_file,
    check_pictures,
    settings_options,
    user_settings,
)
from unlearnkit.errors import ConfigError


@click.command()
@click.argument("image", type=FILE)
@click.option("--generator", type=ComponentName("generator"),
              help="Which generator; without --checkpoint, the bundled one.")
@click.option("--checkpoint", type=FILE, help="The generator's file of weights.")
@click.option("--inverter", type=ComponentName("inverter"), help="How to find the latent.")
@click.option("--out", type=OUT, required=True, metavar="FILE", help="Where to write the latent.")
@settings_options
def command(
    image: Path, generator: str | None, checkpoint: Path | None, inverter: str | None, out: Path,
    config: Path | None, sets: tuple[str, ...], device: str | None,
) -> None:
    """Find the latent of IMAGE.

    The file that it writes is what 'unlearnkit run --latent' takes. Beside it, FILE-inverted.png shows IMAGE
    and what the latent looks like.
    """
    check_new_file(out)
    if out.exists() and out.samefile(image):
        raise ConfigError(f"--out: {out} is the picture itself; choose another name")
    check_pictures([image], "IMAGE")
    from unlearnkit.config import resolve
    from unlearnkit.plugins import registry

    options = {
        "generator.name": generator, "generator.checkpoint": absolute_path(checkpoint), "inverter.name": inverter,
        "device": device,
    }
    sections = ("generator", "inverter", "identity", "perceptual")
    settings = resolve(user_settings(config, sets, options), registry(), sections)
    check_device(settings["device"])
    chosen = settings["generator"]
    from unlearnkit.workflows import oneshot

    file = Path(chosen["checkpoint"]) if "checkpoint" in chosen else None
    oneshot.invert(image, chosen["name"], settings.get("inverter", {}).get("name"), file, out, settings)
