"""Recovery attacks: how much effort does it take to recover an erased person? A regular plugin. Imports no torch.

:func:`unlearnkit.attacks.running.run_attacks` runs them in memory; ``unlearnkit audit RUN`` on a run directory.
"""

from __future__ import annotations

from unlearnkit.plugins import Register, hookimpl


@hookimpl
def unlearnkit_register_attacks(register: Register) -> None:
    """Register the built-in attacks."""
    register("reinversion-w", "unlearnkit.attacks.reinversion:ReinversionW",
             "Inverts the person's pictures into W of the edited generator")
    register("reinversion-w-plus", "unlearnkit.attacks.reinversion:ReinversionWPlus",
             "Inverts the person's pictures into W+ of the edited generator")
    register("neighbours", "unlearnkit.attacks.sampling:Neighbours",
             "Renders latents near the erased one and on lines from it to other people")
    register("relearning", "unlearnkit.attacks.relearning:Relearning",
             "Fine-tunes the edited generator on a few pictures of the person, against learning them from scratch")
    register("random-search", "unlearnkit.attacks.sampling:RandomSearch",
             "Samples random people from the edited generator until one resembles the person")
