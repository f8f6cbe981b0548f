"""Baselines to compare GUIDE with, most of them small subclasses of the pair loop."""

from unlearnkit.plugins import Register, hookimpl


@hookimpl
def unlearnkit_register_target_selectors(register: Register) -> None:
    """Register the target selectors of these methods."""
    register("sugar", "unlearnkit_baselines.sugar_target:SugarTarget", "A U-Net learns each person's target (SUGAR)")


@hookimpl
def unlearnkit_register_losses(register: Register) -> None:
    """Register the losses that these methods add to GUIDE's."""
    register("ascent", "unlearnkit_baselines.losses:Ascent",
             "Gradient ascent: minimises identity and feature similarity to the original face")
    register("random-face", "unlearnkit_baselines.losses:RandomFace",
             "Relabelling: the person is pulled towards a new random face at each step")
    register("hinge", "unlearnkit_baselines.losses:Hinge",
             "Clips each latent's component along the person's direction at a threshold (Moon et al., AAAI 2024)")
    register("fisher", "unlearnkit_baselines.fisher:Fisher",
             "Elastic weight consolidation: penalises moving parameters that images are sensitive to (EWC)")
    register("sugar-adjacency", "unlearnkit_baselines.sugar:SugarAdjacency",
             "Adjacency loss in which each neighbour has its own learned target (SUGAR)")
    register("sugar-ewc", "unlearnkit_baselines.sugar:SugarEwc",
             "Elastic weight consolidation: penalises moving parameters that features are sensitive to (SUGAR)")


@hookimpl
def unlearnkit_register_methods(register: Register) -> None:
    """Register the methods."""
    register("average-target", "unlearnkit_baselines.methods:AverageTarget",
             "Maps the person to the mean face, without any retain loss (GUIDE's baseline)")
    register("gradient-ascent", "unlearnkit_baselines.methods:GradientAscent",
             "Gradient ascent on the person's likeness, with a retain loss on random faces")
    register("gradient-ascent-only", "unlearnkit_baselines.methods:GradientAscentOnly",
             "Gradient ascent on the person's likeness, without any retain loss")
    register("random-target", "unlearnkit_baselines.methods:RandomTarget",
             "Pulls the person towards a new random face at each step (GED-Unlearning's RMU)")
    register("ewc", "unlearnkit_baselines.methods:Ewc",
             "Maps the person to the mean face under elastic weight consolidation (Selective Amnesia, NeurIPS 2023)")
    register("projection-hinge", "unlearnkit_baselines.methods:ProjectionHinge",
             "Removes each latent's component along the person's direction above a threshold (Moon et al., AAAI 2024)")
    register("saliency", "unlearnkit_baselines.gradients:Saliency",
             "Random relabelling restricted to the parameters with the largest forget gradients (SalUn, ICLR 2024)")
    register("gradient-surgery", "unlearnkit_baselines.gradients:GradientSurgery",
             "GUIDE with the forget gradient projected off the retain gradient where they conflict (DoCo, PCGrad)")
    register("legato", "unlearnkit_baselines.legato:Legato",
             "GUIDE's losses on neural-ODE adapters, with all generator weights frozen (LEGATO)")
    register("sugar", "unlearnkit_baselines.sugar:Sugar",
             "Several people at once: learned targets and elastic weight consolidation (SUGAR, WACV 2026)")
    register("closed-form", "unlearnkit_baselines.closed_form:ClosedForm",
             "Closed-form least-squares edit of the style layers, without training (after UCE, WACV 2024)")
