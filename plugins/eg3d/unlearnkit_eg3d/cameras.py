"""Cameras of EG3D: 25 numbers, a 4×4 camera-to-world matrix (row by row) and a 3×3 intrinsics matrix.

Axes are OpenCV's (x right, y down, z forward); intrinsics are in units of the picture's size. Poses follow Chan et
al., "Efficient Geometry-aware 3D Generative Adversarial Networks", CVPR 2022, and its release; the truncated
constants of the release are kept, because published weights were trained with them.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from unlearnkit.errors import ShapeError

__all__ = [
    "CAMERA_NUMBERS", "FOV", "RADIUS", "cameras", "check_cameras", "focal_length", "look_at", "looking",
    "with_intrinsics",
]

CAMERA_NUMBERS = 25
FOV = 18.837
"""Degrees, of FFHQ's cameras."""
RADIUS = 2.7
UP = (0.0, 1.0, 0.0)


def focal_length(fov: float = FOV) -> float:
    """Focal length in units of the picture's size, from a field of view in degrees, as the release has it."""
    return 1 / (math.tan(fov * 3.14159 / 360) * 1.414)


def looking(origin: Tensor, pivot: Tensor, up: Tensor | None = None) -> Tensor:
    """Camera-to-world matrices ``(N, 4, 4)`` of cameras at ``origin`` ``(N, 3)`` that look at ``pivot`` ``(3,)``.

    ``up`` ``(3,)`` is what is upwards in the picture, as nearly as possible; (0, 1, 0) without it.
    """
    forward = F.normalize(pivot.to(origin) - origin, dim=1)
    above = (torch.tensor(UP) if up is None else up).to(origin).expand_as(forward)
    right = -F.normalize(torch.cross(above, forward, dim=1), dim=1)
    above = F.normalize(torch.cross(forward, right, dim=1), dim=1)
    matrix = torch.eye(4).to(origin).repeat(len(origin), 1, 1)
    matrix[:, :3, 0], matrix[:, :3, 1], matrix[:, :3, 2], matrix[:, :3, 3] = right, above, forward, origin
    return matrix


def look_at(yaw: Tensor, pitch: Tensor, pivot: Tensor, radius: float = RADIUS) -> Tensor:
    """Camera-to-world matrices ``(N, 4, 4)`` on a sphere around the origin that look at ``pivot`` ``(3,)``.

    ``yaw`` and ``pitch`` ``(N,)`` in radians; pi/2 each is the front. The release turns pitch v into the polar
    angle arccos(1 - 2 v / pi), which is not v itself, and does not shift the sphere by the pivot.
    """
    clipped = pitch.clamp(1e-5, math.pi - 1e-5)
    polar = torch.arccos(1 - 2 * (clipped / math.pi))
    return looking(radius * torch.stack([
        torch.sin(polar) * torch.cos(math.pi - yaw), torch.cos(polar), torch.sin(polar) * torch.sin(math.pi - yaw),
    ], dim=1), pivot)


def with_intrinsics(pose: Tensor, fov: float = FOV) -> Tensor:
    """Camera-to-world ``(N, 4, 4)`` -> cameras ``(N, 25)`` with FFHQ's intrinsics."""
    focal = focal_length(fov)
    intrinsics = torch.tensor([focal, 0, 0.5, 0, focal, 0.5, 0, 0, 1.0]).to(pose)
    return torch.cat([pose.flatten(1), intrinsics.expand(len(pose), -1)], dim=1)


def cameras(
    yaw: Tensor, pitch: Tensor, pivot: Tensor, radius: float = RADIUS, fov: float = FOV
) -> Tensor:
    """Cameras ``(N, 25)`` at ``yaw``, ``pitch`` (radians away from the front) that look at ``pivot``."""
    return with_intrinsics(look_at(math.pi / 2 + yaw, math.pi / 2 + pitch, pivot, radius), fov)


def check_cameras(views: Tensor | None, count: int) -> Tensor:
    """Refuse what is no camera: wrong shape, numbers that are not finite, a matrix that is no rotation.

    Numbers are looked at on a CPU only, where ours are drawn: reading them would make a GPU wait.

    :raises ShapeError: says what was given and what is expected.
    """
    if views is None or views.shape != (count, CAMERA_NUMBERS):
        given = "none" if views is None else tuple(views.shape)
        raise ShapeError(f"views are {given}; EG3D needs a camera for each latent, ({count}, {CAMERA_NUMBERS})")
    if views.device.type != "cpu":
        return views
    if not bool(views.isfinite().all()):
        raise ShapeError("a camera has numbers that are not finite; give camera-to-world 4×4 and intrinsics 3×3")
    rotation = views[:, :16].view(-1, 4, 4)[:, :3, :3].double()
    skew = (rotation @ rotation.transpose(1, 2) - torch.eye(3).to(rotation)).abs().amax()
    if float(skew) > 1e-2:
        raise ShapeError("a camera's matrix is no rotation; give camera-to-world, row by row, without scale")
    if bool((torch.linalg.det(rotation) < 0).any()):
        raise ShapeError("a camera's matrix mirrors the world (determinant -1); its axes must be x right, y down, "
                         "z forward")
    return views
