"""The people stored with a run (``latents.safetensors``): erased now, bystanders, and erased by earlier edits."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from unlearnkit.checkpoints import read_tensors, write_tensors
from unlearnkit.errors import RunError
from unlearnkit.files.atomic import PRIVATE
from unlearnkit.interfaces import Person, Request

__all__ = ["load_people", "save_people"]

_FORMAT = "unlearnkit-people-1"
_ROLES = ("erased", "bystander", "earlier")


def save_people(path: Path, request: Request, targets: Tensor) -> None:
    """Write everyone's latents and pictures, and the targets ``(P, num_ws, w_dim)``, to a safetensors file."""
    tensors, counts = {"targets": targets}, {}
    for role, people in zip(_ROLES, (request.people, request.bystanders, request.earlier), strict=True):
        for number, person in enumerate(people):
            key = f"{role}/{number}/{person.name}"
            counts[key] = person.n_erased
            tensors[f"{key}/latents"] = person.latents
            if person.pictures is not None:
                tensors[f"{key}/pictures"] = person.pictures
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    write_tensors(path, plain, {"format": _FORMAT, "erased": json.dumps(counts)}, mode=PRIVATE)


def load_people(path: Path, device: torch.device) -> tuple[Request, Tensor]:
    """The request and its targets ``(P, num_ws, w_dim)``, as :func:`save_people` wrote them.

    :raises RunError: if the file holds no people, or what is in it does not fit together.
    """
    tensors, metadata = read_tensors(path)
    try:
        if metadata.get("format") != _FORMAT:
            raise ValueError(f"its format is {metadata.get('format')!r}, not {_FORMAT!r}")
        counts = json.loads(metadata["erased"])
        targets = _latents("targets", tensors["targets"], tensors["targets"].shape[1:])
        by_role: dict[str, dict[int, Person]] = {role: {} for role in _ROLES}
        for name in tensors:
            if name.endswith("/latents"):
                key = name.removesuffix("/latents")
                role, number, _ = key.split("/", 2)
                if int(number) in by_role[role]:
                    raise ValueError(f"two people have the place {role}/{number}")
                by_role[role][int(number)] = _person(key, tensors, counts[key], targets.shape[1:], device)
        people, bystanders, earlier = (tuple(by_role[role][i] for i in sorted(by_role[role])) for role in _ROLES)
        n_erased = sum(person.n_erased for person in people)
        if not people or n_erased != len(targets):
            raise ValueError(f"{n_erased} latents are to be erased, and it has {len(targets)} targets")
    except (KeyError, ValueError, TypeError, AttributeError, RecursionError, IndexError) as error:
        raise RunError(f"{path} is damaged: it holds no people of a run ({error}); restore it, or start a new run") \
            from error
    return Request(people, bystanders, earlier), targets.to(device)


def _person(
    key: str, tensors: Mapping[str, Tensor], count: Any, shape: torch.Size, device: torch.device
) -> Person:
    latents, pictures = _latents(key, tensors[f"{key}/latents"], shape), tensors.get(f"{key}/pictures")
    if type(count) is not int or not 1 <= count <= len(latents):
        raise ValueError(f"{key} has {len(latents)} latents, of which {count!r} are to be erased")
    if pictures is not None:
        fits = pictures.ndim == 4 and pictures.shape[:2] == (len(latents), 3) and pictures.shape[2:].numel() > 0
        if not fits or not pictures.is_floating_point() or not bool(pictures.isfinite().all()):
            raise ValueError(f"{key} has pictures of shape {tuple(pictures.shape)}, expected {len(latents)} in RGB")
        pictures = pictures.to(device)
    return Person(key.split("/", 2)[2], latents.to(device), pictures, count)


def _latents(name: str, tensor: Tensor, shape: torch.Size) -> Tensor:
    fits = tensor.ndim == 3 and tensor.shape[1:] == shape and tensor.numel() > 0
    if not fits or not tensor.is_floating_point() or not bool(tensor.isfinite().all()):
        raise ValueError(f"{name} has shape {tuple(tensor.shape)}, expected finite latents (M, num_ws, w_dim)")
    return tensor
