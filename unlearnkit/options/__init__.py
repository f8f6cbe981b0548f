"""Component options: declaring, describing and building them. Imports no torch."""

from unlearnkit.options.fields import Option, build, complete, describe, option, unknown

__all__ = ["Option", "build", "complete", "describe", "option", "unknown"]
