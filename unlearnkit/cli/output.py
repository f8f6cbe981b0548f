"""Machine formats on standard output: one document, and nothing that anything else prints. Imports no torch.

A command that prints JSON or TOML does its work inside :func:`stdout_reserved` and prints the document behind it::

    with stdout_reserved():
        document = collect()
    print_json("show", document)
"""

from __future__ import annotations

import atexit
import contextlib
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import Any, TypeVar

import click

__all__ = ["json_option", "print_json", "stdout_reserved"]

Command = TypeVar("Command", bound=Callable[..., Any])
_STDOUT, _STDERR = 1, 2


def json_option(command: Command) -> Command:
    """Add ``--json``, which the command receives as ``as_json``."""
    text = "Print one JSON document to standard output; everything else goes to standard error."
    return click.option("--json", "as_json", is_flag=True, help=text)(command)


def print_json(name: str, document: Mapping[str, Any]) -> None:
    """Print a document, headed by its format: ``unlearnkit-NAME-1``. Its fields are listed in docs/json.md.

    :raises RunError: if it holds something other than plain values.
    """
    from unlearnkit.files.plain import json_bytes

    click.echo(json_bytes({"format": f"unlearnkit-{name}-1", **document}).decode(), nl=False)


@contextlib.contextmanager
def stdout_reserved(when: bool = True) -> Iterator[None]:
    """Send to standard error whatever is printed meanwhile: by ``print``, by C code and by child processes.

    What is printed behind the block reaches standard output as ever. ``when`` False changes nothing.
    """
    if not when:
        yield
        return
    _flush()
    saved = os.dup(_STDOUT)
    os.dup2(_STDERR, _STDOUT)
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    finally:
        _flush()
        os.dup2(saved, _STDOUT)
        os.close(saved)
        _reserve_at_exit()


def _flush() -> None:
    """Hand on what Python and C have buffered, before descriptor 1 becomes another file."""
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()
    with contextlib.suppress(OSError, TypeError, AttributeError):  # a system without a C library of that kind
        import ctypes

        ctypes.CDLL(None).fflush(None)


@cache
def _reserve_at_exit() -> None:
    # Exit handlers run last in, first out: this one runs before those that plugins registered during the block.
    atexit.register(os.dup2, _STDERR, _STDOUT)
