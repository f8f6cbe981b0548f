"""``unlearnkit apply``: apply an edit to the checkpoint it was made for."""

from __future__ import annotations

from pathlib import Path

import click

from unlearnkit.cli.common import FILE, OUT, check_new_file, say_next
from unlearnkit.cli.output import json_option, print_json, stdout_reserved


@click.command()
@click.argument("edit", type=FILE)
@click.option("--base", type=FILE, help="Checkpoint of the generator that the edit was made for.")
@click.option("--out", type=OUT, required=True, metavar="FILE", help="Where to write the edited generator.")
@json_option
def command(edit: Path, base: Path | None, out: Path, as_json: bool) -> None:
    """Apply EDIT (a run's edit.safetensors) to its base.

    The result has the format of the base: an NVIDIA pickle stays one. Any other base is refused.
    """
    check_new_file(out)
    from unlearnkit.edits.file import apply_edit

    with stdout_reserved(as_json):
        applied = apply_edit(edit, base, out)
    if as_json:
        print_json("apply", {"edit": str(edit), "base": str(base), "out": str(out),
                             "tensors_changed": applied.tensors_changed, "rounded_back": applied.rounded_back})
    else:
        click.echo(f"wrote {out}")
        say_next("unlearnkit", "sample", "--generator", applied.generator, "--checkpoint", out, "--out", "faces.png",
                 note="look at the edited generator")
    if applied.rounded_back:
        click.echo(
            f"warning: {applied.rounded_back:.1%} of the changed numbers were rounded back by the base's precision; "
            f"look at the result before you rely on it: unlearnkit sample --checkpoint {out}", err=True)
