"""Recovery attacks: how much effort brings an erased person back? A plugin like any other. Imports no torch.

:func:`unlearnkit.attacks.running.run_attacks` runs them in memory; ``unlearnkit audit RUN`` on a run directory.
"""

from __future__ import annotations

from unlearnkit.plugins import Register, hookimpl


@hookimpl
def unlearnkit_register_attacks(register: Register) -> None:
    """Register the attacks that ship."""
    register("reinversion-w", "unlearnkit.attacks.reinversion:ReinversionW",
             "Search W of the edited generator for the erased pictures")
    register("reinversion-w-plus", "unlearnkit.attacks.reinversion:ReinversionWPlus",
             "Search W+ of the edited generator for the erased pictures")
    register("neighbours", "unlearnkit.attacks.sampling:Neighbours",
             "Try latents around the erased one, and on lines through it to other people")
    register("relearning", "unlearnkit.attacks.relearning:Relearning",
             "Fine-tune the edited generator on a few pictures; compare with a generator that never made the person")
    register("random-search", "unlearnkit.attacks.sampling:RandomSearch",
             "Draw random people until one looks like the person")
