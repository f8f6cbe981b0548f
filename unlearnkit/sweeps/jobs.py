"""All jobs of a sweep, each known by the hash of its settings."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs

from unlearnkit.config import PersonSettings, Settings, merge, resolve
from unlearnkit.edits.chain import edit_file
from unlearnkit.edits.file import with_base_options
from unlearnkit.errors import ConfigError, Gather, Mistakes, UnlearnkitError
from unlearnkit.files.plain import toml_bytes
from unlearnkit.options.fields import complete
from unlearnkit.options.names import slugs
from unlearnkit.plugins import registry
from unlearnkit.sweeps.file import Sweep
from unlearnkit.workflows.preflight import check

__all__ = ["Job", "jobs_of"]

_MOST_MISTAKES = 10
_Checked = tuple[str, str, str, int]


@attrs.frozen
class Job:
    """One run of a sweep. ``config``: its complete settings as a TOML file, from whose hash it has its name.

    Files lie in the sweep's folder: ``jobs/NAME.toml``, ``runs/NAME/`` and ``logs/NAME.log``.
    """

    name: str
    config: bytes
    folder: Path

    @property
    def settings_file(self) -> Path:
        """Its complete settings."""
        return self.folder / "jobs" / f"{self.name}.toml"

    @property
    def run(self) -> Path:
        """Its run directory."""
        return self.folder / "runs" / self.name

    @property
    def log(self) -> Path:
        """What its process prints."""
        return self.folder / "logs" / f"{self.name}.log"


def jobs_of(sweep: Sweep, folder: Path) -> list[Job]:
    """Every combination once, in the order of the file; files are checked too, so that mistakes come before any work.

    :raises ConfigError: naming the combination; :class:`~unlearnkit.errors.Mistakes` if there are several.
    """
    grid, mistakes = sweep.grid, Gather()
    checked: set[_Checked] = set()
    found: dict[str, Job] = {}
    for generator, method, person, (place, variant), seed in itertools.product(
        grid.generators, grid.methods, grid.people or (None,), enumerate(sweep.settings), grid.seeds,
    ):
        words = (generator, method, "" if person is None else person.name, place)
        if words in checked and mistakes:
            continue
        with mistakes, _named(words, len(sweep.settings) > 1):
            settings = _resolved(sweep, generator, method, person, variant, seed)
            if words not in checked:  # another seed changes nothing that can be checked
                check(settings)
            job = _job(settings, folder)
            found.setdefault(job.name, job)
        checked.add(words)
    _raise_first(mistakes)
    return list(found.values())


def _resolved(
    sweep: Sweep, generator: str, method: str, person: PersonSettings | None, variant: Mapping[str, Any], seed: int,
) -> Settings:
    """Complete settings of one job; it has as many threads as cores, unless the settings say otherwise."""
    who = {} if person is None else {"request": complete(PersonSettings, person)}
    tables = merge(merge({"threads": sweep.launcher.cpus}, sweep.common), variant)
    tables = merge(tables, {"generator": {"name": generator}, "method": {"name": method}, "seed": seed, **who})
    if isinstance(tables.get("base"), str):
        tables = with_base_options(tables, edit_file(Path(tables["base"])))
    return resolve(tables, registry())


def _job(settings: Settings, folder: Path) -> Job:
    config = toml_bytes(settings.table())
    method = "" if settings.method is None else settings.method.name
    words = [method, settings.generator.name, "-".join(slugs(settings.request.names))[:40], str(settings.seed)]
    return Job(f"{'.'.join(words)}.{hashlib.sha256(config).hexdigest()[:12]}", config, folder)


# ---------------------------------------------------------------- mistakes

class _named:
    """Puts the combination before a mistake's message."""

    def __init__(self, words: _Checked, several: bool) -> None:
        generator, method, person, place = words
        self._where = ", ".join(filter(None, (method, generator, person, f"settings[{place}]" if several else "")))

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if isinstance(error, UnlearnkitError):
            problems = error.problems if isinstance(error, Mistakes) else (str(error),)
            raise Mistakes(f"{self._where}: {problem}" for problem in problems) from error


def _raise_first(mistakes: Gather) -> None:
    """Raise what was gathered; of very many mistakes the first, and how many more there are."""
    try:
        mistakes.raise_any()
    except Mistakes as error:
        more = len(error.problems) - _MOST_MISTAKES
        if more <= 0:
            raise
        raise Mistakes([*error.problems[:_MOST_MISTAKES], f"and {more} more mistakes"]) from None
    except ConfigError:
        raise
