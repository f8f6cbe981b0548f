"""Settings: TOML files and ``--set`` on one side, attrs records on the other. Imports no torch.

* :mod:`unlearnkit.options`: one component and its options
* :mod:`unlearnkit.config.tables`: nested tables: read, write, merge, ``--set``
* :mod:`unlearnkit.config.settings`: the settings records, and which of them each command uses
* :mod:`unlearnkit.config.resolve`: the complete settings of a command, from user input, presets and defaults
"""

from unlearnkit.config.resolve import resolve
from unlearnkit.config.settings import (
    AUDIT,
    INVERT,
    MEASURE,
    RUN,
    SAMPLE,
    SECTIONS,
    Choice,
    PersonSettings,
    RequestSettings,
    Settings,
    Uses,
)
from unlearnkit.config.tables import merge, nest, parse_set, read_toml, write_toml
from unlearnkit.options import Option, build, describe, option

__all__ = [
    "AUDIT", "INVERT", "MEASURE", "RUN", "SAMPLE", "SECTIONS", "Choice", "Option", "PersonSettings", "RequestSettings",
    "Settings", "Uses", "build", "describe", "merge", "nest", "option", "parse_set", "read_toml", "resolve",
    "write_toml",
]
