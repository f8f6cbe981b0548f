"""The settings of a run as typed records: built by :func:`unlearnkit.config.resolve`, read by everything else.

They are converted to plain tables only for writing (:meth:`Settings.table`). Imports no torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar

import attrs

from unlearnkit.errors import ConfigError
from unlearnkit.options import complete, option
from unlearnkit.options.names import check_name

if TYPE_CHECKING:
    from unlearnkit.interfaces import (
        Component,
        Generator,
        IdentityEncoder,
        Inverter,
        Loss,
        Method,
        Metric,
        Perceptual,
        TargetSelector,
    )

__all__ = [
    "AUDIT", "INVERT", "MEASURE", "RUN", "SAMPLE", "SECTIONS", "Choice", "LossSettings", "MetricSettings",
    "PersonSettings", "RequestSettings", "RunSettings", "Settings", "Uses",
]

C = TypeVar("C", bound="Component")

SECTIONS = {
    "generator": "generator",
    "method": "method",
    "target": "target",
    "inverter": "inverter",
    "identity": "identity",
    "judge": "identity",
    "perceptual": "perceptual",
}
"""Section of the settings -> the kind of component that it selects by ``name``."""


@attrs.frozen
class RunSettings:
    """The top-level settings."""

    seed: int = option(0, ge=0, lt=2**63, help="random seed")
    device: str = option("auto", help="device to compute on: auto, cpu, mps, cuda or cuda:N")
    save_every: float = option(20.0, ge=0.0, unit="seconds", help="time between checkpoints; 0 saves after each step")
    base: Path | None = option(None, help="earlier edit to start from: a run directory or an edit.safetensors")
    threads: int | None = option(None, ge=1, le=4096, help="CPU threads; by default torch's choice, limited by a "
                                 "container's CPU quota")
    memory: str = option("keep", choices=("keep", "system"),
                         help="keep freed memory in the process (Linux with glibc), or return it to the system")
    precision: str | None = option(
        None, choices=("float32", "tf32", "bf16"),
        help="matmul precision on CUDA; bf16 is tf32 plus the losses' networks in bfloat16 while a method trains; on "
             "CPUs with AMX also the generators' large maps; by default torch's choice")
    cuda_graph: bool = option(False, help="capture a step as a CUDA graph and replay it (experimental)")


@attrs.frozen
class PersonSettings:
    """``[[request.people]]``: one person to erase, given in one of three ways."""

    name: str = option("person", validator=check_name, help="name of the person in reports")
    images: tuple[Path, ...] = option((), help="pictures of the person; the first are erased, the others evaluate")
    latent: Path | None = option(None, help="file with the person's latent")
    latent_seed: int | None = option(None, ge=0, lt=2**63, help="seed of the random person to erase")

    @property
    def ways(self) -> tuple[str, ...]:
        """Which of ``images``, ``latent`` and ``latent_seed`` are given."""
        given = {"images": self.images, "latent": self.latent, "latent_seed": self.latent_seed}
        return tuple(way for way, value in given.items() if value not in ((), None))


def _check_face(_: object, __: object, value: object) -> None:
    if isinstance(value, int) and value < 1:
        raise ConfigError(f"face: got {value}, expected largest or a number from 1")


@attrs.frozen
class RequestSettings(PersonSettings):
    """``[request]``: whom to erase, one person here or several as ``people``, and who must be preserved."""

    people: tuple[PersonSettings, ...] = option((), help="several people to erase together")
    erase: int = option(1, ge=1, unit="pictures", help="number of pictures of each person to erase, from the first")
    bystanders: tuple[Path, ...] = option((), help="pictures of people who must be preserved")
    random_bystanders: int = option(8, ge=0, le=1000, help="number of random people added to the bystanders")
    mixed_domains: bool = option(
        False, help="allow encoders that know other faces than the generator draws; nothing can be measured then")
    align: bool | Literal["auto"] = option(
        "auto", help="detect the face in each picture and crop it as FFHQ does; auto: unless the picture is square and "
                     "its face is in its place, or none is found")
    face: int | Literal["largest"] | None = option(
        None, validator=_check_face, help="which face of a picture that shows several: largest, or its number")

    @property
    def erased(self) -> tuple[PersonSettings, ...]:
        """The people to erase: ``people``, or the single person that the request itself describes."""
        return self.people or (self,)

    @property
    def names(self) -> list[str]:
        """Names of the people to erase."""
        return [person.name for person in self.erased]

    @property
    def pictures(self) -> list[Path]:
        """All pictures of the people to erase, including those that only evaluate."""
        return [picture for person in self.erased for picture in person.images]

    def table(self) -> dict[str, Any]:
        """As a table of plain values; with several named people, the request itself has no name."""
        table = complete(RequestSettings, self)
        if self.people:
            del table["name"]
        return table


@attrs.frozen
class MetricSettings:
    """``[metrics]``: what to measure."""

    names: tuple[str, ...] = option((), help="metrics to measure before and after")
    samples: int = option(200, ge=2, unit="pictures", help="number of random pictures for estimates")


@attrs.frozen
class LossSettings:
    """``[losses]``: what the method minimises."""

    names: tuple[str, ...] = option((), help="losses that the method minimises")


# ---------------------------------------------------------------- which command uses which

_LISTS = ("losses", "loss", "metrics", "metric")
_TABLES = ("request", *_LISTS)


@attrs.frozen
class Uses:
    """Which settings a command uses; any other setting is refused by name.

    * ``sections``: of :data:`SECTIONS`; ``fields``: of :class:`RunSettings`; ``request``: of :class:`RequestSettings`
    * ``lists``: whether ``losses``, ``loss``, ``metrics`` and ``metric`` are used too
    """

    command: str
    sections: tuple[str, ...]
    fields: tuple[str, ...]
    request: tuple[str, ...] = ()
    lists: bool = False

    def check(self, key: str, table: Any) -> None:
        """Refuse a top-level field or section that the command does not use, by its full name.

        :raises ConfigError: listing the settings that the command does use.
        """
        lists = _LISTS if self.lists else ()
        if key == "request" and self.request:
            wrong = sorted((set(table) & set(RUN.request)) - set(self.request)) if isinstance(table, Mapping) else []
            unused = f"request.{wrong[0]}" if wrong else None
        else:
            unused = None if key in (*self.sections, *self.fields, *lists) else key
        if unused is not None:
            inner = next(iter(table), None) if isinstance(table, Mapping) and unused == key else None
            full = unused if inner is None else f"{key}.{inner}"
            raise ConfigError(f"'unlearnkit {self.command}' does not use the setting '{full}'; it uses {self.words()}")

    def only(self, tables: Mapping[str, Any]) -> dict[str, Any]:
        """The part of a run's settings that the command uses; unknown settings stay, to be refused later."""
        known = {*RUN.sections, *RUN.fields, *_TABLES}
        used = {*self.sections, *self.fields, *(["request"] if self.request else []), *(_LISTS if self.lists else ())}
        kept = {key: value for key, value in tables.items() if key in used or key not in known}
        if isinstance(request := kept.get("request"), Mapping):
            kept["request"] = {key: value for key, value in request.items()
                               if key in self.request or key not in RUN.request}
        return kept

    def words(self) -> str:
        """Sections and fields, for messages."""
        names = [f"[{section}]" for section in self.sections]
        names += [f"request.{name}" for name in self.request]
        return ", ".join([*names, *self.fields])


