"""``unlearnkit run``: erase a person."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from unlearnkit.cli.common import (
    FILE,
    OUT,
    SEED,
    absolute,
    check_device,
    check_pictures,
    console,
    one,
    settings_options,
    told,
)
from unlearnkit.edits.chain import edit_file
from unlearnkit.errors import ConfigError, RunError

if TYPE_CHECKING:
    from unlearnkit.runs import Run

_RUN = click.Path(exists=True, file_okay=False, path_type=Path)
_EDIT = click.Path(exists=True, readable=True, path_type=Path)
_WITH_RESUME = {"resume", "dry_run", "debug"}


@click.command()
@click.option("--method", metavar="NAME", help="How to unlearn ('unlearnkit show method' lists the methods).")
@click.option("--generator", metavar="NAME", help="Which generator; without --checkpoint, the bundled one.")
@click.option("--checkpoint", type=FILE, help="The generator's file of weights (.pkl, .pt, .safetensors).")
@click.option("--image", "images", type=FILE, multiple=True,
              help="Picture of the person; repeatable: the first is erased, the others judge.")
@click.option("--latent", type=FILE, help="File that holds the person's latent, instead of a picture.")
@click.option("--latent-seed", type=SEED, metavar="N", help="Erase the person drawn from seed N.")
@click.option("--person", "people", multiple=True, metavar="NAME=PICTURE[,PICTURE…]",
              help="One of several people to erase together; repeatable. Also NAME=FILE.safetensors, NAME=seed:N.")
@click.option("--base", type=_EDIT, metavar="RUN",
              help="Start from an earlier edit: a finished run's folder, or an edit.safetensors.")
@click.option("--bystander", "bystanders", type=FILE, multiple=True,
              help="Picture of somebody who must stay as they are; repeatable.")
@click.option("--target", metavar="NAME", help="How to choose the face that takes the person's place.")
@click.option("--inverter", metavar="NAME", help="How to find the latent of a picture.")
@click.option("--identity", metavar="NAME", help="Identity encoder that losses use.")
@click.option("--judge", metavar="NAME", help="Identity encoder that judges the result; use another one.")
@click.option("--perceptual", metavar="NAME", help="Perceptual distance.")
@click.option("--steps", type=click.IntRange(min=1), metavar="N", help="Number of steps of the method.")
@click.option("--seed", type=SEED, metavar="N", help="Start of the random numbers; same seed, same run.")
@settings_options
@click.option("--out", type=OUT, metavar="DIR", help="New folder for the results; else runs/NAME-TIME.")
@click.option("--resume", type=_RUN, metavar="DIR", help="Continue the run in this folder.")
@click.option("--dry-run", is_flag=True, help="Print the complete settings as TOML and stop.")
@click.pass_context
def command(ctx: click.Context, **given: Any) -> None:
    """Erase a person from a generator.

    \b
    unlearnkit run --method guide --generator stylegan2           the bundled generator and person
    unlearnkit run --method guide --generator stylegan2 --checkpoint ffhq.pkl --image me.png
    unlearnkit run --method guide --generator stylegan2 --base runs/mine --person Ada=ada.png
    """
    from unlearnkit.config import resolve
    from unlearnkit.plugins import registry

    resume: Path | None = given["resume"]
    if resume is not None:
        _check_resume(ctx, resume)
        given["config"] = resume / "config.toml"
    _check_files(given)
    settings = resolve(told(given["config"], given["sets"], _options(given)), registry())
    check_device(settings["device"])
    if given["dry_run"]:
        _print(settings)
        return
    from unlearnkit.workflows import run as session

    _show(session.run(settings, given["out"], resume, console()))


def _show(run: Run) -> None:
    """The short table, and where everything lies."""
    from unlearnkit.people.names import erased_names
    from unlearnkit.report import NUMBERS_FILE, summary_table
    from unlearnkit.report.numbers import read_declared

    out = console()
    chosen = run.config
    out.print(summary_table(
        run.read_json("metrics.json") or {}, run.manifest, erased_names(chosen["request"]),
        read_declared(run.read_json(NUMBERS_FILE), str(run.path / NUMBERS_FILE)),
    ))
    used = ", ".join(f"{section} {chosen[section]['name']}" for section in ("judge", "identity", "perceptual"))
    out.print(f"measured with: {used}", soft_wrap=True, markup=False)
    out.print(f"run: {run.path}", soft_wrap=True, markup=False)
    out.print(f"report: {run.path / 'report.html'}", soft_wrap=True, markup=False)


def _options(given: dict[str, Any]) -> dict[str, Any]:
    names = ("method", "generator", "target", "inverter", "identity", "judge", "perceptual")
    return {
        **{f"{name}.name": given[name] for name in names},
        "generator.checkpoint": one(given["checkpoint"]),
        "request.images": absolute(given["images"]),
        "request.latent": one(given["latent"]),
        "request.latent_seed": given["latent_seed"],
        "request.people": [_person(text) for text in given["people"]],
        "request.bystanders": absolute(given["bystanders"]),
        "base": one(given["base"]),
        "method.steps": given["steps"],
        "seed": given["seed"],
        "device": given["device"],
    }


def _person(text: str) -> dict[str, Any]:
    """``NAME=PICTURE[,PICTURE…]``, ``NAME=FILE.safetensors`` or ``NAME=seed:N`` as a table of ``[[request.people]]``.

    :raises ConfigError: if it is none of them, or a file is not there.
    """
    name, equals, who = text.partition("=")
    if not equals or not name.strip() or not who:
        raise ConfigError(
            f"--person: got {text!r}, expected NAME=PICTURE[,PICTURE…], NAME=FILE.safetensors or NAME=seed:N"
        )
    if who.startswith("seed:"):
        try:
            return {"name": name, "latent_seed": int(who.removeprefix("seed:"))}
        except ValueError:
            raise ConfigError(f"--person: got {text!r}, expected a whole number behind seed:") from None
    files = [Path(part) for part in who.split(",")]
    for file in files:
        if not file.is_file():
            raise ConfigError(f"--person: {name}'s file {str(file)!r} does not exist")
    latents = [file for file in files if file.suffix in (".safetensors", ".npy")]
    if not latents:
        return {"name": name, "images": absolute(files)}
    if len(files) > 1:
        raise ConfigError(f"--person: got {text!r}, expected one file with a latent and no pictures beside it")
    return {"name": name, "latent": one(latents[0])}


def _check_files(given: dict[str, Any]) -> None:
    ways = {"--image": given["images"], "--latent": given["latent"], "--latent-seed": given["latent_seed"],
            "--person": given["people"]}
    chosen = [name for name, value in ways.items() if value not in ((), None)]
    if len(chosen) > 1:
        raise click.UsageError(f"{' and '.join(chosen)} exclude each other: each says whom to erase")
    check_pictures(given["images"], "--image")
    for text in given["people"]:
        check_pictures(map(Path, _person(text).get("images", ())), "--person")
    check_pictures(given["bystanders"], "--bystander")
    if given["base"] is not None:
        edit_file(given["base"])
    out: Path | None = given["out"]
    if out is not None and out.exists() and not out.is_dir():
        raise ConfigError(f"--out: {out} is a file, expected a folder")
    if out is not None and out.is_dir() and any(out.iterdir()):
        raise ConfigError(f"--out: {out} is not empty; choose a new folder, or continue with --resume {out}")


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
    import tomli_w

    click.echo(tomli_w.dumps(settings), nl=False)
