"""An attack that prints."""

import attrs
import torch

from unlearnkit.attacks.sampling import Neighbours
from unlearnkit.interfaces import Case, Recovery
from unlearnkit_noisy import make_noise

make_noise("module")


@attrs.define(eq=False)
class Noisy(Neighbours):
    def prepare(self, device: torch.device) -> None:
        make_noise("prepare")

    def attack(self, case: Case) -> Recovery:
        make_noise("attack")
        return super().attack(case)
