"""Hashes of people's pictures that only the holder of a random key can compare. Imports no torch.

A plain SHA-256 of a photo identifies it: whoever has candidates, or a database of hashes, can look it up. With a key
that stays in the private run directory, a manifest that was passed on says nothing about the photo.
"""

from __future__ import annotations

import hmac
import secrets
from pathlib import Path

from unlearnkit.files.atomic import sha256_file

__all__ = ["keyed", "new_key", "picture_hash"]


def new_key() -> bytes:
    """A random key of 32 bytes."""
    return secrets.token_bytes(32)


def keyed(key: bytes, sha256: str) -> str:
    """HMAC-SHA256 of a file's SHA-256 (hexadecimal), in hexadecimal."""
    return hmac.digest(key, sha256.encode(), "sha256").hex()


def picture_hash(path: Path, key: bytes | None) -> str:
    """The keyed hash of a file; its plain SHA-256 without a key, as runs of older versions noted it."""
    sha256 = sha256_file(path)
    return sha256 if key is None else keyed(key, sha256)
