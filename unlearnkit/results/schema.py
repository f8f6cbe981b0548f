"""One case of the benchmark as a record: method × generator × scenario × person × seed. Imports no torch."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any

import attrs
import cattrs
from attrs import field
from attrs.validators import ge, in_, optional
from cattrs.v import format_exception

from unlearnkit import numbers
from unlearnkit.errors import ConfigError, RunError
from unlearnkit.numbers import Number

__all__ = [
    "CHECKPOINT", "FORMAT", "PICTURES", "RUN", "AttackResult", "Budget", "Hardware", "Result", "first_problem",
    "from_plain", "make_converter", "to_plain",
]

FORMAT = "unlearnkit-result-1"
RUN = "run"
"""The profile of a result that comes from an ordinary run, which nobody granted the budget of a bench."""
PICTURES = ("picture", "before", "target", "after")
"""What a picture of a result may show: what was given, the generator before, whom it shall make instead, after."""

CHECKPOINT = "checkpoint"
"""Entry of ``Result.versions`` that holds the beginning of the checkpoint's SHA-256, where it is known."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")


def _help(sentence: str) -> dict[str, str]:
    """Metadata of a field: what it is, for the JSON schema."""
    return {"help": sentence}


def _name(_: Any, attribute: Any, value: str) -> None:
    if not _NAME.fullmatch(value):
        raise ValueError(f"{attribute.name}: got {value!r}, expected letters, digits, - and _")


def _pictures(_: Any, __: Any, value: Mapping[str, str]) -> None:
    for role, path in value.items():
        file = PurePosixPath(path)
        if role not in PICTURES or file.is_absolute() or ".." in file.parts or "\\" in path or file.suffix != ".png":
            raise ValueError(f"pictures: got {role}: {path!r}, expected a relative PNG of {', '.join(PICTURES)}")


@attrs.frozen
class Budget:
    """What every method was granted; results of the bench with different budgets are not compared."""

    steps: int | None = field(metadata=_help("optimiser steps; a method without steps takes none"),
                              validator=optional(ge(1)))
    tuning_trials: int = field(metadata=_help("settings tried for each method before, on other people"),
                               validator=ge(0))
    samples: int = field(metadata=_help("random pictures that each estimate is made from"), validator=ge(2))

    def __str__(self) -> str:
        return f"{self.steps} steps, {self.tuning_trials} tuning trials, {self.samples} samples"


@attrs.frozen
class Hardware:
    """What it ran on."""

    cpu: str = field(metadata=_help("the processor's name"))
    threads: int = field(metadata=_help("threads that torch used"), validator=ge(1))
    platform: str = field(metadata=_help("operating system"))
    device: str = field(metadata=_help("where torch computed: cpu, cuda, ..."))
    kernels: str = field(default="", metadata=_help(
        "what computed: native, or PyTorch and why; empty in results from before this was noted"))
    instructions: str = field(default="", metadata=_help("instruction set of the kernels: avx512, avx2, plain, sm_90"))


@attrs.frozen
class AttackResult:
    """What one recovery attack of the audit found."""

    unit: str = field(metadata=_help("what effort is counted in, such as optimiser steps"))
    budget: int = field(metadata=_help("most effort that the attack was granted"), validator=ge(1))
    numbers: dict[str, float | None] = field(metadata=_help("headline numbers by name; null where there is none"))
    curve: tuple[tuple[float, ...], ...] = field(factory=tuple, metadata=_help(
        "pairs of the effort and the best similarity so far"))


