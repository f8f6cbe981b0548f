"""The people stored with a run (``latents.safetensors``): erased now, bystanders, and erased by earlier edits."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from torch import Tensor

from unlearnkit.checkpoints import read_tensors, write_tensors
from unlearnkit.errors import RunError
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
    write_tensors(path, plain, {"format": _FORMAT, "erased": json.dumps(counts)})


def load_people(path: Path, device: torch.device) -> tuple[Request, Tensor]:
    """The request and its targets ``(P, num_ws, w_dim)``, as :func:`save_people` wrote them.

    :raises RunError: if the file holds no people.
    """
    tensors, metadata = read_tensors(path)
    by_role: dict[str, dict[int, Person]] = {role: {} for role in _ROLES}
    try:
        counts = json.loads(metadata.get("erased", "{}"))
        for name, latents in tensors.items():
            if name.endswith("/latents"):
                key = name.removesuffix("/latents")
                role, number, person = key.split("/", 2)
                pictures = tensors.get(f"{key}/pictures")
                by_role[role][int(number)] = Person(
                    person, latents.to(device), None if pictures is None else pictures.to(device), counts.get(key, 1)
                )
        targets = tensors["targets"].to(device)
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        raise RunError(f"{path} is damaged: it holds no people of a run ({error!r}); restore it") from error
    people, bystanders, earlier = (tuple(by_role[role][i] for i in sorted(by_role[role])) for role in _ROLES)
    return Request(people, bystanders, earlier), targets
