"""Edits on edits: what lies below a run, by hash, and whom it erased. Importing this imports no torch.

An edit holds all that differs from the checkpoint, so the newest file is enough to make the generator; the hashes of
the edits below it say what it was made of. Whom they erased is known where the newest lies in its run directory.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs

from unlearnkit.errors import ConfigError, EditError, RunError, UnlearnkitError
from unlearnkit.files.atomic import sha256_file
from unlearnkit.files.keyed import keyed, picture_hash

__all__ = ["Chain", "Link", "edit_file", "erased_earlier", "links_of", "open_chain"]

EDIT, LATENTS = "edit.safetensors", "latents.safetensors"
_SHA256 = re.compile(r"[0-9a-f]{64}")


@attrs.frozen
class Link:
    """One earlier edit.

    * ``path``: where it lay; empty where nobody noted that
    * ``people``: whom it erased; None where that cannot be measured again
    * ``pictures``: a hash of each of their pictures, by path; see :mod:`unlearnkit.files.keyed`
    """

    sha256: str
    path: str
    people: tuple[str, ...] | None
    pictures: Mapping[str, str] = attrs.field(factory=dict)

    def table(self) -> dict[str, Any]:
        """As a manifest notes it."""
        people = None if self.people is None else list(self.people)
        return {"sha256": self.sha256, "path": self.path, "people": people, "pictures": dict(self.pictures)}


@attrs.frozen
class Chain:
    """What a run with ``base`` stands on: the newest earlier edit, and all edits in it, oldest first.

    ``latents`` is the file with everybody whom they erased; None where it is not there. ``key`` is what the hashes of
    their pictures were made with; None where these are plain, or the key is gone.
    """

    edit: Path
    metadata: Mapping[str, str]
    links: tuple[Link, ...]
    latents: Path | None
    key: bytes | None = None

    @property
    def hashes(self) -> list[str]:
        """SHA-256 of the edits, oldest first."""
        return [link.sha256 for link in self.links]

    def erased(self, picture: Path) -> bool:
        """True for a picture of somebody erased earlier, wherever it lies now.

        :raises RunError: if it cannot be read.
        """
        known = {noted for link in self.links for noted in link.pictures.values()}
        return bool(known) and picture_hash(picture, self.key) in known

    def tables(self, key: bytes) -> list[dict[str, Any]]:
        """The links as a manifest notes them whose run has this ``key``; plain hashes of older runs become keyed."""
        links = self.links if self.key is not None else [
            attrs.evolve(link, pictures={path: keyed(key, noted) for path, noted in link.pictures.items()})
            for link in self.links
        ]
        return [link.table() for link in links]


def edit_file(base: Path) -> Path:
    """The edit that ``base`` names: itself, or that of a run directory.

    :raises ConfigError: if there is none.
    """
    edit = base / EDIT if base.is_dir() else base
    if not edit.is_file():
        raise ConfigError(f"base: {edit} does not exist; give a finished run's folder, or an edit.safetensors")
    return edit


def open_chain(base: Path) -> Chain:
    """Read and check what a run stands on; no network is loaded.

    :raises ConfigError: if there is no edit; EditError: if it is none, or not the one that its run made;
        RunError: if its run is not finished.
    """
    from unlearnkit.edits.file import load_edit
    from unlearnkit.runs import Run
    from unlearnkit.runs.key import read_key

    edit = edit_file(base)
    metadata, sha256 = load_edit(edit)[1], sha256_file(edit)
    below = hashes_below(edit, metadata)
    if edit.name != EDIT or not (edit.parent / "manifest.json").is_file():
        links = [Link(known, "", None) for known in below]
        return Chain(edit, metadata, (*links, Link(sha256, str(edit), None)), None)
    links = links_of(edit.parent)
    if [link.sha256 for link in links] != [*below, sha256]:
        raise EditError(
            f"{edit} (SHA-256 {sha256[:16]}...) is not the edit that its run made ({links[-1].sha256[:16]}...), or "
            "stands on others than that run did; restore it, or start from another"
        )
    key = read_key(edit.parent)
    if not (edit.parent / LATENTS).is_file():
        return Chain(edit, metadata, tuple(attrs.evolve(link, people=None) for link in links), None, key)
    return Chain(edit, metadata, tuple(links), Run(edit.parent).checked(LATENTS), key)


def erased_earlier(base: Path | str | None) -> list[Path]:
    """Pictures of everybody whom ``base`` and the edits below it erased, as far as a run directory tells; no errors."""
    folder = None if base is None else Path(base) if Path(base).is_dir() else Path(base).parent
    try:
        links = [] if folder is None else links_of(folder)
    except UnlearnkitError:  # whoever starts the run will be told
        return []
    return [Path(picture) for link in links for picture in link.pictures]


def links_of(folder: Path) -> list[Link]:
    """The edits below a finished run, oldest first, and its own; from its manifest and settings alone.

    :raises RunError: if the run is not finished or its files are damaged.
    """
    from unlearnkit.runs import Run

    run = Run(folder)
    manifest, request = run.manifest, run.request
    if manifest["status"] != "finished":
        raise RunError(f"{folder} is not finished, so nothing can stand on it; first: unlearnkit run --resume {folder}")
    inputs = manifest["inputs"]
    pictures = {str(path): inputs[str(path)] for path in request.pictures if str(path) in inputs}
    own = manifest.get("edit") or sha256_file(folder / EDIT)
    path = str((folder / EDIT).absolute())
    return [*read_links(manifest), Link(own, path, tuple(request.names), pictures)]


def read_links(manifest: Mapping[str, Any]) -> list[Link]:
    """The earlier edits that a manifest notes, oldest first."""
    return [
        Link(entry["sha256"], entry["path"], None if entry["people"] is None else tuple(entry["people"]),
             entry["pictures"])
        for entry in manifest.get("chain", [])
    ]


def hashes_below(edit: Path, metadata: Mapping[str, str]) -> list[str]:
    """SHA-256 of the edits that an edit stands on, oldest first, from its metadata.

    :raises EditError: if they are damaged.
    """
    try:
        found = json.loads(metadata.get("chain", "[]"))
    except (ValueError, RecursionError) as error:
        raise EditError(f"{edit} is damaged: its chain is no list ({error}); restore it") from error
    last = found[-1] if isinstance(found, list) and found else ""
    good = isinstance(found, list) and all(isinstance(one, str) and _SHA256.fullmatch(one) for one in found)
    if not good or last != metadata.get("base_edit_sha256", ""):
        raise EditError(f"{edit} is damaged: its chain holds no hashes, or not that of the edit below; restore it")
    return found
