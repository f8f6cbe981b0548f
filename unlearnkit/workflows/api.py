"""The Python API behind ``import unlearnkit``. Options have the same names as on the command line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import torch
from rich.console import Console

from unlearnkit.config import INVERT, SAMPLE, resolve
from unlearnkit.config.tables import user_tables
from unlearnkit.edits.file import apply_edit, put_on, with_base_options
from unlearnkit.engine import freeze
from unlearnkit.errors import RunError
from unlearnkit.interfaces import Generator
from unlearnkit.people.pictures import load_picture
from unlearnkit.plugins import registry
from unlearnkit.report import run_table, run_verdict
from unlearnkit.report.notebook import notebook_html
from unlearnkit.runs import directory
from unlearnkit.workflows.assembly import pick_device, prepared
from unlearnkit.workflows.options import Files, People, RunOptions, absolute, align_setting
from unlearnkit.workflows.run import continue_run, start_run

if TYPE_CHECKING:
    from unlearnkit.attacks.running import Result
    from unlearnkit.report import Verdict

__all__ = ["Run", "apply_edit", "audit", "invert", "load_generator", "unlearn"]


class Run(directory.Run):
    """A run directory. In a notebook it displays pictures, verdict and numbers."""

    @classmethod
    def open(cls, path: Path | str, *, resume: bool = False) -> Self:
        """Open the run in a folder; ``resume`` takes the write lock immediately.

        :raises RunError: if it holds no run, or its files are damaged.
        """
        return super().open(path, resume=resume)

    def __repr__(self) -> str:
        return f"unlearnkit.Run({str(self.path)!r})"

    @property
    def numbers(self) -> dict[str, float | None]:
        """The measured numbers, by name; empty before the run is finished."""
        return dict(self.read_json("metrics.json") or {})

    @property
    def verdict(self) -> Verdict:
        """The verdict on the numbers, in words."""
        return run_verdict(self)

    @property
    def edit(self) -> Path:
        """The file with the changed tensors.

        :raises RunError: if the run is finished, and it is missing or another file than this run wrote.
        """
        finished = self.manifest["status"] == "finished"
        return self.checked("edit.safetensors") if finished else self.path / "edit.safetensors"

    @property
    def report(self) -> Path:
        """The HTML report."""
        return self.path / "report.html"

    def resume(self, *, quiet: bool = False) -> Run:
        """Resume an interrupted run from its last checkpoint; the result is bit-identical to an uninterrupted run.

        :raises RunError: if it is finished, written by another process, or its files have changed.
        """
        self.close()
        return _as_ours(continue_run(self.path, _console(quiet), Run))

    def show(self) -> None:
        """Print verdict and headline numbers, as the command line does."""
        Console(highlight=False).print(run_table(self))

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        return notebook_html(self)


def unlearn(
    method: str = "guide", generator: str = "stylegan2", *, checkpoint: str | Path | None = None, image: Files = (),
    latent: str | Path | None = None, latent_seed: int | None = None, person: People = (),
    base: str | Path | None = None, bystander: Files = (), align: bool | str | None = None,
    face: int | str | None = None, target: str | None = None, inverter: str | None = None,
    identity: str | None = None, judge: str | None = None, perceptual: str | None = None, steps: int | None = None,
    seed: int | None = None, config: str | Path | None = None, set: Sequence[str] | Mapping[str, Any] = (),
    device: str | None = None, out: str | Path | None = None, quiet: bool = False,
) -> Run:
    """Erase a person from a generator, as ``unlearnkit run`` does, with the same options.

    * ``image``, ``bystander``: one or several paths; ``person``: ``{"Ada": ["a.png", "b.png"]}`` for several people
    * ``align``: True, False or ``"auto"``, the default; ``face``: ``"largest"`` or a number, for pictures of several
      people
    * ``set``: values by dotted name, ``{"target.distance": 20}``, or the command line's ``section.field=value``
    * ``out``: a new folder; by default ``runs/NAME-TIME``
    * ``quiet``: show no progress

    :raises UnlearnkitError: for every mistake, before a folder is created.
    """
    options = RunOptions(
        method=method, generator=generator, checkpoint=checkpoint, image=image, latent=latent, latent_seed=latent_seed,
        person=person, base=base, bystander=bystander, target=target, inverter=inverter, identity=identity, judge=judge,
        perceptual=perceptual, steps=steps, seed=seed, align=align, face=face, config=config, set=set, device=device,
    )
    folder = _path(out)
    return _as_ours(start_run(options.settings(folder), folder, _console(quiet), Run))


def load_generator(
    generator: str | None = None, *, checkpoint: str | Path | None = None, edit: str | Path | None = None,
    set: Sequence[str] | Mapping[str, Any] = (), device: str | None = None,
) -> Generator:
    """Load a generator, optionally with an edit applied; its parameters are frozen.

    Without a name it is the edit's, else the bundled StyleGAN2.

    :raises UnlearnkitError: if a file is missing or damaged, or the edit belongs to another checkpoint.
    """
    name = generator or (None if edit is not None else "stylegan2")
    options = {"generator.name": name, "generator.checkpoint": absolute(_path(checkpoint)), "device": device}
    tables = user_tables(None, set, options)
    settings = resolve(tables if edit is None else with_base_options(tables, Path(edit)), registry(), SAMPLE)
    loaded = prepared(settings.generator, pick_device(settings.device))
    if edit is not None:
        put_on(loaded, Path(edit))
    freeze(loaded.module)
    return loaded


def invert(
    image: str | Path, generator: Generator | str = "stylegan2", *, checkpoint: str | Path | None = None,
    inverter: str | None = None, align: bool | str | None = None, face: int | str | None = None,
    set: Sequence[str] | Mapping[str, Any] = (), device: str | None = None,
) -> torch.Tensor:
    """The latent ``(num_ws, w_dim)`` of a picture; ``generator`` is a name, or returned by :func:`load_generator`.

    ``align`` and ``face`` as for :func:`unlearn`.

    :raises UnlearnkitError: if the picture cannot be read, or there is no inverter.
    """
    name = generator if isinstance(generator, str) else _name_of(generator)
    file = absolute(_path(checkpoint)) if isinstance(generator, str) else _file_of(generator)
    options = {"generator.name": name, "generator.checkpoint": file, "inverter.name": inverter, "device": device,
               "request.align": align_setting(align), "request.face": face}
    settings = resolve(user_tables(None, set, options), registry(), INVERT)
    if settings.inverter is None:
        raise RunError(f"no inverter is chosen for {name}; give inverter=NAME")
    torch_device = pick_device(settings.device)
    loaded = prepared(settings.generator, torch_device) if isinstance(generator, str) else generator
    request = settings.request
    picture = load_picture(Path(image), loaded.resolution, request.align, request.face)[None].to(torch_device)
    return prepared(settings.inverter, torch_device).invert(picture, loaded).detach()[0]


def audit(
    run: Run | str | Path, *, attack: str | Sequence[str] = (), set: Sequence[str] | Mapping[str, Any] = (),
    seed: int = 0, device: str | None = None, quick: bool = False, quiet: bool = False,
) -> list[Result]:
    """Attack the edited generator of a finished run to recover the person, as ``unlearnkit audit`` does.

    :raises UnlearnkitError: if the run is not finished, or an attack is unknown.
    """
    from unlearnkit.workflows.audit import attack_tables, audit_run

    folder = run.path if isinstance(run, directory.Run) else Path(run)
    names = [attack] if isinstance(attack, str) else list(attack)
    tables = attack_tables(set)
    return audit_run(folder, names, tables, seed=seed, device=device, quick=quick, console=_console(quiet)).results


def _console(quiet: bool) -> Console:
    return Console(highlight=False, quiet=quiet)


def _as_ours(run: directory.Run) -> Run:
    assert isinstance(run, Run)
    return run


def _path(value: str | Path | None) -> Path | None:
    return None if value is None else Path(value)


def _name_of(generator: Generator) -> str:
    """The name under which a generator's class is registered."""
    plugins = registry()
    for name in plugins.names("generator"):
        if plugins.component_class("generator", name) is type(generator):
            return name
    raise RunError(f"{type(generator).__name__} is not registered by any plugin; give the name of a generator")


def _file_of(generator: Generator) -> str | None:
    return str(generator.base.path) if generator.base.path.is_file() else None
