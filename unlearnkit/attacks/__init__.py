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
    register("read-difference", "unlearnkit.attacks.difference:ReadDifference",
             "Reads the person's direction out of the difference of edit and base; needs no photo")
    register("difference-search", "unlearnkit.attacks.difference:DifferenceSearch",
             "Searches W for where edit and base differ most in identity; needs no photo")
    register("mixtures", "unlearnkit.attacks.mixing:Mixtures",
             "Mixes the weights of edit and base, and swaps parts of them")
    register("rounding", "unlearnkit.attacks.mixing:Rounding",
             "Rounds the edited weights to 16, 8 and 4 bits, and prunes them")
    register("benign-relearning", "unlearnkit.attacks.finetuning:BenignRelearning",
             "Fine-tunes the edited generator on other people alone")
    register("relearning-grid", "unlearnkit.attacks.finetuning:RelearningGrid",
             "Relearning over a grid of settings, the worst for the edit reported")
    register("reinversion-bounded", "unlearnkit.attacks.bounded:ReinversionBounded",
             "Re-inversion into W+ among likely latents alone, by the radius that it needs")
    register("membership", "unlearnkit.attacks.membership:Membership",
             "Names whom of many people the edit changed most, from a photo of each")
