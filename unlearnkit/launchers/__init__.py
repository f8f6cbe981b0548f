"""Where the jobs of a sweep are done: here, on a Ray cluster, by Slurm. A regular plugin. Imports no torch."""

from __future__ import annotations

from unlearnkit.plugins import Register, hookimpl


@hookimpl
def unlearnkit_register_launchers(register: Register) -> None:
    """Register the launchers that ship."""
    register("local", "unlearnkit.launchers.local:Local",
             "Processes on this machine, with its cores and GPUs shared out between them")
    register("ray", "unlearnkit.launchers.ray:Ray", "A Ray cluster; needs unlearnkit[ray]")
    register("slurm", "unlearnkit.launchers.slurm:Slurm", "Slurm, through submitit; needs unlearnkit[slurm]")