_MACHINE = ("device", "threads", "memory", "precision")
RUN = Uses(
    "run", tuple(SECTIONS), tuple(field.name for field in attrs.fields(RunSettings)),
    tuple(field.name for field in attrs.fields(RequestSettings)), lists=True,
)
SAMPLE = Uses("sample", ("generator",), ("seed", *_MACHINE))
MEASURE = Uses(
    "measure", ("generator", "identity", "judge", "perceptual", "inverter"), ("seed", "base", *_MACHINE), RUN.request,
    lists=True,
)
AUDIT = Uses("audit", ("generator", "identity", "judge", "perceptual"), ("seed", "base", *_MACHINE))
INVERT = Uses("invert", ("generator", "inverter"), _MACHINE, ("align", "face"))


# ---------------------------------------------------------------- all of them

@attrs.frozen
class Choice(Generic[C]):
    """A chosen component: its registered name, and the unprepared component with its options."""

    name: str
    component: C

    def fresh(self) -> C:
        """A new, unprepared copy with the same options: one choice serves many runs."""
        return attrs.evolve(self.component)  # type: ignore[misc]  # every component is an attrs class

    def options(self) -> dict[str, Any]:
        """Every option as a plain value."""
        return complete(type(self.component), self.component)

    def table(self) -> dict[str, Any]:
        """Name and options as a table of plain values."""
        return {"name": self.name, **self.options()}


@attrs.frozen(kw_only=True)
class Settings(RunSettings):
    """The complete settings of a command. Sections that it does not use, or that are not chosen, are None or empty."""

    generator: Choice[Generator]
    method: Choice[Method] | None = None
    target: Choice[TargetSelector] | None = None
    inverter: Choice[Inverter] | None = None
    identity: Choice[IdentityEncoder] | None = None
    judge: Choice[IdentityEncoder] | None = None
    perceptual: Choice[Perceptual] | None = None
    losses: Mapping[str, Choice[Loss]] = attrs.field(factory=dict)
    metrics: Mapping[str, Choice[Metric]] = attrs.field(factory=dict)
    samples: int = 200
    request: RequestSettings = attrs.field(factory=RequestSettings)
    uses: Uses = attrs.field(default=RUN, repr=False)
    failed: frozenset[str] = attrs.field(default=frozenset(), repr=False)
    """Sections that are missing because of an error in them; only if mistakes are collected."""

    def chosen(self) -> dict[str, Choice[Any]]:
        """The components that were chosen, by section."""
        choices = {section: getattr(self, section) for section in SECTIONS}
        return {section: choice for section, choice in choices.items() if choice is not None}

    def domains(self) -> dict[str, str]:
        """Whose faces the generator draws, and whose the encoders, the perceptual distance and the inverter know."""
        known = {section: choice.component.domain for section, choice in self.chosen().items()
                 if section in ("identity", "judge", "perceptual", "inverter")}
        return {"generator": self.generator.component.faces_domain(), **known}

    def table(self) -> dict[str, Any]:
        """Nested tables of plain values, as ``config.toml`` and results hold them; they replay the run."""
        top = complete(RunSettings, self)
        table: dict[str, Any] = {name: value for name, value in top.items() if name in self.uses.fields}
        table |= {section: choice.table() for section, choice in self.chosen().items()}
        if self.uses.request == RUN.request:
            table["request"] = self.request.table()
        elif self.uses.request:
            every = self.request.table()
            table["request"] = {name: every[name] for name in self.uses.request if name in every}
        if self.uses.lists:
            table["losses"] = {"names": list(self.losses)}
            table["metrics"] = {"names": list(self.metrics), "samples": self.samples}
            for kind, choices in (("loss", self.losses), ("metric", self.metrics)):
                if choices:
                    table[kind] = {name: choice.options() for name, choice in choices.items()}
        return table
