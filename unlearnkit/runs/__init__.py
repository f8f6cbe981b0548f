"""Run directories. Imports no torch."""

from unlearnkit.runs.directory import Run

__all__ = ["Run"]
