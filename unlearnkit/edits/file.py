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
from unlearnkit.checkpoints import open_base, read_tensors, write_tensors
from unlearnkit.checkpoints.files import new_file
from unlearnkit.config.tables import merge
from unlearnkit.errors import EditError, PluginError, UnlearnkitError
from unlearnkit.files.atomic import PRIVATE, sha256_file
from unlearnkit.files.reading import read_file
from unlearnkit.interfaces import Generator
from unlearnkit.options import build, complete
from unlearnkit.plugins import registry

if TYPE_CHECKING:
    from unlearnkit.edits.chain import Chain

__all__ = [
    "FORMAT", "Applied", "apply_edit", "base_options", "changed_tensors", "check_has_file", "load_edit", "put_on",
    "save_edit", "with_base_options",
]

FORMAT = "unlearnkit-edit-1"
REQUIRED = ("format", "generator", "base_sha256", "base_format")
AS_IT_IS = "use it as it is: unlearnkit sample --edit, or unlearnkit.edits.file.put_on in Python"

SUFFIXES = {"pickle": (".pkl", ".pickle"), "torch": (".pt", ".pth", ".ckpt"), "safetensors": (".safetensors",)}
"""What the suffix of a name promises, by the container of the file; other suffixes promise nothing."""
FILES = {"pickle": "an NVIDIA pickle", "torch": "a file of torch.save", "safetensors": "a safetensors file"}


@attrs.frozen
class Applied:
    """What :func:`apply_edit` wrote.

    * ``tensors_changed``: how many
    * ``generator``: the name of the component that reads ``out``
    * ``rounded_back``: the share of their numbers, in [0, 1], that the base's precision (float16, bfloat16) rounds to
      what they were before the edit; where it is large, the file may show the erased person again
    """

    out: Path
    tensors_changed: int
    rounded_back: float
    generator: str


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
        "base_format": before.base.format, "base_name": before.base.path.name,
        "base_is_file": json.dumps(before.base.path.is_file()), "base_options": json.dumps(_own_options(before)),
        "unlearnkit": __version__,
    }
    if not new.keys() <= before.module.state_dict().keys():
        metadata["adapters"] = json.dumps({"method": method, "options": dict(options or {})})
    elif chain is not None and "adapters" in chain.metadata:  # the modules of an earlier edit, which stay
        metadata["adapters"] = chain.metadata["adapters"]
    hashes = [] if chain is None else chain.hashes
    metadata |= {"base_edit_sha256": hashes[-1] if hashes else "", "chain": json.dumps(hashes)}
    write_tensors(path, changed, metadata, mode=PRIVATE)
    return len(changed)


def _own_options(generator: Generator) -> dict[str, Any]:
    """The options of a generator that belong to its base, as plain values."""
    options = complete(type(generator), generator)
    return {name: options[name] for name in generator.base_options if name in options}


def base_options(metadata: Mapping[str, str]) -> dict[str, Any]:
    """The options of the generator that belong to the base of an edit (``{"label": 3}``), from the edit's metadata.

    Whoever builds the generator for this edit takes them where the user says nothing. They are names that the
    generator's class declares, and plain values that it has yet to accept.

    :raises EditError: if they are damaged; PluginError: if the generator is not installed.
    """
    try:
        found = json.loads(metadata.get("base_options", "{}"))
    except (ValueError, RecursionError) as error:
        raise EditError(f"the edit is damaged: its base_options are no JSON ({error}); restore it") from error
    cls: type[Generator] = registry().component_class("generator", metadata["generator"])
    if not isinstance(found, dict) or not found.keys() <= set(cls.base_options):
        raise EditError(
            "the edit is damaged, or made by another version of the plugin: its base_options are not those of "
            f"generator {metadata['generator']!r} ({', '.join(cls.base_options) or 'none'}); restore it, or update the "
            "plugin"
        )
    return found


def with_base_options(tables: Mapping[str, Any], edit: Path) -> dict[str, Any]:
    """Nested tables of settings with the generator of an edit and its :func:`base_options` below what they say.

    :raises EditError: if the file is no edit; see :func:`load_edit` and :func:`base_options`.
    """
    metadata = load_edit(edit)[1]
    if tables.get("generator", {}).get("name", metadata["generator"]) != metadata["generator"]:
        return dict(tables)  # for another generator, which put_on refuses
    return merge({"generator": {"name": metadata["generator"], **base_options(metadata)}}, tables)


