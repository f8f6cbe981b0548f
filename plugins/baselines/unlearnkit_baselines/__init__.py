"""Other methods than GUIDE, each as a small subclass of the pair loop: what GUIDE is compared with."""

from unlearnkit.plugins import Register, hookimpl


@hookimpl
def unlearnkit_register_target_selectors(register: Register) -> None:
    """Targets that methods here need."""
    register("sugar", "unlearnkit_baselines.sugar_target:SugarTarget", "A U-Net learns where each person goes (SUGAR)")


@hookimpl
def unlearnkit_register_losses(register: Register) -> None:
    """Losses that methods here add to those of GUIDE."""
    register("ascent", "unlearnkit_baselines.losses:Ascent", "The person looks less and less as before")
    register("random-face", "unlearnkit_baselines.losses:RandomFace", "The person looks like another face at each step")
    register("hinge", "unlearnkit_baselines.losses:Hinge", "Nobody looks more like the person than a threshold lets")
    register("fisher", "unlearnkit_baselines.fisher:Fisher",
             "Penalises moving parameters that images are sensitive to (EWC)")
    register("sugar-adjacency", "unlearnkit_baselines.sugar:SugarAdjacency",
             "Latents around the person show targets of their own (SUGAR)")
    register("sugar-ewc", "unlearnkit_baselines.sugar:SugarEwc",
             "Penalises moving parameters that features are sensitive to (SUGAR)")


@hookimpl
def unlearnkit_register_methods(register: Register) -> None:
    """The methods."""
    register("average-target", "unlearnkit_baselines.methods:AverageTarget",
             "The person becomes the mean face, nothing else is asked (GUIDE's baseline)")
    register("gradient-ascent", "unlearnkit_baselines.methods:GradientAscent",
             "Away from the person's looks, while random people stay")
    register("gradient-ascent-only", "unlearnkit_baselines.methods:GradientAscentOnly",
             "Away from the person's looks, and nothing holds the rest")
    register("random-target", "unlearnkit_baselines.methods:RandomTarget",
             "The person becomes another random face at each step (RMU)")
    register("ewc", "unlearnkit_baselines.methods:Ewc",
             "The person becomes the mean face, under elastic weight consolidation (Selective Amnesia)")
    register("projection-hinge", "unlearnkit_baselines.methods:ProjectionHinge",
             "Latents lose what they have of the person beyond a threshold (Moon et al.)")
    register("saliency", "unlearnkit_baselines.gradients:Saliency",
             "A random face, and only the parameters that forgetting pulls at move (SalUn)")
    register("gradient-surgery", "unlearnkit_baselines.gradients:GradientSurgery",
             "GUIDE, whose forgetting gradient gives way to the retaining one (DoCo, PCGrad)")
    register("legato", "unlearnkit_baselines.legato:Legato",
             "GUIDE's losses on neural-ODE adapters, with every weight frozen (LEGATO)")
    register("sugar", "unlearnkit_baselines.sugar:Sugar",
             "Several people, learned targets and elastic weights (SUGAR)")
    register("closed-form", "unlearnkit_baselines.closed_form:ClosedForm",
             "Style layers solved for in closed form, without any training (after UCE)")
