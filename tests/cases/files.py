"""Small files as other programs write them, made from the golden networks; no official code, no official weights."""

from __future__ import annotations

import io
from collections import OrderedDict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from checkpoints.builder import Persistent, fake_modules, module_state, nvidia_bytes
from safetensors.torch import save_file
from torch import Tensor

from unlearnkit.checkpoints import read_checkpoint

GOLDEN = Path(__file__).parents[1] / "golden"
BUFFERS = ("noise_const", "resample_filter", "w_avg")
STYLEGAN2, ROSINALITY, EG3D = "sg2_ada_32.pkl", "rosinality_32.pt", "eg3d_tiny_p32_n16_sr64.pkl"


def state_of(name: str) -> dict[str, Tensor]:
    """The tensors of a golden file."""
    return dict(read_checkpoint(GOLDEN / name).state)


def tree(state: Mapping[str, Tensor], make: Callable[[dict[str, Any]], Any]) -> Any:
    """Flat names as nested modules, the way torch pickles them."""
    own = {name: tensor for name, tensor in state.items() if "." not in name}
    heads = dict.fromkeys(name.partition(".")[0] for name in state if "." in name)
    parts = {head: {name.partition(".")[2]: tensor for name, tensor in state.items() if name.startswith(f"{head}.")}
             for head in heads}
    plain = module_state({k: v for k, v in own.items() if k not in BUFFERS},
                         {head: tree(part, make) for head, part in parts.items()})
    plain["_buffers"] = OrderedDict((k, v) for k, v in own.items() if k in BUFFERS)
    return make(plain)


def network(state: Mapping[str, Tensor], name: str = "Generator", **more: Any) -> Persistent:
    """A network of NVIDIA's persistent classes."""
    made = tree(state, lambda plain: Persistent("Layer", plain))
    made.class_name = name
    made.state |= more
    return made


def stylegan2(**more: Any) -> Persistent:
    """The golden network of StyleGAN2-ADA."""
    checkpoint = read_checkpoint(GOLDEN / STYLEGAN2)
    return network(checkpoint.state, _init_kwargs=dict(checkpoint.init_kwargs), **more)


def eg3d() -> Persistent:
    """The golden EG3D."""
    checkpoint = read_checkpoint(GOLDEN / EG3D)
    return network(checkpoint.state, "TriPlaneGenerator", _init_kwargs=dict(checkpoint.init_kwargs),
                   **checkpoint.attributes)


def torch_bytes(root: Any, **options: Any) -> bytes:
    """What `torch.save` writes."""
    with fake_modules():
        out = io.BytesIO()
        torch.save(root, out, **options)
    return out.getvalue()


