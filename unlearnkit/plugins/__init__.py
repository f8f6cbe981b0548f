"""Plugins: hook specifications, registrations, and the registry that discovers them. Imports no torch."""

from unlearnkit.plugins.hookspecs import Register, RegisterWeights
from unlearnkit.plugins.manager import GROUP, Registry, hookimpl, registry, reset

__all__ = ["GROUP", "Register", "RegisterWeights", "Registry", "hookimpl", "registry", "reset"]
