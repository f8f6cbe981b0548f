"""GUIDE's released program takes features from another pass than the picture; only random noise can tell."""

import torch
from unlearnkit_demo import CHECKPOINTS
from unlearnkit_stylegan2.generator import StyleGAN2


def features(feature_pass: str, strength: float) -> torch.Tensor:
    generator = StyleGAN2(checkpoint=CHECKPOINTS["stylegan2"], noise="random", feature_pass=feature_pass)
    generator.prepare(torch.device("cpu"))
    with torch.no_grad():
        for name, parameter in generator.module.named_parameters():
            if name.endswith("noise_strength"):
                parameter.fill_(strength)
        return generator.render(generator.w_avg[None], rng=torch.Generator().manual_seed(0)).features


def test_separate_pass_draws_its_own_noise():
    assert not torch.equal(features("same", 0.1), features("separate", 0.1))


def test_without_noise_the_passes_agree():
    assert torch.equal(features("same", 0.0), features("separate", 0.0))
