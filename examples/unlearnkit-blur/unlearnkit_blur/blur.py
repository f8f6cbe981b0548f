"""A loss, the method that minimises it, and a metric that says whether it worked."""

import attrs
import torch
from torch import Tensor, nn
from unlearnkit.config import option
from unlearnkit.engine import PairLoop
from unlearnkit.interfaces import About, Evidence, Loss, Measures, Metric, Number, Pairs, Rendering, Step


def blurred(images: Tensor) -> Tensor:
    """Images ``(N, 3, H, W)`` of which only 8 x 8 colours are left, with smooth transitions between them."""
    small = nn.functional.adaptive_avg_pool2d(images, min(8, images.shape[-1] // 2))
    return nn.functional.interpolate(small, images.shape[-2:], mode="bilinear")


@attrs.define(eq=False)
class Blur(Loss):
    """Where the frozen generator shows the erased person, the edited one shows a blurred picture of them."""

    weight: float = option(20.0, ge=0, help="weight of the mean absolute colour difference")

    def pairs(self, step: Step) -> Pairs:
        return step.pairs(step.erased, step.erased, constant=True)

    def terms(self, edited: Rendering, frozen: Rendering, measures: Measures) -> dict[str, Tensor]:
        return {"colour": (edited.image - blurred(frozen.image)).abs().mean((1, 2, 3))}

    def weights(self) -> dict[str, float]:
        return {"colour": self.weight}


@attrs.define(eq=False)
class BlurMethod(PairLoop):
    """The loss above, and GUIDE's loss that keeps random people as they are."""

    losses: tuple[str, ...] = option(("blur", "guide-global"), help="losses that are summed, by name")
    target: str | None = option(None, help="target selector, by name; a blur needs none")
    learning_rate: float = option(1e-3, gt=0, help="Adam's step size")


@attrs.define(eq=False)
class Detail(Metric):
    """Mean absolute difference between the erased person's picture and the same blurred: after, divided by before."""

    def numbers(self, about: About) -> tuple[Number, ...]:
        return (Number("blur_detail_left", "Erased person, fine detail left (1: all of it)", better="lower"),)

    def measure(self, evidence: Evidence) -> dict[str, float]:
        def detail(image: Tensor) -> float:
            return float((image - blurred(image)).abs().mean())

        with torch.no_grad():
            before, after = (made.render_front(evidence.request.erased) for made in (evidence.frozen, evidence.edited))
        return {"blur_detail_left": detail(after) / max(detail(before), 1e-6)}
