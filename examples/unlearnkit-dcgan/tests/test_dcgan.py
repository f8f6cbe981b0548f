from pathlib import Path

import pytest
import torch
from unlearnkit.errors import CheckpointError
from unlearnkit.testing import Check, Subject, components_of, parametrize_with_checks
from unlearnkit_dcgan.generator import Dcgan, Network

TINY = Path(__file__).with_name("tiny.pt")  # made below, since nothing is downloaded here


def tiny() -> dict[str, str]:
    if not TINY.exists():
        torch.manual_seed(0)
        torch.save({"netG_state_dict": Network([6, 16, 8, 8, 3]).state_dict()}, TINY)
    return {"checkpoint": str(TINY)}


@parametrize_with_checks(components_of("dcgan", settings={("generator", "dcgan"): tiny}))
def test_conformance(component: Subject, check: Check) -> None:
    check(component)
