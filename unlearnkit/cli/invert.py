"""``unlearnkit invert``: find the latent of a picture."""

from __future__ import annotations

from pathlib import Path

import click

from unlearnkit.cli.common import (
    FILE,
    OUT,
    ComponentName,
    check_new_file,
    console,
    picture_options,
    resolve_for,
    say_next,
    settings_options,
)


@click.command()
@click.argument("image", type=FILE)
@click.option("--generator", type=ComponentName("generator"),
              help="Which generator; without --checkpoint, the bundled one.")
@click.option("--checkpoint", type=FILE, help="The generator's file of weights.")
@click.option("--inverter", type=ComponentName("inverter"), help="How to find the latent.")
@click.option("--out", type=OUT, required=True, metavar="FILE", help="Where to write the latent.")
@picture_options
@settings_options
def command(
    image: Path, generator: str | None, checkpoint: Path | None, inverter: str | None, out: Path,
    align: str | None, face: int | str | None, config: Path | None, set: tuple[str, ...], device: str | None,
) -> None:
    """Find the latent of IMAGE.

    The file that it writes is what 'unlearnkit run --latent' takes. Beside it, FILE-inverted.png shows IMAGE
    and what the latent looks like.
    """
    check_new_file(out)
    check_new_file(out.with_name(f"{out.stem}-inverted.png"))
    from unlearnkit.config import INVERT
    from unlearnkit.people.pictures import check_picture
    from unlearnkit.workflows.invert import invert
    from unlearnkit.workflows.options import absolute, align_setting
    from unlearnkit.workflows.preflight import check_device
    from unlearnkit.workflows.progress import ProgressLine

    settings = resolve_for(INVERT, config, set, {
        "generator.name": generator, "generator.checkpoint": absolute(checkpoint), "inverter.name": inverter,
        "device": device, "request.align": align_setting(align), "request.face": face,
    })
    check_device(settings.device)
    check_picture(image, settings.request.align)
    with ProgressLine(console(stderr=True)) as line, line.task("finding the latent"):
        invert(settings, image, out)
    file = settings.generator.options().get("checkpoint") if checkpoint is not None else None
    say_next("unlearnkit", "run", "--method", "guide", "--generator", settings.generator.name,
             *(() if file is None else ("--checkpoint", str(file))), "--latent", out, note="erase whom it shows")
