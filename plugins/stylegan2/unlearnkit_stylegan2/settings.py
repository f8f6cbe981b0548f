"""Reading the settings of a network from the shapes of its tensors, before any of it is allocated.

Shapes decide: two networks of 256 pixels with other widths circulate. What shapes cannot tell (`conv_clamp`,
`lr_multiplier`) comes from the settings stored in the file, where these exist; whatever else the file claims
must agree with its tensors.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from unlearnkit_stylegan2.layers import RESAMPLE_TAPS
from unlearnkit_stylegan2.network import block_channels

__all__ = ["Contradiction", "Unsupported", "check_sizes", "read_settings"]

MAX_RESOLUTION = 1024
MAX_CHANNELS = 4096
MAX_SIZE = 8192
MAX_ELEMENTS = 2**28
MAX_TAPS = 12
MAX_SETTING = 1e9
RESOLUTIONS = tuple(2**k for k in range(3, 11))
LATER_ERA = frozenset({"fused_modconv_default", "num_fp16_res"})
"""Settings that stand beside `z_dim` only in StyleGAN2 files of the StyleGAN3 and EG3D releases, where
`conv_clamp` is 256 if it is not given."""


class Contradiction(Exception):
    """The tensors of a file are no StyleGAN2, or its settings contradict them; the text says how."""

    advice = "get the file again, or give another one"


class Unsupported(Contradiction):
    """The file may well be sound, but it holds a network of a kind that is not supported."""

    advice = "the file may be sound, but such networks are not supported; give another one"


def read_settings(state: Mapping[str, Tensor], init_kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Work out the keywords of :class:`unlearnkit_stylegan2.network.Generator`.

    :param state: tensors by the network's names (see :class:`unlearnkit_stylegan2.layouts.Layout`).
    :param init_kwargs: settings stored in the file: nested (StyleGAN2-ADA), flat (StyleGAN3, EG3D) or empty.
    :raises Contradiction: if they describe no StyleGAN2, contradict each other, or ask for absurd sizes.
    """
    claims = _flatten(init_kwargs)
    settings = _mapping_settings(state) | _synthesis_settings(state)
    _check_claims(claims, settings)
    return settings | {
        "lr_multiplier": _positive(claims, "lr_multiplier", 0.01) or 0.01,
        "conv_clamp": _positive(claims, "conv_clamp", 256.0 if LATER_ERA & init_kwargs.keys() else None),
    }


def check_sizes(state: Mapping[str, Tensor]) -> None:
    """Refuse sizes that no StyleGAN2 has; to be called before anything is computed from the tensors.

    :raises Contradiction: naming the tensor, or the sum of all.
    """
    total = 0
    for name, tensor in state.items():
        if any(size > MAX_SIZE for size in tensor.shape):
            raise Unsupported(f"tensor {name} is {tuple(tensor.shape)}, beyond any StyleGAN2")
        total += math.prod(tensor.shape)
    if total > MAX_ELEMENTS:
        raise Unsupported(f"it has {total} parameters, beyond any StyleGAN2")


