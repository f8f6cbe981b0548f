"""lethe, a method of our own: erases a person, and tries to erase those whom a search would find instead."""

from unlearnkit.plugins import Register, hookimpl


@hookimpl
def unlearnkit_register_target_selectors(register: Register) -> None:
    """Register the target selector of this method."""
    register("nearest-stranger", "unlearnkit_lethe.targets:NearestStranger",
             "The nearest face that the loss's encoder takes for somebody else (lethe)")


@hookimpl
def unlearnkit_register_losses(register: Register) -> None:
    """Register the three losses of this method."""
    register("lethe-erase", "unlearnkit_lethe.losses:Erase",
             "The person and latents near them render as a stranger, and are not recognised (lethe)")
    register("lethe-seek", "unlearnkit_lethe.losses:Seek",
             "Latents that are searched for the person meanwhile render as whom they were searched from (lethe)")
    register("lethe-keep", "unlearnkit_lethe.losses:Keep",
             "Random latents and mixtures of two keep their rendering and their identity (lethe)")


@hookimpl
def unlearnkit_register_methods(register: Register) -> None:
    """Register the method."""
    register("lethe", "unlearnkit_lethe.method:Lethe",
             "Ours, for research: erases latents on a search too; leaves a likeness; a search in W undoes it sooner")
