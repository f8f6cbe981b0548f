"""Settings: TOML files and ``--set`` on one side, attrs records on the other. Imports no torch.

* :mod:`unlearnkit.options`: one component and its options
* :mod:`unlearnkit.config.tables`: nested tables: read, write, merge, ``--set``
* :mod:`unlearnkit.config.resolve`: what a run will use, complete, from everything that has been said
"""

from unlearnkit.config.resolve import SECTIONS, resolve
from unlearnkit.config.tables import merge, nest, parse_set, read_toml, write_toml
from unlearnkit.options import Option, build, describe, option

__all__ = [
    "SECTIONS", "Option", "build", "describe", "merge", "nest", "option", "parse_set",
    "read_toml", "resolve", "write_toml",
]
