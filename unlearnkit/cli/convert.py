"""``unlearnkit convert``: a generator's file as safetensors."""

from __future__ import annotations

from pathlib import Path

import click

from unlearnkit.cli.common import FILE, OUT, check_new_file


@click.command()
@click.argument("source", metavar="IN", type=FILE)
@click.argument("out", metavar="OUT", type=OUT)
@click.option("--float32", is_flag=True, help="Turn float16 and bfloat16 weights into float32.")
def command(source: Path, out: Path, float32: bool) -> None:
    """Write the generator in the checkpoint IN to OUT, a new .safetensors file.

    IN is any file that 'run --checkpoint' reads; of a training snapshot the moving average of the generator is taken.
    Edits fit the file that their run started from, by its hash: convert before the run.
    """
    check_new_file(out)
    from unlearnkit.checkpoints.converting import to_safetensors

    found = to_safetensors(source, out, float32)
    click.echo(f"wrote {out}: {len(found.state)} tensors of a file of the format {found.format}")