def load_edit(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read an edit: its tensors and metadata (generator, method, base_sha256, ...).

    :raises EditError: if the file is no edit, or has numbers that are not finite; CheckpointError if it cannot be read
        at all.
    """
    _check_of_run(path)
    tensors, metadata = read_tensors(path)
    missing = [key for key in REQUIRED if key not in metadata]
    if metadata.get("format") != FORMAT or missing:
        raise EditError(
            f"{path} is no edit of unlearnkit (format {metadata.get('format')!r}, expected {FORMAT!r}); "
            "give the edit.safetensors of a run directory"
        )
    for name, tensor in tensors.items():
        if not bool(tensor.isfinite().all()):
            raise EditError(
                f"{path} is of no use: tensor {name!r} has numbers that are not finite (NaN or infinity), so its run "
                "diverged; start it again with smaller steps (--set method.learning_rate=...)"
            )
    return tensors, metadata


def _check_of_run(path: Path) -> None:
    """Refuse an edit in a run directory that its run did not make; a folder of another kind says nothing.

    :raises EditError: if the manifest notes another hash.
    """
    try:
        manifest = json.loads(read_file(path.parent / "manifest.json")) if path.name == "edit.safetensors" else None
    except (OSError, ValueError, RecursionError):
        return
    if not isinstance(manifest, dict) or manifest.get("status") != "finished":
        return
    noted = manifest.get("edit")
    if not isinstance(noted, str):
        return
    found = sha256_file(path)
    if found != noted:
        raise EditError(f"{path} (SHA-256 {found[:16]}...) is not the edit that its run made ({noted[:16]}...); "
                        "restore it, or start from another")


def check_base(path: Path, metadata: Mapping[str, str], sha256: str, base: Path) -> None:
    """Refuse a base that the edit was not made for.

    :raises EditError: if the hashes differ.
    """
    if metadata["base_sha256"] != sha256:
        raise EditError(
            f"{path} was made for another base: {metadata.get('base_name', 'unknown')!r} with SHA-256 "
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


def check_has_file(edit: Path, metadata: Mapping[str, str]) -> None:
    """Refuse an edit that no file can hold, before its base is looked at.

    :raises EditError: if it adds modules, or its generator was made without a file.
    """
    if "adapters" in metadata:
        raise EditError(
            f"{edit} adds modules to the generator (method {metadata.get('method')!r}), which no checkpoint format can "
            f"hold; {AS_IT_IS}"
        )
    if metadata.get("base_is_file") == "false":
        raise EditError(
            f"{edit} was made for {metadata.get('base_name', 'a network')!r}, which generator "
            f"{metadata['generator']!r} makes without a file, so there is none to write; {AS_IT_IS}"
        )


def check_name(out: Path, container: str | None) -> None:
    """Refuse a name whose suffix promises another format than the one that will be written.

    :raises EditError: naming the suffixes that fit.
    """
    promised = next((kind for kind, suffixes in SUFFIXES.items() if out.suffix.lower() in suffixes), None)
    if container is not None and promised not in (None, container):
        raise EditError(
            f"--out: {out} would be {FILES[container]}, as its base is, under the name of {FILES[promised or '']}; "
            f"name it {out.stem}{SUFFIXES[container][0]}"
        )


def apply_edit(edit: Path, base: Path | None, out: Path, generator: type[Generator] | None = None) -> Applied:
    """Write ``base`` with the edit on it to ``out``, in the format that ``base`` has; no network is built.

    An NVIDIA pickle stays one, byte for byte but for the changed tensors' data. Never overwrites a file. The class
    ``generator`` writes (:meth:`Generator.write_edited`): by default the one that is registered by the edit's name.

    :raises EditError: for another base or none, or an edit that no file can hold; CheckpointError: if a file cannot be
        read or written; PluginError: if the generator is not installed, or wrote nothing.
    """
    tensors, metadata = load_edit(edit)
    check_has_file(edit, metadata)
    if base is None:
        raise EditError(
            f"{edit} needs its base: give the file it was made for with --base, "
            f"{metadata.get('base_name', 'unknown')!r} with SHA-256 {metadata['base_sha256'][:16]}..."
        )
    cls: type[Generator] = generator or registry().component_class("generator", metadata["generator"])
    with open_base(base) as opened:
        check_base(edit, metadata, opened.sha256, base)
        check_name(out, opened.container)
        with new_file(out) as part:
            cls.write_edited(opened, tensors, part)
            if not part.is_file() or part.stat().st_size == 0:
                raise PluginError(f"{cls.__name__}.write_edited wrote nothing to the file it was given")
        return Applied(out, len(tensors), opened.rounded_back, metadata["generator"])
