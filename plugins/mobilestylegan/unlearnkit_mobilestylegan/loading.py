"""From the constants of OpenVINO's files to a network: checked in every shape first, allocated afterwards."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from unlearnkit.errors import CheckpointError
from unlearnkit.streams import stream
from unlearnkit_mobilestylegan.network import MobileStyleGAN
from unlearnkit_mobilestylegan.openvino import Constant, read_constants

__all__ = ["network_of", "tensors_of_files"]

_W_AVG_SAMPLES = 4096
_NAMED = {
    "m.input.input": "synthesis.const", "m.conv1.bias": "synthesis.first.bias",
    "m.conv1.conv.modulation": "synthesis.first.style",
}
_IN_BLOCK = {
    "up.modulation": "up", "conv1.conv.modulation": "conv1.style", "conv2.conv.modulation": "conv2.style",
    "conv1.conv.weight_dw": "conv1.depthwise", "conv2.conv.weight_dw": "conv2.depthwise", "conv1.bias": "conv1.bias",
    "conv2.bias": "conv2.bias",
}
_TO_IMAGE = {"to_img.conv.modulation": "style", "to_img.conv.weight": "weight", "to_img.bias": "bias"}
_POINTWISE = re.compile(r"Mul_\d+_copy")


def tensors_of_files(mapping: tuple[Path, Path], synthesis: tuple[Path, Path]) -> dict[str, Tensor]:
    """The tensors of :class:`MobileStyleGAN` by name, from two pairs of XML and numbers; without ``mapping.w_avg``.

    :raises CheckpointError: if a file is damaged, or holds another network.
    """
    return _mapping(mapping[0], read_constants(*mapping)) | _synthesis(synthesis[0], read_constants(*synthesis))


def network_of(tensors: Mapping[str, Tensor], where: str, double: bool = False) -> MobileStyleGAN:
    """A network with exactly these tensors, in float32 (or float64) on the CPU; ``w_avg`` is estimated if missing.

    :raises CheckpointError: naming ``where`` and the first difference.
    """
    try:
        layers = sum(name.startswith("mapping.layers.") and name.endswith(".weight") for name in tensors)
        blocks = sum(bool(re.fullmatch(r"synthesis\.blocks\.\d+\.conv2\.weight", name)) for name in tensors)
        if not 0 < layers <= 32 or not 0 < blocks <= 8:
            raise KeyError("layers of mapping and synthesis")
        channels = (tensors["synthesis.const"].shape[0],
                    *(tensors[f"synthesis.blocks.{number}.conv2.weight"].shape[0] for number in range(blocks)))
        dim = tensors["synthesis.first.style.weight"].shape[1]
    except (KeyError, IndexError) as error:
        raise CheckpointError(f"{where}: is no MobileStyleGAN: it lacks {error}; give the package's files") from error
    with torch.device("meta"):
        network = MobileStyleGAN(layers, channels, dim)
    expected = network.state_dict()
    for name, like in expected.items():
        if name not in tensors and name != "mapping.w_avg":
            raise CheckpointError(f"{where}: is no MobileStyleGAN: it lacks {name}; give the files of the package")
        if name in tensors and tensors[name].shape != like.shape:
            raise CheckpointError(f"{where}: {name} has the shape {tuple(tensors[name].shape)}, expected "
                                  f"{tuple(like.shape)}; give the files of the package")
    dtype = torch.float64 if double else torch.float32
    state = {name: tensors[name].detach().to(dtype, copy=True).contiguous() if name in tensors
             else torch.zeros(like.shape, dtype=dtype) for name, like in expected.items()}
    network.load_state_dict(state, assign=True)
    network.eval().requires_grad_(False)
    if "mapping.w_avg" not in tensors:
        z = torch.randn(_W_AVG_SAMPLES, dim, generator=stream(0, "mobilestylegan/w-avg"))
        network.mapping.w_avg.copy_(network.mapping(z.to(dtype)).mean(0))
    return network


def _mapping(path: Path, constants: list[Constant]) -> dict[str, Tensor]:
    """Weights are the square matrices, biases the vectors of their size, in the order of the graph."""
    weights = [c.value for c in constants if c.value.ndim == 2 and c.value.shape[0] == c.value.shape[1] > 1]
    side = weights[0].shape[0] if weights else 0
    biases = [c.value for c in constants if c.value.shape == (side,) and side > 1]
    if not weights or len(weights) != len(biases):
        raise CheckpointError(f"{path}: is no mapping network: {len(weights)} matrices and {len(biases)} biases; give "
                              "the file of the package")
    found: dict[str, Tensor] = {}
    for number, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
        found |= {f"mapping.layers.{number}.weight": weight, f"mapping.layers.{number}.bias": bias}
    return found


def _synthesis(path: Path, constants: list[Constant]) -> dict[str, Tensor]:
    found: dict[str, Tensor] = {}
    convolutions, noises = [], []
    for constant in constants:
        value = constant.value
        name = _name(constant.name)
        if name is not None:
            found[name] = value
        elif _POINTWISE.fullmatch(constant.name) and value.ndim == 4:
            convolutions.append(value)
        elif value.ndim == 4 and value.shape[:2] == (1, 1) and value.shape[2] == value.shape[3] >= 4:
            noises.append(value[0, 0])
    last = max((int(name.split(".")[2]) for name in found if name.startswith("synthesis.blocks.")), default=-1)
    layers = ["first", *(f"blocks.{number}.conv{part}" for number in range(last + 1) for part in (1, 2))]
    if len(convolutions) != len(layers) or len(noises) != len(layers):
        raise CheckpointError(f"{path}: is no synthesis network of MobileStyleGAN: {len(convolutions)} convolutions "
                              f"and {len(noises)} noises for {len(layers)} layers; give the file of the package")
    for layer, weight, noise in zip(layers, convolutions, noises, strict=True):
        found |= {f"synthesis.{layer}.weight": weight, f"synthesis.{layer}.noise": noise}
    return {name: _bare(name, value) for name, value in found.items()}


def _name(name: str) -> str | None:
    """A name of the file as ours: ``m.layers.3.conv1.bias`` -> ``synthesis.blocks.3.conv1.bias``; None for the rest."""
    stem, ending = name, ""
    if ".modulation." in name:
        stem, _, ending = name.rpartition(".")
    if stem in _NAMED:
        return _NAMED[stem] + (f".{ending}" if ending else "")
    match = re.fullmatch(r"m\.layers\.(\d{1,2})\.(.+)", stem)
    if match is None:
        return None
    number, part = match[1], match[2]
    if part in _TO_IMAGE:
        return f"synthesis.to_image.{_TO_IMAGE[part]}" + (f".{ending}" if ending else "")
    if part in _IN_BLOCK:
        return f"synthesis.blocks.{number}.{_IN_BLOCK[part]}" + (f".{ending}" if ending else "")
    return None


def _bare(name: str, value: Tensor) -> Tensor:
    """Without the ones around the shape that the file has."""
    if name.endswith(".bias"):
        return value.flatten()
    if name.endswith(".depthwise") and value.ndim == 5:
        return value[:, 0]
    return value[0] if name == "synthesis.const" and value.ndim == 4 else value
