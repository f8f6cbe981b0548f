"""A plugin from outside: one component of several kinds. Imports no torch, so that --help stays fast."""

from unlearnkit.plugins import Register, hookimpl


@hookimpl
def unlearnkit_register_generators(register: Register) -> None:
    register("outside-toy", "unlearnkit_outside.generator:ToyGenerator", "Tiny generator, made from a seed")


@hookimpl
def unlearnkit_register_target_selectors(register: Register) -> None:
    register("outside-shift", "unlearnkit_outside.components:Shift", "Moves the latent by a fixed distance")


@hookimpl
def unlearnkit_register_losses(register: Register) -> None:
    register("outside-pixels", "unlearnkit_outside.components:Pixels", "Squared difference of pixels")


@hookimpl
def unlearnkit_register_methods(register: Register) -> None:
    register(
        "outside-nudge",
        "unlearnkit_outside.components:Nudge",
        "Nudges every parameter once",
        preset={"target.distance": 2.5, "generator.noise": "random"},
    )
