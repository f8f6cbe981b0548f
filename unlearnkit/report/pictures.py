"""Pictures of a run: ``images/*.png`` and ``images/index.json``, which says what each one shows."""

from __future__ import annotations

import io
import re
from collections.abc import Iterable
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

import attrs

from unlearnkit.errors import RunError, ShapeError

if TYPE_CHECKING:
    from torch import Tensor

    from unlearnkit.runs import Run

__all__ = ["GROUPS", "ROLES", "Picture", "load_images", "png", "save_images"]

GROUPS = ("erased", "others", "earlier", "shape", "bystanders", "neighbours", "random")
ROLES = ("picture", "before", "then", "target", "after")
_INDEX = "images/index.json"
_KEYS = {"group": str, "person": str, "index": int, "role": str, "file": str}


@attrs.frozen(eq=False)
class Picture:
    """One picture to save.

    * ``image`` ``(3, H, W)`` in [-1, 1]; what lies outside is clipped
    * ``group``: one of :data:`GROUPS`; ``role``: one of :data:`ROLES`
    * ``index``: which latent of the person; pictures with one group, person and index are shown together
    * ``similarity``: the judge's similarity to the picture's reference, or None
    """

    group: str = attrs.field(validator=attrs.validators.in_(GROUPS))
    person: str
    index: int
    role: str = attrs.field(validator=attrs.validators.in_(ROLES))
    image: Tensor
    similarity: float | None = None


def save_images(run: Run, entries: Iterable[Picture]) -> None:
    """Write each picture as an 8-bit PNG, then the index of them all, which replaces an earlier one."""
    index: list[dict[str, Any]] = []
    taken: set[str] = set()
    for entry in entries:
        name = _file_name(entry, taken)
        run.write_bytes(name, png(entry.image))
        index.append({
            "group": entry.group, "person": entry.person, "index": entry.index, "role": entry.role,
            "file": name, "similarity": None if entry.similarity is None else float(entry.similarity),
        })
    run.write_json(_INDEX, index)


def load_images(run: Run) -> list[dict[str, Any]]:
    """The index of a run's pictures, checked; empty if it has none."""
    index = run.read_json(_INDEX)
    if index is None:
        return []
    path = run.path / _INDEX
    if not isinstance(index, list):
        raise RunError(f"{path} is damaged: it holds no list; start a new run, or restore it")
    for number, entry in enumerate(index):
        if not _valid(entry):
            raise RunError(f"{path} is damaged in entry {number}; start a new run, or restore it")
        if not (run.path / entry["file"]).is_file():
            raise RunError(f"{run.path / entry['file']} is missing, and {path} names it; restore it")
    return index


def _valid(entry: Any) -> bool:
    if not isinstance(entry, dict) or any(type(entry.get(key)) is not kind for key, kind in _KEYS.items()):
        return False
    file = PurePosixPath(entry["file"])
    inside = file.parts[:1] == ("images",) and ".." not in file.parts and file.suffix == ".png"
    number = entry.get("similarity") is None or isinstance(entry["similarity"], int | float)
    return inside and number and entry["group"] in GROUPS and entry["role"] in ROLES


def _file_name(entry: Picture, taken: set[str]) -> str:
    person = re.sub(r"[^a-z0-9]+", "-", entry.person.lower()).strip("-")[:60] or "person"
    stem = f"{entry.group}-{person}-{entry.index}-{entry.role}"
    name, number = f"images/{stem}.png", 2
    while name in taken:
        name, number = f"images/{stem}-{number}.png", number + 1
    taken.add(name)
    return name


def png(image: Tensor) -> bytes:
    """An image ``(3, H, W)`` in [-1, 1], clipped, as an 8-bit PNG."""
    from PIL import Image

    if image.ndim != 3 or len(image) != 3:
        raise ShapeError(f"a picture to save has shape (3, H, W); got {tuple(image.shape)}")
    pixels = image.detach().float().cpu().nan_to_num().add(1).mul(127.5).round().clamp(0, 255).byte()
    buffer = io.BytesIO()
    Image.fromarray(pixels.permute(1, 2, 0).numpy()).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()
