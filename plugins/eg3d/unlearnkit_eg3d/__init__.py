"""EG3D, a 3D face generator: tri-planes, volume rendering, super-resolution. Imports no torch."""

from __future__ import annotations

from unlearnkit.plugins import Register, hookimpl


@hookimpl
def unlearnkit_register_generators(register: Register) -> None:
    """Register `eg3d`."""
    register("eg3d", "unlearnkit_eg3d.generator:EG3D", "EG3D: a camera decides the view (NVIDIA .pkl, safetensors)")
