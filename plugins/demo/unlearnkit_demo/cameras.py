"""Cameras of the bundled world's portraits, in the coordinates of its EG3D.

Heads are placed so that EG3D's front camera sees them as a portrait with zero yaw and pitch does.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from unlearnkit_eg3d.cameras import cameras, looking, with_intrinsics

from unlearnkit_demo.people.parameters import PARAMETER_NAMES

__all__ = ["PITCH", "PIVOT", "YAW", "front_pose", "portrait_cameras"]

PIVOT = (0.0, 0.0, 0.2)
FRONT_PITCH = -0.2
YAW, PITCH = PARAMETER_NAMES.index("yaw"), PARAMETER_NAMES.index("pitch")
YAW_LIMIT, PITCH_LIMIT = math.radians(18), math.radians(8)  # of the portraits, the asymptotes of a tanh


def front_pose() -> Tensor:
    """Camera-to-world ``(4, 4)`` of the front camera."""
    return cameras(torch.zeros(1), torch.full((1,), FRONT_PITCH), torch.tensor(PIVOT))[0, :16].view(4, 4)


def portrait_cameras(yaw: Tensor, pitch: Tensor) -> Tensor:
    """Parameters ``yaw`` and ``pitch`` ``(N,)`` of portraits -> the cameras ``(N, 25)`` of those portraits."""
    turn, tilt = YAW_LIMIT * torch.tanh(0.7 * yaw), PITCH_LIMIT * torch.tanh(0.7 * pitch)
    pose, pivot = front_pose().to(yaw), torch.tensor(PIVOT).to(yaw)
    right, up, front = pose[:3, 0], -pose[:3, 1], -pose[:3, 2]
    offset = (torch.sin(turn) * torch.cos(tilt))[:, None] * right + (torch.cos(turn) * torch.cos(tilt))[:, None] * front
    offset = offset + torch.sin(tilt)[:, None] * up
    return with_intrinsics(looking(pivot + offset * (pose[:3, 3] - pivot).norm(), pivot, up))
