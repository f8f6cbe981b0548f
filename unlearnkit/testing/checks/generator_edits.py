"""What a generator promises of its base and of edits: the hash, what is carried along, and the way into a file."""

from __future__ import annotations

import copy
import string
import tempfile
from pathlib import Path

import torch

from unlearnkit.checkpoints import file_sha256
from unlearnkit.edits.file import apply_edit, put_on, save_edit
from unlearnkit.errors import UnlearnkitError
from unlearnkit.interfaces import Generator
from unlearnkit.options import build, describe
from unlearnkit.testing.checks.generator import draw
from unlearnkit.testing.expect import NotApplicable, expect, same_bits
from unlearnkit.testing.subject import Subject
from unlearnkit.testing.world import random_latents


def check_base_is_known(subject: Subject) -> None:
    """``base`` names the file, its format and its SHA-256, by which an edit knows where it belongs."""
    base = subject.component.base
    expect(isinstance(base.path, Path), "base.path to be a Path", repr(base.path))
    expect(bool(base.format), "base.format to name a format", repr(base.format))
    digits = isinstance(base.sha256, str) and len(base.sha256) == 64 and set(base.sha256) <= set(string.hexdigits)
    expect(digits, "base.sha256 to have 64 hexadecimal digits", repr(base.sha256))
    if base.path.is_file():
        found = file_sha256(base.path)
        expect(base.sha256 == found, f"base.sha256 to be the SHA-256 of {base.path}, {found}", base.sha256)


def check_base_options_are_options(subject: Subject) -> None:
    """``base_options`` names options of the generator, which an edit then carries in their place."""
    known = [found.name for found in describe(subject.cls)]
    unknown = [name for name in subject.cls.base_options if name not in known]  # type: ignore[attr-defined]
    expect(not unknown, f"names of options ({', '.join(known) or 'it has none'})", ", ".join(unknown))


def check_an_edit_comes_back_to_the_bit(subject: Subject) -> None:
    """An edit that is saved and put on a fresh generator gives the edited one, to the bit."""
    frozen, fresh = subject.component, subject.fresh()
    edited = _edited(frozen)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "edit.safetensors"
        save_edit(path, frozen, edited, subject.name, "conformance")
        put_on(fresh, path)
    wrong = _differing(edited, fresh, 0.0)
    expect(not wrong, "the edited generator again", f"other numbers in {', '.join(wrong[:4])}")
    latents = random_latents(frozen, 1)
    same = same_bits(draw(edited, latents).image, draw(fresh, latents).image)
    expect(same, "the edited generator again", "another image (does it keep something that it made of its weights?)")


def check_an_edit_applies_to_its_file(subject: Subject) -> None:
    """``write_edited`` puts an edit on the file of ``base``; what it wrote is read as the edited generator."""
    frozen: Generator = subject.component
    if not frozen.base.path.is_file():
        return  # it reads no file, and unlearnkit apply says so
    edited = _edited(frozen)
    with tempfile.TemporaryDirectory() as folder:
        edit, out = Path(folder) / "edit.safetensors", Path(folder) / f"out{frozen.base.path.suffix}"
        save_edit(edit, frozen, edited, subject.name, "conformance")
        try:
            apply_edit(edit, frozen.base.path, out, subject.cls)
        except UnlearnkitError as error:
            expect(False, "an edited file (Generator.write_edited)", error)
        wrong = _differing(edited, _from_file(subject, frozen, out), 1e-6)
    expect(not wrong, "a file that is read as the edited generator", f"other numbers in {', '.join(wrong[:4])}")


# ---------------------------------------------------------------- how to edit

def _edited(frozen: Generator) -> Generator:
    """A copy whose editable parameters moved to multiples of 1/64, which float16 and bfloat16 hold as they are."""
    edited = copy.deepcopy(frozen)
    with torch.no_grad():
        for value in edited.editable_parameters().values():
            value.copy_(((value * 64).round().clamp(-64, 64) + 1) / 64)
    return edited


def _differing(wanted: Generator, found: Generator, tolerance: float) -> list[str]:
    """Names of the tensors that are not within ``tolerance`` of those that are wanted."""
    state, other = wanted.module.state_dict(), found.module.state_dict()
    return [name for name, value in state.items()
            if name not in other or other[name].shape != value.shape or
            not torch.allclose(value.float(), other[name].float(), rtol=tolerance, atol=tolerance)]


def _from_file(subject: Subject, frozen: Generator, file: Path) -> Generator:
    """The same generator read from another file, through the option (``checkpoint``) that names it."""
    for found in describe(subject.cls):
        value = getattr(frozen, found.name, None)
        if "path" not in found.type or value not in (None, frozen.base.path):
            continue
        made: Generator = build(subject.cls, {**subject.options(), found.name: str(file)}, subject.kind)
        made.prepare(torch.device("cpu"))
        if made.base.path == file:
            return made
    raise NotApplicable("it has no option that names the file it reads")
