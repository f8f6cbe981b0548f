"""Generators, identity encoder and perceptual trunk of random weights, as files in a folder, and a job of GUIDE's.

Sizes are what costs time, not what the weights say: so no download is needed.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models import vgg16
from unlearnkit_eg3d.generator import EG3D
from unlearnkit_eg3d.network import VARIANTS, TriPlaneGenerator
from unlearnkit_eg3d.volume import RenderSettings
from unlearnkit_faces.identity import ArcFace
from unlearnkit_faces.irse import ir_se50
from unlearnkit_faces.perceptual import LpipsVgg
from unlearnkit_guide.losses import Adjacency, Global, Local
from unlearnkit_guide.targets import Ufo
from unlearnkit_stylegan2.generator import StyleGAN2
from unlearnkit_stylegan2.network import Generator as StyleGAN2Network

from unlearnkit.checkpoints import write_tensors
from unlearnkit.interfaces import Generator, Job, Measures

__all__ = ["CPU", "EG3D_SIZES", "STYLEGAN2_SIZES", "job"]

CPU = torch.device("cpu")
STYLEGAN2_SIZES: Mapping[str, Mapping[str, int]] = {
    "full": {"img_resolution": 256, "channel_base": 16384, "channel_max": 512, "z_dim": 512},
    "small": {"img_resolution": 64, "channel_base": 1024, "channel_max": 64, "z_dim": 64},
}
"""Full: the widths of StyleGAN2-ADA's `paper256`."""
EG3D_SIZES: Mapping[str, Mapping[str, int]] = {
    "full": {"img_resolution": 512, "planes": 256, "channel_base": 32768, "channel_max": 512, "rays": 128,
             "samples": 48},
    "small": {"img_resolution": 64, "planes": 32, "channel_base": 1024, "channel_max": 32, "rays": 16, "samples": 12},
}
"""Full: FFHQ 512-128. ``rays`` a side, ``samples`` coarse and as many fine ones."""


def job(kind: str, size: str, folder: Path) -> Job:
    """One person to erase with GUIDE from a ``kind`` (`stylegan2`, `eg3d`) of ``size`` (`full`, `small`) on the CPU."""
    file = folder / f"{kind}-{size}.safetensors"
    generator: Generator
    if kind == "stylegan2":
        _write_stylegan2(file, **STYLEGAN2_SIZES[size])
        generator = StyleGAN2(checkpoint=file)
    else:
        _write_eg3d(file, **EG3D_SIZES[size])
        generator = EG3D(checkpoint=file)
    _write_measures(folder)
    measures = Measures(LpipsVgg(trunk=folder / "vgg16.pt"), ArcFace(weights=folder / "ir_se50.pt"))
    for component in (generator, measures.perceptual, measures.identity):
        component.prepare(CPU)
    sources = generator.sample_latents(1, torch.Generator().manual_seed(1))
    targets = Ufo().select(sources, generator, torch.Generator())
    losses = {"local": Local(), "adjacency": Adjacency(), "global": Global()}
    source = copy.deepcopy(generator)
    _move(generator)
    return Job(generator, source, sources, targets, losses, measures, torch.Generator().manual_seed(2), CPU)


def _move(generator: Generator) -> None:
    """As in the middle of a run: at its beginning both generators are the same, and what is kept costs nothing."""
    rng = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in generator.editable_parameters().values():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=rng))


def _write_stylegan2(file: Path, *, img_resolution: int, channel_base: int, channel_max: int, z_dim: int) -> None:
    torch.manual_seed(0)
    widths = {"channel_base": channel_base, "channel_max": channel_max, "conv_clamp": 256.0}
    sizes = {"z_dim": z_dim, "c_dim": 0, "w_dim": z_dim, "img_resolution": img_resolution}
    network = StyleGAN2Network(**sizes, **widths)  # type: ignore[arg-type]
    kwargs = sizes | {"img_channels": 3, "synthesis_kwargs": widths}
    _write(file, network, kwargs, "Generator")


def _write_eg3d(
    file: Path, *, img_resolution: int, planes: int, channel_base: int, channel_max: int, rays: int, samples: int,
) -> None:
    torch.manual_seed(0)
    module = "SuperresolutionHybrid8XDC"
    backbone = {"z_dim": 512, "c_dim": 25, "w_dim": 512, "img_resolution": planes, "num_layers": 2,
                "channel_base": channel_base, "channel_max": channel_max}
    network = TriPlaneGenerator(
        backbone=backbone, variant=VARIANTS[module].scaled(img_resolution), settings=RenderSettings(samples, samples),
        neural_resolution=rays, c_scale=1.0)
    rendering = {
        "superresolution_module": f"training.superresolution.{module}", "depth_resolution": samples,
        "depth_resolution_importance": samples, "ray_start": 2.25, "ray_end": 3.3, "box_warp": 1, "c_scale": 1.0,
        "avg_camera_pivot": [0, 0, 0.2], "avg_camera_radius": 2.7, "decoder_lr_mul": 1.0,
    }
    kwargs = {
        "z_dim": 512, "c_dim": 25, "w_dim": 512, "img_resolution": img_resolution, "img_channels": 3, "num_layers": 2,
        "sr_num_fp16_res": 4, "neural_rendering_resolution": rays, "rendering_kwargs": rendering,
    }
    _write(file, network, kwargs, "TriPlaneGenerator")


def _write(file: Path, network: nn.Module, kwargs: dict[str, Any], class_name: str) -> None:
    for name, parameter in network.named_parameters():
        if name.endswith("noise_strength"):
            nn.init.constant_(parameter, 0.05)  # 0, as it begins, would hide a mistake in the noise
    write_tensors(file, network.state_dict(), {"init_kwargs": json.dumps(kwargs), "class_name": class_name})


def _write_measures(folder: Path) -> None:
    """`vgg16.pt` and `ir_se50.pt`, unless they are there."""
    if (folder / "ir_se50.pt").exists():
        return
    torch.manual_seed(0)
    with torch.device("meta"):
        trunk = vgg16(weights=None).features  # its classifier, 120 million numbers, never exists
    trunk = trunk.to_empty(device="cpu")
    for layer in trunk:
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
            nn.init.normal_(layer.bias, std=0.05)  # type: ignore[arg-type]
    torch.save({f"features.{name}": value for name, value in trunk.state_dict().items()}, folder / "vgg16.pt")
    encoder = ir_se50().train()
    for module in encoder.modules():
        if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d)):
            module.momentum = None  # the plain mean of the batches
    # Statistics of some pictures: with those of a fresh network all pictures look alike to it, and 1 - cosine is noise.
    with torch.no_grad():
        encoder(_pictures(6))
    torch.save(encoder.state_dict(), folder / "ir_se50.pt")


def _pictures(count: int) -> Tensor:
    """Smooth random pictures ``(count, 3, 112, 112)``."""
    return F.interpolate(torch.randn(count, 3, 14, 14), (112, 112), mode="bilinear")
