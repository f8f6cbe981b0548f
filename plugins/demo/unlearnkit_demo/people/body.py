"""Anny's parametric head, posed by our parameters: coarse vertices and the points the eyes sit at."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from .parameters import SLIDERS, named, unit

EYE_BONES = ("eye.L", "eye.R")


@dataclass(frozen=True)
class PosedHeads:
    """Heads of a batch: ``vertices`` (N, V, 3) and ``eyes`` (N, 2, 3), in metres; x left, -y front, z up."""

    vertices: np.ndarray
    eyes: np.ndarray


def _mirror(name: str) -> tuple[str, ...]:
    return (name, "r-" + name[2:]) if name.startswith("l-") else (name,)


class Body:
    """The Anny model, asked only for what a front-facing portrait shows."""

    def __init__(self) -> None:
        import anny
        import torch

        changes = [name for slider, _, _ in SLIDERS for name in _mirror(slider)]
        self._torch = torch
        self.model = anny.Anny(
            rig="makehuman-head", topology="head", local_changes=changes, facial_actions="all"
        ).float()
        self._eyes = [self.model.bone_labels.index(bone) for bone in EYE_BONES]
        self.triangles = self.model.faces.numpy().astype(np.int64)
        self.texture_folder = os.path.join(os.path.dirname(anny.__file__), "data", "mpfb2", "textures")

    def uv(self) -> np.ndarray:
        """Texture coordinates per vertex (V, 2); at seams any one of the vertex's several."""
        indices = self.model.face_texture_coordinate_indices.numpy()
        uv = np.zeros((self.model.template_vertices.shape[0], 2))
        uv[self.triangles.reshape(-1)] = self.model.texture_coordinates.numpy()[indices.reshape(-1)]
        return uv

    def template(self) -> PosedHeads:
        """The average head (every parameter 0, no expression)."""
        from .parameters import NUM_PARAMETERS

        return self.pose(np.zeros((1, NUM_PARAMETERS)), expression=False)

    def pose(self, p: np.ndarray, expression: bool = True) -> PosedHeads:
        """Heads for parameters ``p`` (N, NUM_PARAMETERS)."""
        torch, n, by_name = self._torch, len(p), named(p)

        def tensor(x: np.ndarray) -> Any:
            return torch.from_numpy(np.ascontiguousarray(x, dtype=np.float32))

        changes = {}
        for slider, strength, offset in SLIDERS:
            value = tensor(offset + strength * np.tanh(0.55 * by_name[slider]))
            changes.update({name: value for name in _mirror(slider)})
        phenotype = {label: torch.full((n,), 0.5) for label in self.model.phenotype_labels}
        phenotype["gender"] = tensor(unit(by_name["gender"], 0.9))
        phenotype["age"] = tensor(0.60 + 0.17 * np.tanh(0.7 * by_name["age"]))
        phenotype["weight"] = tensor(0.5 + 0.4 * np.tanh(0.6 * by_name["weight"]))
        actions = self._actions(by_name, tensor) if expression else {}
        pose = torch.eye(4)[None, None].repeat(n, self.model.bone_count, 1, 1)
        with torch.no_grad():
            out = self.model(
                pose_parameters=pose,
                phenotype_kwargs=phenotype,
                local_changes_kwargs=changes,
                facial_actions=actions,
            )
        return PosedHeads(
            out["vertices"].numpy().astype(np.float64),
            out["bone_poses"][:, self._eyes, :3, 3].numpy().astype(np.float64),
        )

    @staticmethod
    def _actions(by_name: dict[str, np.ndarray], tensor: Callable[[np.ndarray], Any]) -> dict[str, Any]:
        smile = tensor(0.36 + 0.30 * np.tanh(0.7 * by_name["smile"]))
        raised = np.tanh(0.7 * by_name["brow_raise"])
        up, down = tensor(0.30 * (1 + raised)), tensor(0.18 * (1 - raised))
        return {
            "mouthSmileLeft": smile,
            "mouthSmileRight": smile,
            "cheekSquintLeft": 0.5 * smile,
            "cheekSquintRight": 0.5 * smile,
            "browInnerUp": up,
            "browOuterUpLeft": up,
            "browOuterUpRight": up,
            "browDownLeft": down,
            "browDownRight": down,
        }
