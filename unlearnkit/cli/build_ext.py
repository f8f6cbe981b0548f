"""``unlearnkit build-ext``: build the native kernels for this computer. Imports no torch."""

from __future__ import annotations

import click

from unlearnkit.cli.common import say_next


@click.command()
@click.option("--cuda", is_flag=True, help="Build the kernels for NVIDIA GPUs (needs nvcc) instead of the CPU's.")
@click.option("--arch", default="all-major", show_default=True, metavar="ARCH",
              help="With --cuda: nvcc's -arch, such as native (the GPU in this computer) or sm_90.")
@click.option("--force", is_flag=True, help="Build anew what is there already.")
def command(cuda: bool, arch: str, force: bool) -> None:
    """Build the native kernels and keep them in ~/.cache/unlearnkit.

    'pip install' has done so where it found a compiler; 'unlearnkit doctor' says which kernels are used. Needs g++ or
    clang++, and for --cuda nvcc; neither torch's nor Python's headers.
    """
    from unlearnkit import building

    made = building.build("cuda" if cuda else "cpu", building.cache_folder(), arch=arch, force=force)
    click.echo(f"built: {made}")
    say_next("unlearnkit", "doctor", note="what is used")
