"""``unlearnkit measure``: measure a finished run, or an edited checkpoint, again."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from unlearnkit.cli.common import (
    FILE,
    OUT,
    SEED,
    ComponentName,
    check_new_file,
    console,
    picture_options,
    say_next,
    settings_options,
)
from unlearnkit.cli.output import json_option, print_json, stdout_reserved

if TYPE_CHECKING:
    from rich.console import Console

    from unlearnkit.workflows.measure import Measured

_WHAT = click.Path(exists=True, readable=True, path_type=Path)
_FOR_CHECKPOINTS = ("generator", "original", "latent", "latent_seed", "person", "identity", "config")


@click.command()
@click.argument("what", type=_WHAT, metavar="RUN|CHECKPOINT")
@click.option("--judge", type=ComponentName("identity"), help="Identity encoder that judges.")
@click.option("--perceptual", type=ComponentName("perceptual"), help="Perceptual distance.")
@click.option("--image", type=FILE, multiple=True,
              help="Picture of the person; repeatable. Of a run: further ones, which only judge.")
@click.option("--bystander", type=FILE, multiple=True, help="Picture of somebody who must have stayed; repeatable.")
@picture_options
@click.option("--inverter", type=ComponentName("inverter"), help="How to find the latent of a picture.")
@click.option("--original", type=FILE, help="Of a checkpoint: the file before the edit; else the bundled one.")
@click.option("--generator", type=ComponentName("generator"), help="Of a checkpoint: which generator it is.")
@click.option("--latent", type=FILE, help="Of a checkpoint: file that holds the person's latent.")
@click.option("--latent-seed", type=SEED, metavar="N", help="Of a checkpoint: the person whom this seed draws.")
@click.option("--person", multiple=True, metavar="NAME=PICTURE[,PICTURE…]",
              help="Of a checkpoint: one of several people; repeatable, as for 'run'.")
@click.option("--identity", type=ComponentName("identity"), help="Of a checkpoint: the encoder that losses used.")
@click.option("--seed", type=SEED, metavar="N", help="Start of the random numbers; default: the run's.")
@settings_options
@click.option("--out", type=OUT, metavar="FILE", help="New JSON file for the numbers; of a run: else in its folder.")
@json_option
def command(what: Path, out: Path | None, as_json: bool, **options: Any) -> None:
    """Measure again: a finished run with another judge or more pictures, or an edited checkpoint.

    \b
    unlearnkit measure runs/mine --judge facenet-vggface2
    unlearnkit measure runs/mine --image another.jpg --bystander friend.jpg
    unlearnkit measure edited.pkl --original ffhq.pkl --generator stylegan2 --image me.jpg \\
      --inverter optimise --identity arcface-ir-se50 --judge facenet-vggface2 --perceptual lpips-vgg

    Nothing is unlearned, and nothing of the run changes: the numbers are a new file in its folder, measured.json, then
    measured-2.json.
    """
    if out is not None:
        check_new_file(out)
    with stdout_reserved(as_json):
        found = _measure(what, out, options, console(stderr=as_json))
    if as_json:
        print_json("measure", found.document)
    else:
        _show(found)


def _measure(what: Path, out: Path | None, options: dict[str, Any], progress: Console) -> Measured:
    if what.is_dir():
        for name in _FOR_CHECKPOINTS:
            if options.pop(name) not in (None, ()):
                raise click.UsageError(f"--{name.replace('_', '-')} is for a checkpoint; a run says itself what it is")
        from unlearnkit.workflows.measure import MeasureOptions, measure_run

        return measure_run(what, MeasureOptions(**options), out, progress)
    from unlearnkit.workflows.measure import measure_checkpoint
    from unlearnkit.workflows.options import RunOptions

    original = options.pop("original")
    return measure_checkpoint(what, RunOptions(checkpoint=original, **options), out, progress)


def _show(found: Measured) -> None:
    from unlearnkit.report import summary_table

    screen = console()
    screen.print(summary_table(found.numbers, found.manifest, found.people, found.declared, found.verdict))
    where = "nowhere; --out FILE keeps them" if found.file is None else str(found.file)
    screen.print(f"numbers: {where}", soft_wrap=True, markup=False)
    if found.run is not None:
        say_next("unlearnkit", "audit", found.run, note="can attacks bring the person back?")
