"""Fails when it is imported, as a plugin does whose dependency is missing."""

raise ImportError("this plugin\nis broken on purpose")
