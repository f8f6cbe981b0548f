"""Every error that unlearnkit raises on purpose: each says what was given, what was expected, what to do next."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = [
    "BuildError", "CheckpointError", "ConfigError", "EditError", "Interrupted",
    "NoFaceError", "PluginError", "RunError", "ShapeError",
    "UnlearnkitError", "nearest", "one_line",
]


class UnlearnkitError(Exception):
    """Base of all errors a user can cause or mend; the command line prints it as one line."""


class BuildError(UnlearnkitError, RuntimeError):
    """The native kernels cannot be built or loaded; unlearnkit works without them, more slowly."""


class CheckpointError(UnlearnkitError, ValueError):
    """A file of weights is missing, damaged, hostile, or of another kind than asked for."""


class ConfigError(UnlearnkitError, ValueError):
    """A setting has a name that does not exist or a value that is not allowed."""


class EditError(UnlearnkitError, ValueError):
    """An edit does not belong to the base it is put on, or its file is damaged."""


class Interrupted(UnlearnkitError):
    """The user or the system asked the program to stop; everything needed to go on has been saved."""


class NoFaceError(UnlearnkitError, ValueError):
    """A picture shows no face, or several, where exactly one is needed."""


class PluginError(UnlearnkitError, RuntimeError):
    """A plugin cannot be loaded, is registered twice, or is not known."""


class RunError(UnlearnkitError, RuntimeError):
    """A run directory cannot be made, continued or read."""


class ShapeError(UnlearnkitError, ValueError):
    """A tensor has another shape, type or range than the interface states."""


def nearest(name: str, known: Iterable[str]) -> str:
    """``" Did you mean 'a' or 'b'?"`` with the closest known names, or an empty string."""
    close = difflib.get_close_matches(name, list(known), n=3, cutoff=0.6)
    return f" Did you mean {' or '.join(repr(c) for c in close)}?" if close else ""


def one_line(error: BaseException) -> str:
    """``ImportError: no module named x``, whatever the exception printed."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
