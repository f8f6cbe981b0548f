"""StyleGAN2 for unlearnkit: NVIDIA, rosinality, pSp and e4e files. Imports no torch."""

from __future__ import annotations

from unlearnkit.plugins import Register, hookimpl

__all__ = ["unlearnkit_register_generators"]


@hookimpl
def unlearnkit_register_generators(register: Register) -> None:
    """Register the generator `stylegan2`."""
    register(
        "stylegan2", "unlearnkit_stylegan2.generator:StyleGAN2",
        "StyleGAN2 and StyleGAN2-ADA, 8 to 1024 pixels (NVIDIA .pkl, rosinality/pSp/e4e .pt, safetensors)")
