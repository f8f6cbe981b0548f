"""From a checkpoint that was read to a network: checked in every size first, allocated afterwards."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from unlearnkit.errors import CheckpointError
from unlearnkit.ops import fir_filter
from unlearnkit_stylegan2.layers import RESAMPLE_TAPS
from unlearnkit_stylegan2.layouts import layout_of
from unlearnkit_stylegan2.network import Generator, MappingNetwork
from unlearnkit_stylegan2.settings import Contradiction, Unsupported, check_sizes, read_settings

if TYPE_CHECKING:
    from unlearnkit.checkpoints import Checkpoint

__all__ = ["estimate_w_avg", "is_stylegan3", "network_from_checkpoint"]

ESTIMATE_SAMPLES = 10_000
OPTIONAL = ("noise_const", "resample_filter", "w_avg")


def network_from_checkpoint(checkpoint: Checkpoint) -> Generator:
    """Build the network of a StyleGAN2 file (float32, CPU, `eval()`) and load its weights strictly.

    Takes NVIDIA files of both eras, rosinality files, pSp and e4e files with such a decoder, and safetensors.
    Constant noise that old files lack is drawn with a fixed seed; a missing mean latent is estimated
    (see :func:`estimate_w_avg`).

    :raises CheckpointError: if the file is no StyleGAN2 generator, contradicts itself, or has numbers that
        are not finite; names the file, what was found and what to do.
    """
    layout = layout_of(checkpoint.state)
    if layout is None:
        raise CheckpointError(f"{checkpoint.path}: is no StyleGAN2 generator: {_describe(checkpoint)}")
    try:
        check_sizes(checkpoint.state)
        return _build(layout.to_network(checkpoint.state), checkpoint.init_kwargs)
    except Contradiction as found:
        raise CheckpointError(f"{checkpoint.path}: cannot be used as a StyleGAN2 generator: {found}; "
                              f"{found.advice}") from None


def _build(state: Mapping[str, Tensor], init_kwargs: Mapping[str, Any]) -> Generator:
    settings = read_settings(state, init_kwargs)
    if settings["img_channels"] != 3:
        raise Unsupported(f"it makes pictures of {settings['img_channels']} channels, not of 3")
    with torch.device("meta"):
        network = Generator(**settings)
    _check_against(network, state)
    _check_numbers(state)
    weights = {name: tensor.detach().to(torch.float32, memory_format=torch.contiguous_format, copy=True)
               for name, tensor in state.items()}
    network.load_state_dict(weights | _defaults(network, weights), assign=True)
    if "mapping.w_avg" not in weights:
        if network.c_dim > 0:
            raise Contradiction("its mean latent mapping.w_avg is missing")
        network.mapping.w_avg.copy_(estimate_w_avg(network.mapping))
    return network.eval()


def estimate_w_avg(mapping: MappingNetwork, samples: int = ESTIMATE_SAMPLES, seed: int = 0) -> Tensor:
    """Estimate the mean latent `(w_dim,)` from random z, as rosinality's training files need it.

    :param mapping: without conditioning.
    :param samples: how many z are mapped, at most 1000 at a time.
    """
    parameter = next(mapping.parameters())
    rng = torch.Generator().manual_seed(seed)
    total = torch.zeros(mapping.w_dim, dtype=torch.float64)
    with torch.no_grad():
        for start in range(0, samples, 1000):
            z = torch.randn(min(1000, samples - start), mapping.z_dim, generator=rng)
            total += mapping(z.to(parameter.device))[:, 0].sum(0).cpu().double()
    return (total / samples).to(parameter)


def _check_against(network: Generator, state: Mapping[str, Tensor]) -> None:
    expected = network.state_dict()
    missing = [name for name in expected if name not in state and not name.endswith(OPTIONAL)]
    if missing:
        raise Contradiction(f"it lacks {_some(missing)}")
    unknown = [name for name in state if name not in expected]
    if unknown:
        raise Unsupported(f"it has tensors that no StyleGAN2 of its kind has: {_some(unknown)}")
    for name, tensor in state.items():
        if tensor.shape != expected[name].shape:
            raise Contradiction(f"tensor {name} has the shape {tuple(tensor.shape)}, not "
                                f"{tuple(expected[name].shape)}")


def _check_numbers(state: Mapping[str, Tensor]) -> None:
    for name, tensor in state.items():
        if not tensor.is_floating_point():
            raise Contradiction(f"tensor {name} holds {tensor.dtype}, not floating-point numbers")
        if not bool(torch.isfinite(tensor).all()):
            raise Contradiction(f"tensor {name} has numbers that are not finite (NaN or infinity)")


def _defaults(network: Generator, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Make what files may lack: noise with a fixed seed, the filter, a mean latent of zeros."""
    rng = torch.Generator().manual_seed(0)
    filters = [tensor for name, tensor in weights.items() if name.endswith("resample_filter")]
    usual = filters[0] if filters else fir_filter(RESAMPLE_TAPS)
    result = {}
    for name, tensor in network.state_dict().items():
        if name in weights:
            continue
        if name.endswith("noise_const"):
            result[name] = torch.randn(tensor.shape, generator=rng)
        elif name.endswith("resample_filter"):
            result[name] = usual.clone()
        else:
            result[name] = torch.zeros(tensor.shape)
    return result


def is_stylegan3(checkpoint: Checkpoint) -> bool:
    """Whether a file holds a generator of StyleGAN3, whose synthesis begins with Fourier features."""
    return any(name.startswith("synthesis.input.") for name in checkpoint.state)


def _describe(checkpoint: Checkpoint) -> str:
    names = checkpoint.state.keys()
    if is_stylegan3(checkpoint):
        return "it is a StyleGAN3 generator, which is not supported; give a StyleGAN2 file"
    if checkpoint.class_name == "TriPlaneGenerator" or any(name.startswith("backbone.") for name in names):
        return "it is an EG3D generator; give --generator eg3d"
    if any(name.startswith("encoder.") for name in names):
        return "it holds an encoder and no decoder; give the file of the generator"
    kind = f"a {checkpoint.class_name} with " if checkpoint.class_name else ""
    return f"it holds {kind}{_some(list(names)) or 'no tensors'}; give a StyleGAN2 file"


def _some(names: Iterable[str], limit: int = 3) -> str:
    listed = [name if len(name) <= 60 else f"{name[:60]}..." for name in names]
    more = f" and {len(listed) - limit} more" if len(listed) > limit else ""
    return ", ".join(listed[:limit]) + more
