"""``unlearnkit apply``: apply an edit to the checkpoint it was made for."""

from __future__ import annotations

from pathlib import Path

import click

from unlearnkit.cli.common import FILE, OUT, check_new_file
from unlearnkit.cli.output import json_option, print_json, stdout_reserved
from unlearnkit.errors import ConfigError


@click.command()
@click.argument("edit", type=FILE)
@click.option("--base", type=FILE, required=True, help="Checkpoint of the generator that the edit was made for.")
@click.option("--out", type=OUT, required=True, metavar="FILE", help="Where to write the edited generator.")
@json_option
def command(edit: Path, base: Path, out: Path, as_json: bool) -> None:
    """Apply EDIT (a run's edit.safetensors) to its base.

    The result has the format of the base: an NVIDIA pickle stays one. Any other base is refused.
    """
    check_new_file(out)
    if out.exists() and out.resolve() in (base.resolve(), edit.resolve()):
        raise ConfigError(f"--out: {out} is also read; choose another name")
    from unlearnkit.edits.file import apply_edit

    with stdout_reserved(as_json):
        apply_edit(edit, base, out)
    if as_json:
        print_json("apply", {"edit": str(edit), "base": str(base), "out": str(out)})
    else:
        click.echo(f"wrote {out}")
