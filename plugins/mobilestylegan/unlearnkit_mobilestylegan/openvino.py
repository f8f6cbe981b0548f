"""The numbers in a network of OpenVINO (IR version 10): an XML file that says where they are, a file that holds them.

Nothing in either is code, and of the graph only its constants are read. Both are strangers' files: the XML may declare
no entities and is bounded in size, and a constant is read only from inside the other file, at the size of its shape.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import attrs
import torch
from torch import Tensor

from unlearnkit.errors import CheckpointError
from unlearnkit.files.reading import read_file

__all__ = ["Constant", "read_constants"]

_LARGEST_XML = 16 * 2**20
_LARGEST_NUMBERS = 2**30
_MOST_NUMBERS = 2**28
_DIMENSIONS = 8


@attrs.frozen(eq=False)
class Constant:
    """One float32 constant of the graph: its name, which may be empty or made up, and its numbers."""

    name: str
    value: Tensor


def read_constants(graph: Path, numbers: Path) -> list[Constant]:
    """All float32 constants of a network, in the order of its graph.

    :raises CheckpointError: if a file cannot be read, or contradicts itself or the other one.
    """
    text, data = _read(graph, _LARGEST_XML), _read(numbers, _LARGEST_NUMBERS)
    if b"<!DOCTYPE" in text or b"<!ENTITY" in text:
        raise CheckpointError(f"{graph}: declares entities, which no network of OpenVINO does; get the file again")
    try:
        root = ElementTree.fromstring(text)
    except (ElementTree.ParseError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{graph}: is no XML, or damaged: {error}; get the file again") from error
    if root.tag != "net" or root.get("version") != "10":
        raise CheckpointError(f"{graph}: is no network of OpenVINO, version 10 (<{root.tag[:40]}> of version "
                              f"{str(root.get('version'))[:20]}); give the file of the package")
    found = list(_constants(graph, root, data))
    if sum(constant.value.numel() for constant in found) > _MOST_NUMBERS:
        raise CheckpointError(f"{graph}: names more numbers than any network of its kind has; get the file again")
    return found


def _read(path: Path, most: int) -> bytes:
    try:
        return read_file(path, most)
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path}: cannot be read: {error}; get the file again") from error


def _constants(graph: Path, root: ElementTree.Element, data: bytes) -> Iterator[Constant]:
    total = 0
    for layer in root.iterfind("layers/layer"):
        if layer.get("type") != "Const":
            continue
        given = layer.find("data")
        if given is None or given.get("element_type") != "f32":
            continue
        name = str(layer.get("name") or "")
        try:
            shape = [int(part) for part in (given.get("shape") or "").split(",") if part.strip()]
            offset, size = int(given.get("offset", "")), int(given.get("size", ""))
        except ValueError:
            raise CheckpointError(f"{graph}: constant {name[:60]!r} has a place that is no number; get it again") \
                from None
        sane = len(shape) <= _DIMENSIONS and all(0 < side <= _MOST_NUMBERS for side in shape)
        if not sane or size != 4 * math.prod(shape) or not 0 <= offset <= len(data) - size:
            raise CheckpointError(f"{graph}: constant {name[:60]!r} of shape {shape[:_DIMENSIONS]} does not lie inside "
                                  f"the {len(data)} bytes of the other file; get both again")
        total += size
        if total > 2 * len(data) + 2**20:  # constants may share numbers, but not without end
            raise CheckpointError(f"{graph}: names the same numbers over and over; get the file again")
        value = torch.frombuffer(bytearray(data[offset : offset + size]), dtype=torch.float32).reshape(shape)
        if not bool(value.isfinite().all()):
            raise CheckpointError(f"{graph}: constant {name[:60]!r} has numbers that are not finite; get it again")
        yield Constant(name, value)
