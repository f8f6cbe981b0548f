"""The options of ``unlearnkit run``, given on the command line or to :func:`unlearnkit.unlearn`. Imports no torch."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import attrs

from unlearnkit.config import Settings, resolve
from unlearnkit.config.tables import user_tables
from unlearnkit.edits.chain import edit_file
from unlearnkit.errors import ConfigError, Gather
from unlearnkit.options.values import expanded
from unlearnkit.plugins import registry

__all__ = ["Files", "People", "RunOptions", "absolute", "align_setting"]

File: TypeAlias = str | Path
_PICTURES = (".bmp", ".heic", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
Files: TypeAlias = File | Sequence[File]
People: TypeAlias = Sequence[str] | Mapping[str, Files]


def _files(value: Files) -> tuple[Path, ...]:
    return (Path(value),) if isinstance(value, str | Path) else tuple(Path(file) for file in value)


def _file(value: File | None) -> Path | None:
    return None if value is None else Path(value)


@attrs.frozen(kw_only=True)
class RunOptions:
    """The options of a run as the user gives them; None and empty mean not given. See ``unlearnkit run --help``."""

    method: str | None = None
    generator: str | None = None
    checkpoint: Path | None = attrs.field(default=None, converter=_file)
    image: tuple[Path, ...] = attrs.field(default=(), converter=_files)
    latent: Path | None = attrs.field(default=None, converter=_file)
    latent_seed: int | None = None
    person: People = ()
    base: Path | None = attrs.field(default=None, converter=_file)
    bystander: tuple[Path, ...] = attrs.field(default=(), converter=_files)
    target: str | None = None
    inverter: str | None = None
    identity: str | None = None
    judge: str | None = None
    perceptual: str | None = None
    steps: int | None = None
    seed: int | None = None
    align: bool | str | None = None
    face: int | str | None = None
    config: Path | None = attrs.field(default=None, converter=_file)
    set: Sequence[str] | Mapping[str, Any] = ()
    device: str | None = None

    def settings(self, out: Path | None = None) -> Settings:
        """Complete settings of the run; ``out`` is its folder.

        :raises ConfigError: for invalid options. In that case files are checked too, so that all mistakes are reported
            at once; for valid settings, the start of the run checks them.
        """
        tables, mistakes = self.tables(), Gather()
        if isinstance(tables.get("base"), str):  # a class label, say, need not be given again
            from unlearnkit.edits.file import with_base_options

            with mistakes:
                tables = with_base_options(tables, edit_file(Path(tables["base"])))
        settings = resolve(tables, registry(), mistakes=mistakes)
        if mistakes:
            from unlearnkit.workflows.preflight import check

            with mistakes:
                check(settings, out=out)
            mistakes.raise_any()
        return settings

    def tables(self) -> dict[str, Any]:
        """Nested tables of plain values: the configuration file, overridden by ``set`` and the other options.

        :raises ConfigError: if a setting is given twice, or options exclude each other.
        """
        ways = {"--image": self.image, "--latent": self.latent, "--latent-seed": self.latent_seed,
                "--person": self.person}
        chosen = [name for name, value in ways.items() if value is not None and value != () and value != {}]
        if len(chosen) > 1:
            raise ConfigError(f"{' and '.join(chosen)} exclude each other: each specifies whom to erase")
        names = ("method", "generator", "target", "inverter", "identity", "judge", "perceptual")
        options = {
            **{f"{name}.name": getattr(self, name) for name in names},
            "generator.checkpoint": absolute(self.checkpoint),
            "request.images": [absolute(path) for path in self.image],
            "request.latent": absolute(self.latent),
            "request.latent_seed": self.latent_seed,
            "request.people": self._people(),
            "request.bystanders": [absolute(path) for path in self.bystander],
            "base": absolute(self.base),
            "method.steps": self.steps,
            "seed": self.seed,
            "request.align": align_setting(self.align),
            "request.face": self.face,
            "device": self.device,
        }
        return user_tables(self.config, self.set, options)

    def _people(self) -> list[dict[str, Any]]:
        if isinstance(self.person, Mapping):
            return [_person(name, [str(file) for file in _files(files)]) for name, files in self.person.items()]
        return [_parsed_person(text) for text in self.person]


def _parsed_person(text: str) -> dict[str, Any]:
    """``NAME=PICTURE[,PICTURE…]``, ``NAME=FOLDER``, ``NAME=FILE.safetensors`` or ``NAME=seed:N`` as a table."""
    name, equals, sources = text.partition("=")
    if not equals or not name.strip() or not sources:
        raise ConfigError(
            f"--person: got {text!r}, expected NAME=PICTURE[,PICTURE…], NAME=FOLDER, NAME=FILE.safetensors or "
            "NAME=seed:N"
        )
    return _person(name, [sources] if os.path.exists(sources) else sources.split(","))


def _person(name: str, parts: Iterable[str]) -> dict[str, Any]:
    sources = list(parts)
    if sources[0].startswith("seed:"):
        try:
            return {"name": name, "latent_seed": int(sources[0].removeprefix("seed:"))}
        except ValueError:
            raise ConfigError(f"--person: got {sources[0]!r} for {name}, expected a whole number after seed:") from None
    files = [file for source in sources for file in _pictures_of(name, Path(source))]
    for file in files:
        if not file.is_file():
            raise ConfigError(f"--person: {name}'s file {str(file)!r} does not exist")
    latents = [file for file in files if file.suffix in (".safetensors", ".npy", ".npz", ".pt", ".pth")]
    if not latents:
        return {"name": name, "images": [absolute(file) for file in files]}
    if len(files) > 1:
        raise ConfigError(f"--person: got {','.join(sources)!r} for {name}, expected either pictures or a single "
                          "latent file")
    return {"name": name, "latent": absolute(latents[0])}


def _pictures_of(name: str, source: Path) -> list[Path]:
    """The pictures in a folder, in the order of their names; a file as it is.

    :raises ConfigError: for a folder without pictures.
    """
    if not source.is_dir():
        return [source]
    found = sorted(path for path in source.iterdir() if path.suffix.lower() in _PICTURES and path.is_file())
    if not found:
        raise ConfigError(f"--person: {name}'s folder {str(source)!r} holds no picture ({', '.join(_PICTURES)})")
    return found


def align_setting(value: bool | str | None) -> bool | str | None:
    """``auto``, ``yes`` or ``no`` as the setting ``request.align`` has it.

    :raises ConfigError: for another word.
    """
    known: dict[bool | str | None, bool | str | None] = {
        None: None, True: True, False: False, "auto": "auto", "yes": True, "no": False}
    if value not in known:
        raise ConfigError(f"align: got {value!r}, expected auto, yes or no")
    return known[value]


def absolute(path: Path | None) -> str | None:
    """An optional path in the form settings use: absolute, so that it is valid from any folder."""
    return None if path is None else str(expanded(path).absolute())
