"""The erased person becomes a blur. Imports no torch: a class is only named here, and imported when it is used."""

from unlearnkit.plugins import Register, hookimpl


@hookimpl
def unlearnkit_register_losses(register: Register) -> None:
    register("blur", "unlearnkit_blur.blur:Blur", "The erased person becomes a blur")


@hookimpl
def unlearnkit_register_methods(register: Register) -> None:
    register("blur", "unlearnkit_blur.blur:BlurMethod", "The erased person becomes a blur, nobody else changes")


@hookimpl
def unlearnkit_register_metrics(register: Register) -> None:
    register("blur", "unlearnkit_blur.blur:Detail", "How much fine detail is left of the erased person")
