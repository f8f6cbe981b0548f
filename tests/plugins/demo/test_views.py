"""Heads in EG3D's world: where they stand, what its cameras see of them, and how deep they are."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from unlearnkit_demo.cameras import FRONT_PITCH, PIVOT, portrait_cameras
from unlearnkit_demo.people.camera import EYE_HEIGHT, MOUTH_HEIGHT
from unlearnkit_demo.people.dataset import shard_parameters
from unlearnkit_demo.people.render import Head
from unlearnkit_demo.people.views import HALF, draw_cameras, first_pictures, place, ray_depth
from unlearnkit_eg3d.cameras import cameras, check_cameras

EYES, MOUTH = np.array([0.001, -0.13, 0.14]), np.array([0.0, -0.145, 0.07])


def head() -> Head:
    nothing = np.zeros((0, 3))
    return Head(nothing, nothing, nothing, nothing, 0.0, EYES, MOUTH)


def seen(numbers: np.ndarray, point: np.ndarray) -> np.ndarray:
    """Where a camera sees a point of EG3D's world, as a share of the picture from its left and top."""
    pose, intrinsics = numbers[:16].reshape(4, 4), numbers[16:].reshape(3, 3)
    x, y, z = pose[:3, :3].T @ (point - pose[:3, 3])
    return (intrinsics @ np.array([x / z, y / z, 1]))[:2]


def test_the_front_camera_is_a_portrait_without_yaw_and_pitch() -> None:
    front = cameras(torch.zeros(1), torch.full((1,), FRONT_PITCH), torch.tensor(PIVOT))
    torch.testing.assert_close(portrait_cameras(torch.zeros(1), torch.zeros(1)), front, rtol=0, atol=1e-6)
    turned = portrait_cameras(torch.tensor([1.5, -1.5, 0.0]), torch.tensor([0.0, 0.0, 1.5]))
    assert check_cameras(turned, 3) is turned
    assert float(turned[0, 3]) > 0.5 > -0.5 > float(turned[1, 3])  # to the two sides
    assert float(turned[2, 7]) > float(front[0, 7])  # above


def test_a_head_stands_where_the_front_camera_sees_eyes_and_mouth_at_their_heights() -> None:
    placement = place(head())
    front = cameras(torch.zeros(1), torch.full((1,), FRONT_PITCH), torch.tensor(PIVOT))[0].double().numpy()
    for point, height in ((EYES, EYE_HEIGHT), (MOUTH, MOUTH_HEIGHT)):
        there = placement.turn.T @ (point - placement.at) * placement.scale + PIVOT
        assert seen(front, there) == pytest.approx([0.5, height], abs=5e-3)


def test_a_camera_sees_the_same_in_both_worlds() -> None:
    placement = place(head())
    for numbers in draw_cameras(5, np.random.default_rng(0)).astype(np.float64):
        camera = placement.camera(numbers)
        away = EYES - camera.position
        ahead = -(away @ camera.back)
        ours = [0.5 + 0.5 * (away @ camera.right) / ahead / HALF, 0.5 - 0.5 * (away @ camera.up) / ahead / HALF]
        there = placement.turn.T @ (EYES - placement.at) * placement.scale + PIVOT
        assert seen(numbers, there) == pytest.approx(ours, abs=1e-5)


def test_training_cameras_are_cameras_and_wider_than_those_of_guide() -> None:
    views = torch.from_numpy(draw_cameras(300, np.random.default_rng(1)))
    assert check_cameras(views, 300) is views
    yaw = torch.atan2(views[:, 3], views[:, 11])
    assert float(yaw.max()) > 0.35 and float(yaw.min()) < -0.35


def test_depth_is_along_the_ray_and_unknown_at_outlines() -> None:
    axial = np.full((8, 8), 2.0)
    axial[:, :3] = np.inf
    depth = ray_depth(axial, 4)
    assert depth.dtype == np.float16 and (depth[:, :2] == 0).all()  # backdrop, and half backdrop
    x, y = (0.75 + 0.125 - 0.5) * 2 * HALF, (0.125 - 0.5) * 2 * HALF
    assert float(depth[0, 3]) == pytest.approx(2 * np.sqrt(1 + x * x + y * y), abs=2e-3)


def test_people_are_those_of_the_portraits() -> None:
    p, person = first_pictures(400, seed=2, pictures=6)
    first, _ = shard_parameters(2, 0, 6)
    np.testing.assert_array_equal(p[:170], first[::6])
    np.testing.assert_array_equal(person, np.arange(400))


def test_a_portrait_and_the_view_from_its_camera_agree() -> None:
    for module in ("anny", "pyvista", "vtk"):
        pytest.importorskip(module)
    from unlearnkit_demo.people.views import ViewRenderer

    p, _ = first_pictures(3, seed=2, pictures=6)
    renderer = ViewRenderer(64)
    portraits = renderer.people.render(p).astype(float)
    views = portrait_cameras(torch.from_numpy(p[:, 32]), torch.from_numpy(p[:, 33])).numpy()[:, None]
    pictures, depths = renderer.render(p, views)
    error = np.square(pictures[:, 0] - portraits).mean((1, 2, 3))
    assert (10 * np.log10(255**2 / error)).min() > 20
    assert depths.shape == (3, 1, 32, 32) and 2.3 < float(depths[depths > 0].min()) < 2.6
