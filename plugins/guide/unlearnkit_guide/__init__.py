"""GUIDE (Seo et al., CVPR 2024, arXiv 2405.09879): un-identifying target (UFO) and latent target unlearning (LTU)."""

from unlearnkit.plugins import Register, hookimpl

# Where the released code departs from the paper: fresh noise in every rendering, and features from a separate forward
# pass. On EG3D also: ray samples are jittered anew in each rendering, and cameras look at the origin, because a
# misspelt key misses the checkpoint's pivot. Options that a generator does not have are dropped.
RELEASED = {
    "generator.noise": "random",
    "generator.feature_pass": "separate",
    "generator.jitter": "random",
    "generator.pivot": "origin",
}


@hookimpl
def unlearnkit_register_target_selectors(register: Register) -> None:
    register("ufo", "unlearnkit_guide.targets:Ufo",
             "UFO: extrapolates past the mean face, away from the person (GUIDE)")
    register("average", "unlearnkit_guide.targets:Average", "The mean face, for everyone (GUIDE's baseline)")


@hookimpl
def unlearnkit_register_losses(register: Register) -> None:
    register("guide-local", "unlearnkit_guide.losses:Local",
             "Local loss: the erased latent renders as its target (GUIDE)")
    register("guide-adjacency", "unlearnkit_guide.losses:Adjacency",
             "Adjacency loss: latents near the erased one render as shifted targets (GUIDE)")
    register("guide-global", "unlearnkit_guide.losses:Global",
             "Global loss: random latents keep their rendering (GUIDE)")


@hookimpl
def unlearnkit_register_methods(register: Register) -> None:
    register("guide", "unlearnkit_guide.method:Guide",
             "GUIDE as described in its paper (CVPR 2024), with constant noise")
    register("guide-released", "unlearnkit_guide.method:Guide",
             "GUIDE with every deviation of the released code that affects results", preset=RELEASED)