def prefixed(prefix: str, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The same tensors with something before their names."""
    return {f"{prefix}{name}": tensor for name, tensor in state.items()}


def rosinality(average: bool = False) -> dict[str, Tensor]:
    """The golden state dict of the rosinality layout."""
    return {name: tensor for name, tensor in state_of(ROSINALITY).items() if average or name != "latent_avg"}


def safetensors_bytes(state: Mapping[str, Tensor], folder: Path) -> bytes:
    """A safetensors file of another program."""
    save_file({name: tensor.contiguous() for name, tensor in state.items()}, folder / "made.safetensors")
    return (folder / "made.safetensors").read_bytes()


def _state() -> dict[str, Tensor]:
    return state_of(STYLEGAN2)


def data_parallel(inner: Any) -> Persistent:
    """A module around a module, as DataParallel is."""
    return Persistent("DataParallel", module_state({}, {"module": inner}))


OTHER = {"discriminator.weight": torch.ones(3)}
PICKLES: dict[str, Callable[[], Any]] = {
    "ema_only.pkl": lambda: {"G_ema": stylegan2()},
    "bare_generator.pkl": stylegan2,
    "tuple_of_three.pkl": lambda: (stylegan2(), None, stylegan2()),
    "generator_and_discriminator.pkl": lambda: [stylegan2(), network(OTHER, "Discriminator")],
    "one_key_deeper.pkl": lambda: {"snapshot": {"G_ema": stylegan2(), "D": None}, "step": 3},
    "data_parallel.pkl": lambda: {"G": data_parallel(stylegan2())},
}
TORCH: dict[str, Callable[[], Any]] = {
    "whole_module.pt": stylegan2,
    "dict_of_whole_module.pt": lambda: {"G_ema": stylegan2()},
    "tuple_of_whole_modules.pt": lambda: (stylegan2(), network(OTHER, "Discriminator")),
    "data_parallel.pt": lambda: data_parallel(stylegan2()),
    "plain_state.pth": _state,
    "state_and_step.pth": lambda: {**_state(), "step": 10, "name": "x"},
    "G_ema_state.pth": lambda: {"G_ema": _state()},
    "module_state.pth": lambda: {"G_ema": prefixed("module.", _state())},
    "compiled.pth": lambda: prefixed("_orig_mod.", _state()),
    "compiled_parallel.pth": lambda: {"generator": prefixed("module._orig_mod.", _state())},
    "lightning.ckpt": lambda: {"state_dict": {**prefixed("generator.", _state()), **OTHER}, "epoch": 3},
    "lightning_ema.ckpt": lambda: {"state_dict": {**prefixed("G.", prefixed("x", _state())), **OTHER,
                                                  **prefixed("G_ema.", _state())}},
    "model_state_dict.pt": lambda: {"model_state_dict": _state(), "optimizer_state_dict": {"state": {}}},
    "any_key.pt": lambda: {"my_generator_weights": _state(), "epoch": 3},
    "rosinality_bare.pt": rosinality,
    "rosinality_g_only.pt": lambda: {"g": rosinality()},
    "rosinality_module.pt": lambda: {"g_ema": OrderedDict(prefixed("module.", rosinality()))},
    "rosinality_nested.pt": lambda: {"state_dict": {"g_ema": rosinality(), "d": OTHER}},
    "params_ema.pth": lambda: {"params": {}, "params_ema": rosinality()},
    "psp_decoder_only.pt": lambda: {"state_dict": prefixed("decoder.", rosinality(average=True))},
}
SAFETENSORS: dict[str, Callable[[], dict[str, Tensor]]] = {
    "module.safetensors": lambda: prefixed("module.", _state()),
    "G_ema.safetensors": lambda: {**prefixed("G_ema.", _state()), **OTHER},
}
BASES: dict[str, Callable[[Path], bytes]] = {
    "half.safetensors": lambda folder: safetensors_bytes({k: v.half() for k, v in _state().items()}, folder),
    "bf16.safetensors": lambda folder: safetensors_bytes({k: v.bfloat16() for k, v in _state().items()}, folder),
    "half.pkl": lambda folder: nvidia_bytes({"G_ema": network({k: v.half() for k, v in _state().items()})}),
    "protocol2.pkl": lambda folder: nvidia_bytes({"G_ema": stylegan2()}, protocol=2),
    "protocol3.pkl": lambda folder: nvidia_bytes({"G_ema": stylegan2()}, protocol=3),
    "half_protocol2.pkl": lambda folder: nvidia_bytes(
        {"G_ema": network({k: v.half() for k, v in _state().items()})}, protocol=2),
    "legacy.pt": lambda folder: torch_bytes({"g_ema": rosinality()}, _use_new_zipfile_serialization=False),
    "conditional.pkl": lambda folder: nvidia_bytes({"G_ema": conditional(10)}),
}


def conditional(classes: int) -> Persistent:
    """The golden network with random weights for a label."""
    state, rng = _state(), torch.Generator().manual_seed(3)
    width, inputs = state["mapping.fc0.weight"].shape
    return network({**state, "mapping.embed.weight": torch.randn(inputs, classes, generator=rng),
                    "mapping.embed.bias": torch.zeros(inputs),
                    "mapping.fc0.weight": torch.randn(width, 2 * inputs, generator=rng) * 100})


def channels(count: int) -> Persistent:
    """The golden network with another number of colours."""
    state = {name: tensor[:1].repeat(count, *[1] * (tensor.ndim - 1))
             if name.endswith((".torgb.weight", ".torgb.bias")) else tensor for name, tensor in _state().items()}
    return network(state, _init_kwargs={"img_channels": count})


def wide() -> Persistent:
    """The golden network for pictures twice as wide as high."""
    state = {name: tensor.repeat(1, 2) if name.endswith("noise_const") else tensor
             for name, tensor in _state().items()}
    return network(state | {"synthesis.b4.const": state["synthesis.b4.const"].repeat(1, 1, 2)})


UNSUPPORTED: dict[str, tuple[Callable[[], Persistent], str]] = {
    "channels_1.pkl": (lambda: channels(1), "pictures of 1 channels, not of 3"),
    "channels_4.pkl": (lambda: channels(4), "pictures of 4 channels, not of 3"),
    "non_square.pkl": (wide, "not square"),
    "stylegan3.pkl": (lambda: network({"synthesis.input.weight": torch.ones(3, 3),
                                       "mapping.fc0.weight": torch.ones(3, 3)}), "StyleGAN3"),
    "more_layers.pkl": (lambda: network({**_state(), "synthesis.b8.attention.weight": torch.ones(2)}), "attention"),
}


def write(folder: Path, name: str) -> Path:
    """Write one of the files above by its name."""
    path = folder / name
    if name in PICKLES:
        path.write_bytes(nvidia_bytes(PICKLES[name]()))
    elif name in TORCH:
        path.write_bytes(torch_bytes(TORCH[name]()))
    elif name in SAFETENSORS:
        path.write_bytes(safetensors_bytes(SAFETENSORS[name](), folder))
    elif name in BASES:
        path.write_bytes(BASES[name](folder))
    else:
        path.write_bytes(nvidia_bytes({"G_ema": UNSUPPORTED[name][0]()}))
    return path