def _flatten(init_kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of both eras in one table: `mapping_kwargs` and `synthesis_kwargs` beside the others."""
    claims: dict[str, Any] = {}
    for name, value in init_kwargs.items():
        if name in ("mapping_kwargs", "synthesis_kwargs"):
            if not isinstance(value, Mapping):
                raise Contradiction(f"its setting {name} is no table")
            claims.update(value)
        else:
            claims.setdefault(name, value)
    return claims


def _mapping_settings(state: Mapping[str, Tensor]) -> dict[str, Any]:
    layers = 0
    while f"mapping.fc{layers}.weight" in state:
        layers += 1
    hidden, inputs = _shape(state, "mapping.fc0.weight", 2)
    w_dim, _ = _shape(state, f"mapping.fc{layers - 1}.weight", 2)
    embedded = c_dim = 0
    if "mapping.embed.weight" in state:
        embedded, c_dim = _shape(state, "mapping.embed.weight", 2)
    if inputs <= embedded:
        raise Contradiction(f"its mapping network takes {inputs} inputs, {embedded} of them for the label")
    return {
        "z_dim": inputs - embedded, "c_dim": c_dim, "w_dim": w_dim, "num_layers": layers,
        "embed_features": embedded or None, "layer_features": hidden,
    }


def _synthesis_settings(state: Mapping[str, Tensor]) -> dict[str, Any]:
    found = {int(match[1]) for name in state if (match := re.match(r"synthesis\.b(\d{1,9})\.", name))}
    top = max(found, default=0)
    if top > MAX_RESOLUTION or found != {4, *(r for r in RESOLUTIONS if r <= top)} or top < RESOLUTIONS[0]:
        raise Unsupported(f"it has blocks of the resolutions {sorted(found)[:12]}; a StyleGAN2 has 4, 8, "
                            f"... up to at most {MAX_RESOLUTION}")
    channels = {r: _shape(state, f"synthesis.b{r}.conv1.weight", 4)[0] for r in sorted(found)}
    if max(channels.values()) > MAX_CHANNELS:
        raise Unsupported(f"it has {max(channels.values())} channels, beyond any StyleGAN2")
    _check_square(state)
    if f"synthesis.b{top}.skip.weight" in state:
        architecture = "resnet"
    else:
        architecture = "skip" if "synthesis.b4.torgb.weight" in state else "orig"
    return {
        "img_resolution": top, "img_channels": _shape(state, f"synthesis.b{top}.torgb.weight", 4)[0],
        "channels": channels, "architecture": architecture, "resample_filter": _taps(state, top),
    }


def _check_square(state: Mapping[str, Tensor]) -> None:
    height, width = _shape(state, "synthesis.b4.const", 3)[1:]
    if height != width:
        raise Unsupported(f"it makes pictures that are not square: its first map has {height} rows and {width} columns")


def _taps(state: Mapping[str, Tensor], resolution: int) -> tuple[float, ...]:
    """Taps of the right number: the filter's values are loaded from the file like every other tensor."""
    name = f"synthesis.b{resolution}.resample_filter"
    if name not in state:
        return RESAMPLE_TAPS
    count = _shape(state, name, 2)[0]
    if not 2 <= count <= MAX_TAPS:
        raise Contradiction(f"its filter {name} has {count} taps")
    return RESAMPLE_TAPS if count == len(RESAMPLE_TAPS) else (1.0,) * count


def _shape(state: Mapping[str, Tensor], name: str, ndim: int) -> tuple[int, ...]:
    if name not in state:
        raise Contradiction(f"tensor {name} is missing")
    shape = tuple(state[name].shape)
    if len(shape) != ndim or 0 in shape:
        raise Contradiction(f"tensor {name} has the shape {shape}, not {ndim} dimensions of at least 1")
    return shape


def _check_claims(claims: Mapping[str, Any], settings: Mapping[str, Any]) -> None:
    for name in ("z_dim", "c_dim", "w_dim", "img_resolution", "img_channels", "num_layers", "architecture"):
        if claims.get(name) not in (None, settings[name]):
            raise Contradiction(f"its settings say {name}={claims[name]!r}, its tensors {settings[name]!r}")
    if claims.get("activation") not in (None, "lrelu"):
        raise Unsupported(f"its activation is {claims['activation']!r}; only lrelu is supported")
    base, limit = claims.get("channel_base"), claims.get("channel_max")
    if base is None or limit is None:
        return
    if not isinstance(base, int) or not isinstance(limit, int) or not 0 < limit <= MAX_CHANNELS:
        raise Contradiction(f"its settings say channel_base={base!r} and channel_max={limit!r}")
    if block_channels(settings["img_resolution"], base, limit) != settings["channels"]:
        raise Contradiction(f"its settings channel_base={base} and channel_max={limit} do not give the "
                            f"channels of its tensors, {settings['channels']}")


def _positive(claims: Mapping[str, Any], name: str, default: float | None) -> float | None:
    value = claims.get(name, default)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < MAX_SETTING:
        raise Contradiction(f"its setting {name} is {value!r:.40}; it must be a positive number below {MAX_SETTING:g}")
    return float(value)
