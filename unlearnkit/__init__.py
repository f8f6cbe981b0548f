"""Make a pre-trained face generator forget a person, and prove it.

    import unlearnkit

    run = unlearnkit.unlearn(method="guide", generator="stylegan2")
    run.verdict, run.numbers, run.report

Importing this imports no torch: each name is loaded when it is first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from unlearnkit.workflows.api import Run, apply_edit, audit, invert, load_generator, unlearn

    __version__: str

__all__ = ["Run", "__version__", "apply_edit", "audit", "invert", "load_generator", "unlearn"]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("unlearnkit")
    if name in __all__:
        from unlearnkit.workflows import api

        return getattr(api, name)
    raise AttributeError(f"module 'unlearnkit' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
