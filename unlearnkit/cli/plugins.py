"""``unlearnkit plugins``: what is installed, what it offers, and what is broken."""

from __future__ import annotations

import click


@click.command()
def command() -> None:
    """List plugins, what they register, and what is wrong with broken ones."""
    from rich.markup import escape

    from unlearnkit.cli.common import console, table
    from unlearnkit.plugins import registry

    found, out = registry(), console()
    for plugin in found.plugins:
        state = "" if plugin.error is None else " [disabled]" if plugin.disabled else " [broken]"
        out.print(escape(f"{plugin.name}  ({plugin.distribution} {plugin.version}){state}"), soft_wrap=True)
        if plugin.error:
            out.print(escape(f"  {plugin.error}"), soft_wrap=True)
        elif not plugin.registrations:
            out.print("  registers nothing")
        if plugin.registrations:
            rows = table("kind", "name", "description")
            for entry in plugin.registrations:
                rows.add_row(entry.kind, escape(entry.name), escape(entry.description))
            out.print(rows)
    for sentence in found.duplicates():
        out.print(escape(f"problem: {sentence}"), soft_wrap=True)
    if not found.plugins:
        out.print("no plugin is installed; reinstall unlearnkit, whose own parts are plugins")
