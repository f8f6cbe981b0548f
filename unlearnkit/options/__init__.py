"""The options of a component: how they are declared, described and filled in. Imports no torch."""

from unlearnkit.options.fields import Option, build, complete, describe, option, unknown

__all__ = ["Option", "build", "complete", "describe", "option", "unknown"]
