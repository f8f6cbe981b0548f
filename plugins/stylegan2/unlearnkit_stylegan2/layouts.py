"""The two ways in which StyleGAN2 weights are named, and the way from one to the other and back.

Our network has the names of NVIDIA's PyTorch releases. Files of the rosinality layout (pSp and e4e files hold
one too) name and shape the same numbers differently; :data:`ENTRIES` is the whole difference.
The kernels of both need no flip; the filters of rosinality files hold their gain of 4.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache

import attrs
from torch import Tensor

from unlearnkit.errors import CheckpointError

__all__ = ["ENTRIES", "Entry", "Layout", "layout_of"]

MAX_MAPPING_LAYERS = 32
FILTER_GAIN = 4.0
PREFIXES = ("", "decoder.", "g_ema.", "G_ema.")


@attrs.frozen
class Entry:
    """One tensor in both layouts: the rosinality one has ones around its shape and may have another scale."""

    rosinality: str
    nvidia: str
    lead: int = 0
    trail: int = 0
    gain: float = 1.0

    def to_nvidia(self, tensor: Tensor) -> Tensor:
        """Remove the ones around the shape, and the gain; a tensor of another shape stays as it is."""
        lead, end = self.lead, tensor.ndim - self.trail
        ones = (*tensor.shape[:lead], *tensor.shape[end:])
        if end >= lead and all(size == 1 for size in ones):
            tensor = tensor.reshape(tensor.shape[lead:end])
        return tensor if self.gain == 1.0 else tensor / self.gain

    def to_rosinality(self, tensor: Tensor) -> Tensor:
        """Undo :meth:`to_nvidia`."""
        tensor = tensor.reshape(*[1] * self.lead, *tensor.shape, *[1] * self.trail)
        return tensor if self.gain == 1.0 else tensor * self.gain


def _layer(rosinality: str, nvidia: str, noise: int) -> Iterator[Entry]:
    yield Entry(f"{rosinality}.conv.weight", f"{nvidia}.weight", lead=1)
    yield Entry(f"{rosinality}.conv.modulation.weight", f"{nvidia}.affine.weight")
    yield Entry(f"{rosinality}.conv.modulation.bias", f"{nvidia}.affine.bias")
    yield Entry(f"{rosinality}.noise.weight", f"{nvidia}.noise_strength", lead=1)
    yield Entry(f"{rosinality}.activate.bias", f"{nvidia}.bias")
    yield Entry(f"noises.noise_{noise}", f"{nvidia}.noise_const", lead=2)


def _to_rgb(rosinality: str, nvidia: str) -> Iterator[Entry]:
    yield Entry(f"{rosinality}.conv.weight", f"{nvidia}.weight", lead=1)
    yield Entry(f"{rosinality}.conv.modulation.weight", f"{nvidia}.affine.weight")
    yield Entry(f"{rosinality}.conv.modulation.bias", f"{nvidia}.affine.bias")
    yield Entry(f"{rosinality}.bias", f"{nvidia}.bias", lead=1, trail=2)


def _entries() -> Iterator[Entry]:
    for i in range(MAX_MAPPING_LAYERS):
        yield Entry(f"style.{i + 1}.weight", f"mapping.fc{i}.weight")
        yield Entry(f"style.{i + 1}.bias", f"mapping.fc{i}.bias")
    yield Entry("latent_avg", "mapping.w_avg")
    yield Entry("input.input", "synthesis.b4.const", lead=1)
    yield from _layer("conv1", "synthesis.b4.conv1", 0)
    yield from _to_rgb("to_rgb1", "synthesis.b4.torgb")
    for j in range(8):  # 8 to 1024 pixels
        block, first, second = f"synthesis.b{8 << j}", 2 * j, 2 * j + 1
        yield from _layer(f"convs.{first}", f"{block}.conv0", first + 1)
        yield from _layer(f"convs.{second}", f"{block}.conv1", second + 1)
        yield from _to_rgb(f"to_rgbs.{j}", f"{block}.torgb")
        yield Entry(f"convs.{first}.conv.blur.kernel", f"{block}.conv0.resample_filter", gain=FILTER_GAIN)
        yield Entry(f"to_rgbs.{j}.upsample.kernel", f"{block}.resample_filter", gain=FILTER_GAIN)


ENTRIES: tuple[Entry, ...] = tuple(_entries())
"""Every tensor that a rosinality generator of any published size can have."""


@cache
def _by_rosinality() -> dict[str, Entry]:
    return {entry.rosinality: entry for entry in ENTRIES}


@cache
def _by_nvidia() -> dict[str, Entry]:
    return {entry.nvidia: entry for entry in ENTRIES}


@attrs.frozen
class Layout:
    """How the tensors of one file are named and shaped.

    :param names: `nvidia` or `rosinality`.
    :param prefix: what stands before the names of the generator's tensors; other tensors are somebody else's.
    :param latent_rows: pSp and e4e store the mean latent once per row; None where it is a single row.
    """

    names: str
    prefix: str = ""
    latent_rows: int | None = None

    def to_network(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Name and shape the tensors of a file as the network does; unknown names are kept for a later check.

        :param state: tensors by their names in the file.
        :returns: tensors by the names of :class:`unlearnkit_stylegan2.network.Generator`.
        """
        own = {name.removeprefix(self.prefix): tensor for name, tensor in state.items()
               if name.startswith(self.prefix) or name == "latent_avg"}
        if self.names == "nvidia":
            return own
        entries, result = _by_rosinality(), {}
        for name, tensor in own.items():
            if name == "latent_avg" and self.latent_rows is not None:
                tensor = tensor[0]
            entry = entries.get(name)
            result[entry.nvidia if entry else name] = entry.to_nvidia(tensor) if entry else tensor
        return result

    def to_file(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Name and shape tensors of the network as the file does: the way back, for any subset of them.

        Filters that rosinality files do not hold are left out.

        :raises CheckpointError: for a tensor that has no place in the layout.
        """
        if self.names == "nvidia":
            return {self.prefix + name: tensor for name, tensor in tensors.items()}
        entries, result = _by_nvidia(), {}
        for name, tensor in tensors.items():
            entry = entries.get(name)
            if entry is None and not name.endswith(".resample_filter"):
                raise CheckpointError(f"tensor {name} has no place in a rosinality file; save as safetensors")
            if entry is None:
                continue
            if name == "mapping.w_avg":
                rows = self.latent_rows
                result["latent_avg"] = tensor if rows is None else tensor.expand(rows, -1).clone()
            else:
                result[self.prefix + entry.rosinality] = entry.to_rosinality(tensor)
        return result


def layout_of(state: Mapping[str, Tensor]) -> Layout | None:
    """Tell the layout of a file by the names in it; None if it is no StyleGAN2 generator."""
    for prefix in PREFIXES:
        if f"{prefix}synthesis.b4.const" in state and f"{prefix}mapping.fc0.weight" in state:
            return Layout("nvidia", prefix)
        if f"{prefix}input.input" in state and f"{prefix}style.1.weight" in state:
            mean = state.get("latent_avg")
            rows = mean.shape[0] if mean is not None and mean.ndim == 2 else 0
            return Layout("rosinality", prefix, rows or None)
    return None

