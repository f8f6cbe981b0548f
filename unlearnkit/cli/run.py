"""``unlearnkit run``: erase a person."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from unlearnkit.cli.common import FILE, OUT, SEED, ComponentName, console, picture_options, say_next, settings_options
from unlearnkit.cli.output import stdout_reserved
from unlearnkit.errors import RunError

if TYPE_CHECKING:
    from unlearnkit.runs import Run

_RUN = click.Path(exists=True, file_okay=False, path_type=Path)
_EDIT = click.Path(exists=True, readable=True, path_type=Path)
_WITH_RESUME = {"resume", "dry_run", "debug"}


@click.command()
@click.option("--method", type=ComponentName("method"),
              help="How to unlearn ('unlearnkit show method' lists the methods).")
@click.option("--generator", type=ComponentName("generator"),
              help="Which generator; without --checkpoint, the bundled one.")
@click.option("--checkpoint", type=FILE, help="The generator's file of weights (.pkl, .pt, .safetensors).")
@click.option("--image", type=FILE, multiple=True,
              help="Picture of the person; repeatable: the first is erased, the others judge.")
@click.option("--latent", type=FILE, help="File that holds the person's latent, instead of a picture.")
@click.option("--latent-seed", type=SEED, metavar="N", help="Erase the person whom 'unlearnkit sample --seed N' draws.")
@click.option("--person", multiple=True, metavar="NAME=PICTURE[,PICTURE…]",
              help="One of several people to erase together; repeatable. Also NAME=FOLDER, NAME=FILE.safetensors, "
              "NAME=seed:N.")
@click.option("--base", type=_EDIT, metavar="RUN",
              help="Start from an earlier edit: a finished run's folder, or an edit.safetensors.")
@click.option("--bystander", type=FILE, multiple=True,
              help="Picture of somebody who must stay as they are; repeatable.")
@picture_options
@click.option("--target", type=ComponentName("target"), help="How to choose the face that takes the person's place.")
@click.option("--inverter", type=ComponentName("inverter"), help="How to find the latent of a picture.")
@click.option("--identity", type=ComponentName("identity"), help="Identity encoder that losses use.")
@click.option("--judge", type=ComponentName("identity"),
              help="Identity encoder that judges the result; use another one.")
@click.option("--perceptual", type=ComponentName("perceptual"), help="Perceptual distance.")
@click.option("--steps", type=click.IntRange(min=1), metavar="N", help="Number of steps of the method.")
@click.option("--seed", type=SEED, metavar="N", help="Start of the random numbers; same seed, same run.")
@settings_options
@click.option("--out", type=OUT, metavar="DIR", help="New folder for the results; else runs/NAME-TIME.")
@click.option("--resume", type=_RUN, metavar="DIR", help="Continue the run in this folder.")
@click.option("--dry-run", is_flag=True, help="Check everything, print the complete settings as TOML and stop.")
@click.pass_context
def command(ctx: click.Context, out: Path | None, resume: Path | None, dry_run: bool, **options: Any) -> None:
    """Erase a person from a generator.

    The bundled generator and person:

    \b
    unlearnkit run --method guide --generator stylegan2

    From a photo to an edited checkpoint of your own:

    \b
    unlearnkit fetch arcface-ir-se50 facenet-vggface2 lpips-vgg
    unlearnkit run --method guide --generator stylegan2 --checkpoint ffhq.pkl \\
      --image me.jpg --inverter optimise --identity arcface-ir-se50 \\
      --judge facenet-vggface2 --perceptual lpips-vgg --out runs/mine
    unlearnkit apply runs/mine/edit.safetensors --base ffhq.pkl --out edited.pkl
    """
    from unlearnkit.workflows.options import RunOptions

    if resume is not None:
        _check_resume(ctx, resume)
        _resume(resume, dry_run)
        return
    with stdout_reserved(dry_run):
        settings = RunOptions(**options).settings(out)
        from unlearnkit.workflows import run

        note = run.dry_run(settings, out) if dry_run else None
    if dry_run:
        if note:
            click.echo(f"note: {note}", err=True)
        _print(settings.table())
    else:
        _show(run.start_run(settings, out, console()))


def _resume(folder: Path, dry_run: bool) -> None:
    from unlearnkit.runs import Run
    from unlearnkit.workflows import run

    if dry_run:
        with stdout_reserved():
            settings = Run.open(folder).settings
        _print(settings.table())
    else:
        _show(run.continue_run(folder, console()))


def _show(run: Run) -> None:
    """The short table, and where everything lies."""
    from unlearnkit.report import run_table

    out = console()
    out.print(run_table(run))
    used = ", ".join(f"{section} {run.chosen[section]}" for section in ("judge", "identity", "perceptual"))
    out.print(f"measured with: {used}", soft_wrap=True, markup=False)
    out.print(f"run: {run.path}", soft_wrap=True, markup=False)
    out.print(f"report: {run.path / 'report.html'}", soft_wrap=True, markup=False)
    say_next("unlearnkit", "audit", "--quick", run.path, note="can attacks bring the person back?")


def _check_resume(ctx: click.Context, folder: Path) -> None:
    for parameter in ctx.command.params:
        name = parameter.name or ""
        from_user = ctx.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE
        if from_user and name not in _WITH_RESUME:
            raise click.UsageError(
                f"{parameter.opts[0]} and --resume exclude each other: a run continues with its own settings"
            )
    if not (folder / "config.toml").is_file():
        raise RunError(f"{folder} is no run folder: it holds no config.toml")


def _print(settings: dict[str, Any]) -> None:
    from unlearnkit.files.plain import toml_bytes

    click.echo(toml_bytes(settings), nl=False)  # TOML is UTF-8, whatever the terminal is
