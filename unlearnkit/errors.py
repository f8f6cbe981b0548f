"""The exceptions of unlearnkit: each message says what was given, what was expected, and what to do next."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = [
    "BuildError", "CheckpointError", "ConfigError", "EditError", "Gather", "Interrupted", "Mistakes", "NoFaceError",
    "PluginError", "RunError", "ShapeError",
    "UnlearnkitError", "nearest", "one_line",
]


class UnlearnkitError(Exception):
    """Base of all errors that a user can cause or fix; the command line prints it as one line."""


class BuildError(UnlearnkitError, RuntimeError):
    """The native kernels cannot be built or loaded; unlearnkit works without them, more slowly."""


class CheckpointError(UnlearnkitError, ValueError):
    """A weight file is missing, damaged, malicious, or of another kind than requested."""


class ConfigError(UnlearnkitError, ValueError):
    """A setting has an unknown name or an invalid value."""


class EditError(UnlearnkitError, ValueError):
    """An edit does not belong to the base it is applied to, or its file is damaged."""


class Interrupted(UnlearnkitError):
    """The user or the system requested a stop; everything needed to resume has been saved."""


class Mistakes(ConfigError):
    """Several mistakes found together; ``problems`` are their messages, one line each."""

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("; ".join(self.problems))


class Gather:
    """Collects the errors of several checks, so that all of them are reported at once."""

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
        """Add a mistake that was not raised."""
        self._errors.setdefault(text, ConfigError(text))

    def raise_any(self) -> None:
        """Raise what was collected: the error itself if it is the only one, else :class:`Mistakes`."""
        if len(self._errors) == 1:
            raise next(iter(self._errors.values()))
        if self._errors:
            raise Mistakes(self._errors)


class NoFaceError(UnlearnkitError, ValueError):
    """A picture shows no face, or several, where exactly one is required."""


class PluginError(UnlearnkitError, RuntimeError):
    """A plugin cannot be loaded, or a component is registered twice or unknown."""


class RunError(UnlearnkitError, RuntimeError):
    """A run directory cannot be created, resumed or read."""


class ShapeError(UnlearnkitError, ValueError):
    """A tensor violates the shape, type or range that the interface states."""


def nearest(name: str, known: Iterable[str]) -> str:
    """``" Did you mean 'a' or 'b'?"`` with the closest known names, or an empty string."""
    close = difflib.get_close_matches(name, list(known), n=3, cutoff=0.6)
    return f" Did you mean {' or '.join(repr(c) for c in close)}?" if close else ""


def one_line(error: BaseException) -> str:
    """``ImportError: no module named x``, whatever the exception printed."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
