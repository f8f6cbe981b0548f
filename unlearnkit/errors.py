"""Every error that unlearnkit raises on purpose: each says what was given, what was expected, what to do next."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = [
    "BuildError", "CheckpointError", "ConfigError", "EditError", "Gather", "Interrupted", "Mistakes", "NoFaceError",
    "PluginError", "RunError", "ShapeError",
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


class Mistakes(ConfigError):
    """Several mistakes that were found together; ``problems`` are their sentences, one line each."""

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("; ".join(self.problems))


class Gather:
    """Catches the mistakes of one check after another, so that a user hears of all of them at once."""

    def __init__(self) -> None:
        self._errors: dict[str, UnlearnkitError] = {}

    def __enter__(self) -> Gather:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> bool:
        if not isinstance(error, UnlearnkitError):
            return False
        for text in error.problems if isinstance(error, Mistakes) else (str(error),):
            self._errors.setdefault(text, error)
        return True

    def __bool__(self) -> bool:
        return bool(self._errors)

    def add(self, text: str) -> None:
        """Note a mistake that no exception tells of."""
        self._errors.setdefault(text, ConfigError(text))

    def raise_any(self) -> None:
        """Raise what was caught: the error itself if it is the only one, else :class:`Mistakes`."""
        if len(self._errors) == 1:
            raise next(iter(self._errors.values()))
        if self._errors:
            raise Mistakes(self._errors)


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
