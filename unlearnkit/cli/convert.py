"""``unlearnkit convert``: a generator's file as safetensors."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from unlearnkit.cli.common import FILE, OUT, ComponentName, check_new_file, say_next

if TYPE_CHECKING:
    from unlearnkit.interfaces import Generator


@click.command()
@click.argument("source", metavar="IN", type=FILE)
@click.argument("out", metavar="OUT", type=OUT)
@click.option("--float32", is_flag=True, help="Turn float16 and bfloat16 weights into float32 (.safetensors).")
@click.option("--generator", type=ComponentName("generator"), default="stylegan2", show_default=True,
              help="Which generator it is, for the names in a .pt or .pkl file.")
@click.option("--like", type=FILE, metavar="FILE.pkl", help="NVIDIA pickle of the same network, for a .pkl file.")
def command(source: Path, out: Path, float32: bool, generator: str, like: Path | None) -> None:
    """Write the generator in the checkpoint IN to OUT, a new .safetensors, .pt or .pkl file.

    IN is any file that 'run --checkpoint' reads; of a training snapshot the moving average of the generator is taken.
    Edits fit the file that their run started from, by its hash: convert before the run.

    \b
    unlearnkit convert ffhq.pkl ffhq.safetensors --float32
    unlearnkit convert ffhq.pkl ffhq.pt                     rosinality's layout
    unlearnkit convert mine.pt mine.pkl --like ffhq.pkl     NVIDIA's, whose program only --like has
    """
    check_new_file(out)
    from unlearnkit.checkpoints.converting import convert
    from unlearnkit.plugins import registry

    kind: type[Generator] = registry().component_class("generator", generator)
    found = convert(source, out, kind.state_for, float32, like)
    click.echo(f"wrote {out}: {len(found.state)} tensors of a file of the format {found.format}")
    say_next("unlearnkit", "sample", "--generator", generator, "--checkpoint", out, "--out", "faces.png",
             note="look at it")
