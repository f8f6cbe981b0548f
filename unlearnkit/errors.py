"""Every error that unlearnkit raises on purpose: each says what was given, what was expected, what to do next."""

__all__ = [
    "BuildError", "CheckpointError", "ConfigError", "EditError", "Interrupted",
    "NoFaceError", "PluginError", "RunError", "ShapeError",
    "UnlearnkitError",
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