@attrs.frozen
class Result:
    """One case. Similarities are the judge's, cosines in [-1, 1]; times in seconds; memory in bytes."""

    profile: str = field(validator=_name, metadata=_help(
        "which profile of the bench made it; run for an ordinary run"))
    method: str = field(validator=_name, metadata=_help("the method's registered name"))
    generator: str = field(validator=_name, metadata=_help("the generator's registered name"))
    scenario: str = field(validator=_name, metadata=_help("random, ind, ood, multi or another kind of people; runs"))
    identity: str = field(validator=_name, metadata=_help("who was erased"))
    seed: int = field(validator=ge(0), metadata=_help("start of every random number"))
    budget: Budget = field(metadata=_help("what every method was granted"))
    settings: dict[str, Any] = field(metadata=_help("complete settings; they replay the case"))
    versions: dict[str, str] = field(metadata=_help("versions of everything that can change a number"))
    hardware: Hardware = field(metadata=_help("what it ran on"))
    metrics: dict[str, float | None] = field(factory=dict, metadata=_help("numbers by name, see docs/metrics.md"))
    samples: dict[str, int] = field(factory=dict, metadata=_help(
        "how many pictures or pairs each estimate is made from"))
    numbers: dict[str, Number] = field(factory=dict, metadata=_help(
        "what the metrics declare of their numbers, by name; empty in files from before they did"))
    embedding: tuple[float, ...] | None = field(default=None, metadata=_help(
        "unit embedding, by the judge, of the face that replaced the person (from the front)"))
    audit: dict[str, AttackResult] | None = field(default=None, metadata=_help(
        "recovery attacks by name; null where none was made"))
    seconds: dict[str, float] = field(factory=dict, metadata=_help(
        "time of each phase: load, invert, target, unlearn, measure, audit"))
    peak_bytes: int | None = field(default=None, metadata=_help("most memory while unlearning"))
    peak_source: str = field(default="", metadata=_help("how peak_bytes was measured"))
    pictures: dict[str, str] = field(factory=dict, validator=_pictures, metadata=_help(
        "PNG files by what they show, relative to the folder of results"))
    error: str | None = field(default=None, metadata=_help(
        "why there are no numbers: one line; null if all went well"))
    format: str = field(default=FORMAT, validator=in_((FORMAT,)), metadata=_help("version of this record"))

    @property
    def id(self) -> str:
        """Names the case in its folder; none of the parts holds a dot. Runs that differ in any setting differ here."""
        case = f"{self.generator}.{self.scenario}.{self.method}.{self.identity}.{self.seed}"
        if self.profile != RUN:
            return case
        settings = json.dumps(self.settings, sort_keys=True, default=str)
        return f"{case}.{hashlib.sha256(settings.encode()).hexdigest()[:10]}"


def to_plain(result: Result) -> dict[str, Any]:
    """A result as JSON holds it."""
    return {**attrs.asdict(result), "numbers": numbers.to_plain(result.numbers)}


def from_plain(value: Any, where: str) -> Result:
    """A result from what JSON held, checked field by field; ``where`` names the file in the message.

    :raises RunError: naming the first field that is missing, unknown or of the wrong kind.
    """
    if not isinstance(value, dict):
        raise RunError(f"{where} is no result: it holds no table; make it again, or leave it out")
    if value.get("format") != FORMAT:
        raise RunError(f"{where} has format {value.get('format')!r}, and this version of unlearnkit reads {FORMAT!r}")
    try:
        return _CONVERTER.structure(value, Result)
    except Exception as error:  # cattrs raises groups of whatever went wrong
        raise RunError(f"{where} is damaged: {first_problem(error, 'result')}; make it again, or leave it out") \
            from error


def first_problem(error: BaseException, name: str) -> str:
    """One line about the first field that a converter of :func:`make_converter` refused; ``name``: of the record."""
    return " ".join(cattrs.transform_error(error, name, _words)[0].split())[:200]


def _words(error: BaseException, kind: type | None) -> str:
    """What is wrong with one field; the hooks below and attrs' validators say it themselves."""
    if type(error) is ValueError and error.args:
        return str(error.args[0])
    return format_exception(error, kind)


def _exactly(kind: type) -> Any:
    def check(value: Any, _: Any) -> Any:
        if type(value) is not kind:
            raise ValueError(f"got {value!r:.60}, expected {kind.__name__}")
        return value

    return check


def _number(value: Any, _: Any) -> float:
    if type(value) not in (int, float) or not math.isfinite(value):
        raise ValueError(f"got {value!r:.60}, expected a number")
    return float(value)


def _declarations(value: Any, _: Any) -> dict[str, Number]:
    try:
        return numbers.from_plain(value)
    except ConfigError as error:
        raise ValueError(str(error)) from error


def make_converter(forbid_extra_keys: bool = True) -> cattrs.Converter:
    """A converter that takes nothing for a number or text but numbers and texts."""
    converter = cattrs.Converter(forbid_extra_keys=forbid_extra_keys)
    for kind in (bool, int, str):  # bool is an int in Python, and cattrs would turn 1.5 into 1
        converter.register_structure_hook(kind, _exactly(kind))
    converter.register_structure_hook(float, _number)
    converter.register_structure_hook_func(lambda kind: kind == dict[str, Number], _declarations)
    return converter


_CONVERTER = make_converter()
