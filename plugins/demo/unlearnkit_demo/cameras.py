"""Where the bundled world's portraits are taken from, in the world of its EG3D.

Heads stand in EG3D's world so that its front camera sees them as a portrait without yaw and pitch does.
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
YAW_LIMIT, PITCH_LIMIT = math.radians(18), math.radians(8)  # of the portraits, reached at the ends of a tanh


def front_pose() -> Tensor:
    """Camera-to-world ``(4, 4)`` of the front camera."""
    return cameras(torch.zeros(1), torch.full((1,), FRONT_PITCH), torch.tensor(PIVOT))[0, :16].view(4, 4)


def portrait_cameras(yaw: Tensor, pitch: Tensor) -> Tensor:
    """Parameters ``yaw`` and ``pitch`` ``(N,)`` of portraits -> cameras ``(N, 25)`` that see the head as they do."""
    turn, tilt = YAW_LIMIT * torch.tanh(0.7 * yaw), PITCH_LIMIT * torch.tanh(0.7 * pitch)
    pose, pivot = front_pose().to(yaw), torch.tensor(PIVOT).to(yaw)
    right, up, front = pose[:3, 0], -pose[:3, 1], -pose[:3, 2]
    away = (torch.sin(turn) * torch.cos(tilt))[:, None] * right + (torch.cos(turn) * torch.cos(tilt))[:, None] * front
    away = away + torch.sin(tilt)[:, None] * up
    return with_intrinsics(looking(pivot + away * (pose[:3, 3] - pivot).norm(), pivot, up))
