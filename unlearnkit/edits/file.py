"""Edits: only the tensors that a run changed, tied to their base by its hash; saved, loaded, put on the base."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import torch
from torch import Tensor

from unlearnkit import __version__
from unlearnkit.checkpoints import file_sha256, read_tensors, write_like, write_tensors
from unlearnkit.config import build
from unlearnkit.errors import CheckpointError, EditError, UnlearnkitError
from unlearnkit.interfaces import Generator
from unlearnkit.plugins import registry

if TYPE_CHECKING:
    from unlearnkit.edits.chain import Chain

__all__ = ["FORMAT", "apply_edit", "changed_tensors", "load_edit", "put_on", "save_edit"]

FORMAT = "unlearnkit-edit-1"
REQUIRED = ("format", "generator", "base_sha256", "base_format")


def changed_tensors(before: Generator, after: Generator) -> dict[str, Tensor]:
    """The tensors of ``after`` that are new or not bit for bit those of ``before``, by their name in the module."""
    old = before.module.state_dict()
    return {
        name: tensor.detach().cpu() for name, tensor in after.module.state_dict().items()
        if name not in old or not torch.equal(tensor, old[name])
    }


def save_edit(
    path: Path, before: Generator, after: Generator, generator_name: str, method: str,
    options: Mapping[str, Any] | None = None, original: Generator | None = None, chain: Chain | None = None,
) -> int:
    """Write what changed to a safetensors file; returns how many tensors that were.

    ``options`` of the method are noted where it added modules, so that they can be added again. If ``before`` is the
    checkpoint ``original`` with the edits of ``chain`` on it, the file holds all that differs from ``original``: the
    newest edit alone gives the newest generator.

    :raises EditError: if nothing changed, since such a file would promise an erasure that never happened.
    """
    new = changed_tensors(before, after)
    changed = new if original is None else changed_tensors(original, after)
    if not new or not changed:
        what = "the method changed nothing" if not new else "the method took back all that earlier edits had changed"
        raise EditError(f"{what}, so there is no edit to save; try more steps or another method")
    metadata = {
        "format": FORMAT, "generator": generator_name, "method": method, "base_sha256": before.base.sha256,
        "base_format": before.base.format, "base_name": before.base.path.name, "unlearnkit": __version__,
    }
    if not new.keys() <= before.module.state_dict().keys():
        metadata["adapters"] = json.dumps({"method": method, "options": dict(options or {})})
    elif chain is not None and "adapters" in chain.metadata:  # the modules of an earlier edit, which stay
        metadata["adapters"] = chain.metadata["adapters"]
    hashes = [] if chain is None else chain.hashes
    metadata |= {"base_edit_sha256": hashes[-1] if hashes else "", "chain": json.dumps(hashes)}
    write_tensors(path, changed, metadata)
    return len(changed)


def load_edit(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read an edit: its tensors and metadata (generator, method, base_sha256, ...).

    :raises EditError: if the file is no edit; CheckpointError if it cannot be read at all.
    """
    tensors, metadata = read_tensors(path)
    missing = [key for key in REQUIRED if key not in metadata]
    if metadata.get("format") != FORMAT or missing:
        raise EditError(
            f"{path} is no edit of unlearnkit (format {metadata.get('format')!r}, expected {FORMAT!r}); "
            "give the edit.safetensors of a run directory"
        )
    return tensors, metadata


def check_base(path: Path, metadata: Mapping[str, str], sha256: str, base: Path) -> None:
    """Refuse a base that the edit was not made for.

    :raises EditError: if the hashes differ.
    """
    if metadata["base_sha256"] != sha256:
        raise EditError(
            f"{path} was made for another base: {metadata.get('base_name', 'unknown')} with SHA-256 "
            f"{metadata['base_sha256'][:16]}..., but {base} has {sha256[:16]}...; give the file the run started from"
        )


def put_on(generator: Generator, path: Path) -> None:
    """Put an edit on a prepared generator, in place.

    :raises EditError: if it belongs to another base or names tensors that the generator does not have.
    """
    tensors, metadata = load_edit(path)
    check_base(path, metadata, generator.base.sha256, generator.base.path)
    if "adapters" in metadata and not tensors.keys() <= generator.module.state_dict().keys():
        _attach(generator, path, metadata)
    state = generator.module.state_dict()
    for name, tensor in tensors.items():
        if name not in state or state[name].shape != tensor.shape or state[name].dtype != tensor.dtype:
            raise EditError(
                f"{path}: tensor {name} {tuple(tensor.shape)} has no place in this generator, so the file is damaged; "
                "restore it"
            )
    with torch.no_grad():
        for name, tensor in tensors.items():
            state[name].copy_(tensor)


def _attach(generator: Generator, path: Path, metadata: Mapping[str, str]) -> None:
    """Let the method that made the edit add its modules; an installed method, by its name, never code from the file."""
    try:
        adapters = json.loads(metadata["adapters"])
        name, options = str(adapters["method"]), dict(adapters["options"])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise EditError(f"{path} is damaged: nobody can tell which adapters it holds ({error}); restore it") from error
    try:
        build(registry().component_class("method", name), options, "method").attach(generator)
    except UnlearnkitError as error:
        raise EditError(f"{path} holds modules of the method {name!r}, which cannot add them here: {error}") from error


def apply_edit(edit: Path, base: Path, out: Path) -> None:
    """Write ``base`` with the edit on it to ``out``, in the format that ``base`` has.

    An NVIDIA pickle stays one, byte for byte but for the changed tensors' data. Never overwrites a file.

    :raises EditError: for another base; CheckpointError: if a file cannot be read or written.
    """
    tensors, metadata = load_edit(edit)
    check_base(edit, metadata, file_sha256(base), base)
    if "adapters" in metadata:
        raise EditError(
            f"{edit} adds modules to the generator (method {metadata.get('method')!r}), which no checkpoint format can "
            "hold; use it as it is: unlearnkit sample --edit, or unlearnkit.edits.file.put_on in Python"
        )
    if out.exists():
        raise CheckpointError(f"{out} exists and is never overwritten; give another name with --out")
    cls = registry().component_class("generator", metadata["generator"])
    if "checkpoint" not in attrs.fields_dict(cls):
        raise EditError(f"generator {metadata['generator']!r} reads no checkpoint, so there is no file to write")
    generator = cls(checkpoint=base)
    generator.prepare(torch.device("cpu"))
    write_like(base, generator.file_tensors(tensors), out)
