"""A plugin that prints in every way there is, whenever it is called."""

import atexit
import ctypes
import os
from collections.abc import Mapping
from typing import Any

from unlearnkit.plugins import Register, hookimpl


def make_noise(where: str) -> None:
    """Print from Python, from C (buffered until the process ends), to the descriptor, and from a child process."""
    print(f"noise: print in {where}")
    ctypes.CDLL(None).printf(f"noise: C in {where}\n".encode())
    os.write(1, f"noise: descriptor in {where}\n".encode())
    os.system(f"echo noise: child in {where}")


make_noise("import")
atexit.register(make_noise, "exit")


@hookimpl
def unlearnkit_register_attacks(register: Register) -> None:
    make_noise("registration")
    register("noisy", "unlearnkit_noisy.attack:Noisy", "Prints, then looks at neighbours")


@hookimpl
def unlearnkit_defaults(settings: Mapping[str, Any]) -> None:
    make_noise("defaults")
