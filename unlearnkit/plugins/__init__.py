"""Plugins: the hooks they implement, what they register, and the registry that finds them. Imports no torch."""

from unlearnkit.plugins.hookspecs import Register
from unlearnkit.plugins.manager import GROUP, Registry, hookimpl, registry, reset

__all__ = ["GROUP", "Register", "Registry", "hookimpl", "registry", "reset"]
