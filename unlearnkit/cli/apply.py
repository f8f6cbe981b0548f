"""``unlearnkit apply``: put an edit on the file it was made for."""

from __future__ import annotations

from pathlib import Path

import click

from unlearnkit.cli.common import FILE, OUT, check_new_file
from unlearnkit.errors import ConfigError


@click.command()
@click.argument("edit", type=FILE)
@click.option("--base", type=FILE, required=True, help="The generator's file that the edit was made for.")
@click.option("--out", type=OUT, required=True, metavar="FILE", help="Where to write the edited generator.")
def command(edit: Path, base: Path, out: Path) -> None:
    """Put EDIT (a run's edit.safetensors) on its base.

    The result has the format of the base: an NVIDIA pickle stays one. Another base is refused.
    """
    check_new_file(out)
    if out.exists() and out.resolve() in (base.resolve(), edit.resolve()):
        raise ConfigError(f"--out: {out} is also read; choose another name")
    from unlearnkit.edits.file import apply_edit

    apply_edit(edit, base, out)
    click.echo(f"wrote {out}")
