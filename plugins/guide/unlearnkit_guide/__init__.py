"""GUIDE (Seo et al., CVPR 2024, arXiv 2405.09879): un-identifying target (UFO) and latent target unlearning (LTU)."""

from unlearnkit.plugins import Register, hookimpl

# What the released program does and the paper does not ask for: fresh noise in every rendering, and features from
# another forward pass than the picture. On EG3D also: samples along rays drawn anew in each rendering, and cameras
# that look at the origin, because a misspelt key misses the file's pivot. A generator without such an option skips it.
RELEASED = {
    "generator.noise": "random",
    "generator.feature_pass": "separate",
    "generator.jitter": "random",
    "generator.pivot": "origin",
}


@hookimpl
def unlearnkit_register_target_selectors(register: Register) -> None:
    register("ufo", "unlearnkit_guide.targets:Ufo", "Extrapolates through the mean face to the other side (GUIDE)")
    register("average", "unlearnkit_guide.targets:Average", "The mean face, for everybody (GUIDE's baseline)")


@hookimpl
def unlearnkit_register_losses(register: Register) -> None:
    register("guide-local", "unlearnkit_guide.losses:Local", "The erased latent shows the target (GUIDE)")
    register("guide-adjacency", "unlearnkit_guide.losses:Adjacency", "So do the latents around it (GUIDE)")
    register("guide-global", "unlearnkit_guide.losses:Global", "Random latents stay as they are (GUIDE)")


@hookimpl
def unlearnkit_register_methods(register: Register) -> None:
    register("guide", "unlearnkit_guide.method:Guide", "GUIDE as its paper describes it, with constant noise")
    register("guide-released", "unlearnkit_guide.method:Guide",
             "GUIDE with every quirk of the released program that changes a number", preset=RELEASED)
