"""From a checkpoint that was read to an EG3D: checked in every size first, allocated afterwards."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from unlearnkit_stylegan2.loading import is_stylegan3
from unlearnkit_stylegan2.settings import Contradiction, Unsupported, check_sizes, read_settings

from unlearnkit.checkpoints import Checkpoint
from unlearnkit.errors import CheckpointError, ShapeError
from unlearnkit_eg3d.network import VARIANTS, TriPlaneGenerator, Variant
from unlearnkit_eg3d.volume import RenderSettings

__all__ = ["network_from_checkpoint", "pivot_of"]

MAX_SAMPLES = 512
MAX_SIDE = 512
MAX_NUMBER = 1e6
BACKBONE = "backbone."


def network_from_checkpoint(checkpoint: Checkpoint) -> TriPlaneGenerator:
    """Build the network of an EG3D file (float32, CPU, `eval()`) and load its weights strictly.

    How to render comes from the network's state (`rendering_kwargs`, `neural_rendering_resolution`), not from its
    constructor: published files were changed after they were made. Our own safetensors keep both in their metadata.

    :raises CheckpointError: if the file is no EG3D or contradicts itself; names the file and the reason.
    """
    if is_stylegan3(checkpoint):
        raise CheckpointError(f"{checkpoint.path}: is a StyleGAN3 generator, which is not supported; give an EG3D file")
    if not any(name.startswith(BACKBONE) for name in checkpoint.state):
        raise CheckpointError(f"{checkpoint.path}: is no EG3D generator (it has no backbone); "
                              "for a StyleGAN2 give --generator stylegan2")
    try:
        check_sizes(checkpoint.state)
        return _build(checkpoint)
    except (Contradiction, ShapeError) as found:
        advice = getattr(found, "advice", Contradiction.advice)
        raise CheckpointError(f"{checkpoint.path}: cannot be used as an EG3D generator: {found}; {advice}") from None


def pivot_of(checkpoint: Checkpoint) -> tuple[float, float, float]:
    """The point that the file's cameras look at.

    :raises CheckpointError: if the file says something else than three numbers.
    """
    pivot = _rendering(checkpoint).get("avg_camera_pivot", (0.0, 0.0, 0.0))
    try:
        x, y, z = (float(value) for value in pivot)
        if not all(abs(value) < MAX_NUMBER for value in (x, y, z)):  # also refuses nan
            raise ValueError
    except (TypeError, ValueError, OverflowError):
        raise CheckpointError(f"{checkpoint.path}: avg_camera_pivot is {pivot!r:.80}, expected three numbers") from None
    return x, y, z


def _rendering(checkpoint: Checkpoint) -> Mapping[str, Any]:
    found = checkpoint.attributes.get("rendering_kwargs") or checkpoint.init_kwargs.get("rendering_kwargs")
    if not isinstance(found, Mapping):
        raise CheckpointError(f"{checkpoint.path}: says nothing of how to render (rendering_kwargs); "
                              "give the original EG3D file")
    return found


def _build(checkpoint: Checkpoint) -> TriPlaneGenerator:
    rendering, kwargs, state = _rendering(checkpoint), checkpoint.init_kwargs, checkpoint.state
    backbone = {name.removeprefix(BACKBONE): value for name, value in state.items() if name.startswith(BACKBONE)}
    claims = {key: value for key, value in kwargs.items() if key not in ("img_resolution", "img_channels")}
    side = checkpoint.attributes.get("neural_rendering_resolution", kwargs.get("neural_rendering_resolution", 64))
    with torch.device("meta"):
        network = TriPlaneGenerator(
            backbone=read_settings(backbone, claims), variant=_variant(rendering, kwargs),
            settings=_render_settings(rendering),
            neural_resolution=_whole("neural_rendering_resolution", side, 4, MAX_SIDE),
            decoder_lr_multiplier=_number("decoder_lr_mul", rendering.get("decoder_lr_mul", 1.0)),
            sr_antialias=bool(rendering.get("sr_antialias", True)),
            sr_noise=str(rendering.get("superresolution_noise_mode", "none")),
            sr_clamp=256.0 if kwargs.get("sr_num_fp16_res", 0) else None,
            c_scale=_number("c_scale", rendering.get("c_scale", 0.0), zero=True),
            c_zero=bool(rendering.get("c_gen_conditioning_zero")),
        )
    expected = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    given = {name: tuple(value.shape) for name, value in state.items()}
    for name in sorted(expected.keys() | given.keys()):
        if expected.get(name) != given.get(name):
            raise Contradiction(f"tensor {name} is {given.get(name, 'missing')}, expected {expected.get(name, 'none')}")
        if not bool(state[name].isfinite().all()):
            raise Contradiction(f"tensor {name} has numbers that are not finite")
    network.load_state_dict({name: value.detach().float().clone() for name, value in state.items()}, assign=True)
    return network.eval()


def _variant(rendering: Mapping[str, Any], kwargs: Mapping[str, Any]) -> Variant:
    name = str(rendering.get("superresolution_module", "")).rpartition(".")[2]
    if name not in VARIANTS:
        raise Unsupported(f"its super-resolution is {name or 'not named'!r}; known are {', '.join(VARIANTS)}")
    variant = VARIANTS[name]
    return variant.scaled(_whole("img_resolution", kwargs.get("img_resolution", variant.resolutions[1]), 16, 1024))


def _render_settings(rendering: Mapping[str, Any]) -> RenderSettings:
    if rendering.get("clamp_mode", "softplus") != "softplus":
        raise Unsupported(f"its clamp_mode is {rendering['clamp_mode']!r}; only softplus is known")
    near, far = rendering.get("ray_start"), rendering.get("ray_end")
    boxed = near == far == "auto"
    settings = RenderSettings(
        coarse=_whole("depth_resolution", rendering.get("depth_resolution"), 4, MAX_SAMPLES),
        fine=_whole("depth_resolution_importance", rendering.get("depth_resolution_importance"), 0, MAX_SAMPLES),
        near=None if boxed else _number("ray_start", near), far=None if boxed else _number("ray_end", far),
        box_warp=_number("box_warp", rendering.get("box_warp")),
        disparity=bool(rendering.get("disparity_space_sampling")), white_back=bool(rendering.get("white_back")),
    )
    if settings.near is not None and settings.far is not None and settings.near >= settings.far:
        raise Contradiction(f"its rays begin at {settings.near} and end at {settings.far}")
    return settings


def _whole(name: str, value: Any, low: int, high: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise Contradiction(f"its setting {name} is {value!r}; expected a whole number from {low} to {high}")
    return value


def _number(name: str, value: Any, zero: bool = False) -> float:
    good = isinstance(value, (int, float)) and not isinstance(value, bool) and (0 < value < MAX_NUMBER)
    if not good and not (zero and value == 0):
        raise Contradiction(f"its setting {name} is {value!r:.40}; expected a positive number{' or 0' if zero else ''}")
    return float(value)
