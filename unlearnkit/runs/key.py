"""The random key of a run, ``inputs.key``: what the hashes of the person's pictures were made with."""

from __future__ import annotations

import re
from pathlib import Path

from unlearnkit.errors import RunError
from unlearnkit.files import atomic
from unlearnkit.files.reading import read_file

__all__ = ["KEY", "read_key"]

KEY = "inputs.key"
_HEX = re.compile(rb"[0-9a-f]{64}\s*")


def read_key(folder: Path) -> bytes | None:
    """The key of a run directory; None if it has none: an older run, or somebody removed it.

    :raises RunError: if it is damaged.
    """
    path = folder / KEY
    with atomic.plain_errors("read", path):
        try:
            text = read_file(path, 1024)
        except FileNotFoundError:
            return None
    if not _HEX.fullmatch(text):
        raise RunError(f"{path} is damaged: it holds no key of 64 hexadecimal digits; restore it, or remove it")
    return bytes.fromhex(text.decode())
