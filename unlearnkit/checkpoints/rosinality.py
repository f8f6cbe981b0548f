"""The dicts that rosinality's StyleGAN2 and the pSp/e4e encoders save with torch, and plain state dicts."""

from __future__ import annotations

from typing import Any

from unlearnkit.checkpoints.records import Contents, Damaged, Hostile, Storage, TensorRef, shorten
from unlearnkit.checkpoints.standins import RawTensor, StorageKey
from unlearnkit.checkpoints.torchdata import make_ref

DECODER = "decoder."
LATENT_AVERAGE = "latent_avg"


def _tensors_of(value: dict[Any, Any], prefix: str) -> dict[str, RawTensor]:
    """The entries of a state dict whose names begin with `prefix`, without it."""
    chosen: dict[str, RawTensor] = {}
    for name, tensor in value.items():
        if not isinstance(name, str) or not isinstance(tensor, RawTensor):
            raise Damaged(
                "has a state dict with an entry that is no named tensor; it is damaged or of another kind"
            )
        if name.startswith(prefix):
            chosen[name.removeprefix(prefix)] = tensor
    return chosen


def _choose(root: object) -> tuple[str, dict[str, RawTensor]]:
    if not isinstance(root, dict):
        raise Damaged(
            f"holds a {type(root).__name__}; expected a dict with 'g_ema' (rosinality) or 'state_dict' (pSp), or of"
            " tensors"
        )
    if isinstance(root.get("g_ema"), dict):
        kind, chosen = "rosinality", _tensors_of(root["g_ema"], "")
    elif isinstance(root.get("state_dict"), dict):
        kind, chosen = "psp", _tensors_of(root["state_dict"], DECODER)
    elif root and all(isinstance(value, RawTensor) for value in root.values()):
        return "state-dict", _tensors_of(root, "")
    else:
        keys = ", ".join(shorten(key) for key in list(root)[:8] if isinstance(key, str))
        raise Damaged(
            f"holds neither 'g_ema' (rosinality) nor 'state_dict' (pSp, e4e), and is no state dict itself; it has:"
            f" {keys or 'nothing'}"
        )
    if not chosen:
        raise Damaged(
            "holds no weights of a generator (pSp files have them below 'decoder.'); give another file"
        )
    return kind, chosen


def read_layout(root: object, storages: dict[str, Storage]) -> Contents:
    """The generator's tensors of a file's root object, without encoders, discriminators and optimisers."""
    kind, chosen = _choose(root)
    assert isinstance(root, dict)
    average = root.get(LATENT_AVERAGE)
    if isinstance(average, RawTensor):
        chosen[LATENT_AVERAGE] = average

    def resolve(key: object) -> Storage:
        if not isinstance(key, StorageKey):
            raise Hostile("has a tensor without a storage")
        return storages[key.key]

    tensors: dict[str, TensorRef] = {name: make_ref(raw, resolve) for name, raw in chosen.items()}
    return Contents(kind, tensors)
