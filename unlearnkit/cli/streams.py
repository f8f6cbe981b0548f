"""Standard output that any terminal, pipe or full disk may be: never a reason for work to be lost. Imports no torch."""

from __future__ import annotations

import codecs
import contextlib
import io
import os
import sys
from collections.abc import Iterator
from typing import Any, TextIO

from unlearnkit.errors import RunError

__all__ = ["Output", "steady_streams"]

_PLAIN = {"…": "...", "–": "-", "—": "-", "−": "-", "×": "x", "≥": ">=", "≤": "<=", "→": "->", "’": "'", "“": '"',
          "”": '"', "·": "*", "•": "*"}


class Output:
    """A text stream that outlives its reader: after the first error what is written goes nowhere, and work goes on.

    ``lost`` is that error. Everything else is the stream's own.
    """

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        self.lost: OSError | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)

    def write(self, text: str) -> int:
        """Write text, or nothing once the stream is lost."""
        with self._guarded():
            self.stream.write(text)
        return len(text)

    def flush(self) -> None:
        """Hand on what is buffered."""
        with self._guarded():
            self.stream.flush()

    @contextlib.contextmanager
    def _guarded(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self.lost = self.lost or error
            # What is buffered would fail again when Python ends.
            with contextlib.suppress(OSError, ValueError):
                null = os.open(os.devnull, os.O_WRONLY)
                os.dup2(null, self.stream.fileno())
                os.close(null)
                self.stream.flush()


@contextlib.contextmanager
def steady_streams() -> Iterator[None]:
    """Print in whatever encoding the terminal has, and go on where the reader of standard output went away.

    :raises RunError: at the end, if standard output could not be written for another reason, such as a full disk.
    """
    codecs.register_error("unlearnkit", _printable)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="unlearnkit")
    if sys.stdout is None:
        yield
        return
    before = sys.stdout
    output = Output(before)
    sys.stdout = output
    try:
        yield
    finally:
        output.flush()
        sys.stdout = before
    if output.lost is not None and not isinstance(output.lost, BrokenPipeError):
        raise RunError(f"standard output cannot be written ({output.lost.strerror}); what the command does is "
                       "done, only its words are lost: redirect them elsewhere")


def _printable(error: UnicodeError) -> tuple[str, int]:
    """What stands for characters that an encoding lacks: a plain likeness, or the number of the character."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    found = error.object[error.start : error.end]
    return "".join(_PLAIN.get(char) or _escaped(char) for char in found), error.end


def _escaped(char: str) -> str:
    code = ord(char)
    # Bytes of a path that is no UTF-8 come as 0xDC80 to 0xDCFF.
    return f"\\x{code - 0xDC00:02x}" if 0xDC80 <= code <= 0xDCFF else char.encode("ascii", "backslashreplace").decode()
