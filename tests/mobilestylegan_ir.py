"""Small files of OpenVINO with the constants of a MobileStyleGAN of random weights."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from pathlib import Path
from xml.sax.saxutils import quoteattr

import torch
from torch import Tensor
from unlearnkit_mobilestylegan.network import MobileStyleGAN

CHANNELS, DIM, LAYERS = (8, 8, 8, 8), 16, 2
"""A network of 64 pixels and 11 rows."""
_BACK = {
    "up.": "up.modulation.", "conv1.style.": "conv1.conv.modulation.", "conv2.style.": "conv2.conv.modulation.",
    "conv1.depthwise": "conv1.conv.weight_dw", "conv2.depthwise": "conv2.conv.weight_dw",
}


def random_state(seed: int = 0) -> dict[str, Tensor]:
    """Tensors of a small network, by the names of the module."""
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(seed)
        network = MobileStyleGAN(LAYERS, CHANNELS, DIM)
        return {name: 0.3 * torch.randn(like.shape) + (1.0 if "style.bias" in name or "up.bias" in name else 0.0)
                for name, like in network.state_dict().items() if name != "mapping.w_avg"}


def write_ir(folder: Path, state: Mapping[str, Tensor] | None = None) -> Path:
    """Write the four files of the package into ``folder``, which is returned."""
    state = random_state() if state is None else state
    folder.mkdir(parents=True, exist_ok=True)
    write_pair(folder / "MappingNetwork", [
        ("", state[f"mapping.layers.{number}.{part}"]) for number in range(LAYERS) for part in ("weight", "bias")])
    layers = ["first", *(f"blocks.{number}.conv{part}" for number in range(len(CHANNELS) - 1) for part in (1, 2))]
    constants = [(name, value) for key, value in state.items() if (name := file_name(key)) is not None]
    for number, layer in enumerate(layers):
        constants += [(f"Mul_{number}_copy", state[f"synthesis.{layer}.weight"]),
                      (str(number), state[f"synthesis.{layer}.noise"][None, None])]
    write_pair(folder / "SynthesisNetwork", constants)
    return folder


def file_name(name: str) -> str | None:
    """The name in the file; None for constants without one."""
    rest = name.removeprefix("synthesis.")
    if name.startswith("mapping") or rest.endswith(".noise"):
        return None
    if rest == "const":
        return "m.input.input"
    if rest.startswith("first."):
        return {"first.bias": "m.conv1.bias", "first.weight": None}.get(
            rest, rest.replace("first.style", "m.conv1.conv.modulation"))
    last = f"m.layers.{len(CHANNELS) - 2}.to_img."
    if rest.startswith("to_image."):
        part = rest.removeprefix("to_image.")
        return last + {"bias": "bias", "weight": "conv.weight"}.get(part, part.replace("style", "conv.modulation"))
    number, _, part = rest.removeprefix("blocks.").partition(".")
    if part in ("conv1.weight", "conv2.weight"):
        return None
    for ours, theirs in _BACK.items():
        part = part.replace(ours, theirs, 1) if part.startswith(ours) else part
    return f"m.layers.{number}.{part}"


def write_pair(stem: Path, constants: Iterable[tuple[str, Tensor]]) -> None:
    """One graph that only has constants, and their numbers."""
    lines, data = [], b""
    for number, (name, value) in enumerate(constants):
        raw = struct.pack(f"<{value.numel()}f", *value.flatten().tolist())
        shape = ", ".join(map(str, value.shape))
        lines.append(f'<layer id="{number}" name={quoteattr(name)} type="Const"><data element_type="f32" '
                     f'shape="{shape}" offset="{len(data)}" size="{len(raw)}"/></layer>')
        data += raw
    layers = "\n".join(lines)
    head = '<?xml version="1.0"?>\n<net name="x" version="10"><layers>'
    stem.with_suffix(".xml").write_text(f"{head}\n{layers}\n</layers></net>")
    stem.with_suffix(".bin").write_bytes(data)
