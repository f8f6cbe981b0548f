"""Pages from Jinja templates, in one place: what a file or a user says is escaped on every page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jinja2

__all__ = ["fill"]

HERE = Path(__file__).parent
"""``base.html`` and ``style.css``: what all pages share."""


def fill(template: Path, **context: Any) -> str:
    """The page that a template makes of ``context``; it extends ``base.html``. A missing name is an error."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader([template.parent, HERE]), autoescape=True, undefined=jinja2.StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )
    return environment.get_template(template.name).render(context)
