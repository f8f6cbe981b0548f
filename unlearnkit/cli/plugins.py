"""``unlearnkit plugins``: what is installed, what it offers, and what is broken. Imports no torch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from unlearnkit.cli.output import json_option, print_json, stdout_reserved

if TYPE_CHECKING:
    from unlearnkit.plugins import Registry
    from unlearnkit.plugins.registration import Plugin


@click.command()
@json_option
def command(as_json: bool) -> None:
    """List the installed plugins, what they register, and why broken ones are broken."""
    from unlearnkit.plugins import registry

    if as_json:
        with stdout_reserved():
            document = _document(registry())
        print_json("plugins", document)
    else:
        _show(registry())


def _document(found: Registry) -> dict[str, Any]:
    return {
        "plugins": [
            {
                "name": plugin.name, "distribution": plugin.distribution, "version": plugin.version,
                "state": _state(plugin), "error": plugin.error,
                "components": [
                    {"kind": entry.kind, "name": entry.name, "description": entry.description, "path": entry.path}
                    for entry in plugin.registrations
                ],
            }
            for plugin in found.plugins
        ],
        "problems": list(found.duplicates()),
    }


def _state(plugin: Plugin) -> str:
    return "loaded" if plugin.error is None else "disabled" if plugin.disabled else "broken"


def _show(found: Registry) -> None:
    from rich.markup import escape

    from unlearnkit.cli.common import console, table

    out = console()
    for plugin in found.plugins:
        state = "" if plugin.error is None else f" [{_state(plugin)}]"
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
