"""The renderer of synthetic people and its data set script."""

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[3] / "plugins" / "demo"))

from unlearnkit_demo.people import (
    NUM_IDENTITY,
    NUM_NUISANCE,
    NUM_PARAMETERS,
    PARAMETER_NAMES,
    parameters_from_z,
    redraw_nuisance,
)
from unlearnkit_demo.people.dataset import main, shard_parameters, write_dataset


def people(count, seed=0):
    return parameters_from_z(np.random.default_rng(seed).standard_normal((count, NUM_PARAMETERS)))


@pytest.fixture(scope="module")
def renderer():
    for module in ("anny", "pyvista", "vtk"):
        pytest.importorskip(module)
    import torch
    from unlearnkit_demo.people.render import PeopleRenderer

    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # batches are small: threads would only wait for each other
    yield PeopleRenderer(size=64)
    torch.set_num_threads(threads)


def fake_render(p):
    return np.broadcast_to(np.uint8(len(p) % 256), (len(p), 8, 8, 3)).copy()


def test_layout_adds_up():
    assert NUM_PARAMETERS == NUM_IDENTITY + NUM_NUISANCE == len(set(PARAMETER_NAMES))


def test_parameters_depend_on_the_direction_of_z_only():
    torch = pytest.importorskip("torch")
    z = np.random.default_rng(0).standard_normal((4, NUM_PARAMETERS))
    p = parameters_from_z(z)
    np.testing.assert_allclose(p, parameters_from_z(3 * z), rtol=1e-6)
    np.testing.assert_allclose((p**2).mean(1), 1, rtol=1e-6)
    np.testing.assert_allclose(p, parameters_from_z(torch.from_numpy(z)).numpy(), rtol=1e-12)


def test_redrawing_keeps_the_identity_and_the_norm():
    p = people(16)
    other = redraw_nuisance(p, np.random.default_rng(1))
    np.testing.assert_array_equal(other[:, :NUM_IDENTITY], p[:, :NUM_IDENTITY])
    np.testing.assert_allclose(np.linalg.norm(other, axis=1), np.linalg.norm(p, axis=1))
    assert np.abs(other[:, NUM_IDENTITY:] - p[:, NUM_IDENTITY:]).min(1).max() > 0


def test_shards_hold_whole_people_numbered_through():
    p, person = shard_parameters(seed=5, shard=2, pictures=3, shard_size=10)
    assert p.shape == (9, NUM_PARAMETERS) and p.dtype == np.float32
    np.testing.assert_array_equal(person, [6, 6, 6, 7, 7, 7, 8, 8, 8])
    np.testing.assert_array_equal(p[0, :NUM_IDENTITY], p[2, :NUM_IDENTITY])
    assert not np.array_equal(p, shard_parameters(5, 1, 3, 10)[0])


def test_parts_and_resuming_give_the_same_shards(tmp_path):
    settings = dict(people=12, pictures=3, seed=1, shard_size=9)
    assert write_dataset(tmp_path / "whole", fake_render, **settings) == 4
    assert write_dataset(tmp_path / "parts", fake_render, part=(1, 2), **settings) == 2
    assert write_dataset(tmp_path / "parts", fake_render, **settings) == 2
    assert write_dataset(tmp_path / "parts", fake_render, **settings) == 0
    names = sorted(path.name for path in (tmp_path / "parts").iterdir())
    assert names == [f"shard_{i:04d}.npz" for i in range(4)]
    for name in names:
        whole, parts = np.load(tmp_path / "whole" / name), np.load(tmp_path / "parts" / name)
        for key in ("p", "person", "image"):
            np.testing.assert_array_equal(whole[key], parts[key])


def test_a_failed_shard_leaves_nothing_behind(tmp_path):
    def broken(p):
        raise RuntimeError("no window")

    with pytest.raises(RuntimeError, match="no window"):
        write_dataset(tmp_path, broken, people=2, pictures=1, seed=1)
    assert list(tmp_path.iterdir()) == []


def test_a_wrong_part_is_refused(tmp_path):
    with pytest.raises(SystemExit):
        main(["--people", "1", "--out", str(tmp_path), "--part", "2/2"])


def test_pictures_are_deterministic_and_differ_between_people(renderer):
    p = people(4)
    images = renderer.render(p)
    assert images.shape == (4, 64, 64, 3) and images.dtype == np.uint8
    np.testing.assert_array_equal(images[[2]], renderer.render(p[2]))
    difference = np.abs(images[:1].astype(float) - images[1:]).mean((1, 2, 3))
    assert difference.min() > 5


def test_pictures_are_smooth_in_the_parameters(renderer):
    p = np.repeat(people(1, seed=3), NUM_PARAMETERS + 1, axis=0)
    p[1:] += 0.02 * np.eye(NUM_PARAMETERS)
    images = renderer.render(p).astype(float)
    change = np.abs(images[1:] - images[0]).mean((1, 2, 3))
    assert change.max() < 3, PARAMETER_NAMES[change.argmax()]


def test_every_parameter_shows(renderer):
    low = np.zeros((NUM_PARAMETERS, NUM_PARAMETERS)) - 1.2 * np.eye(NUM_PARAMETERS)
    change = np.abs(renderer.render(low).astype(float) - renderer.render(-low)).mean((1, 2, 3))
    assert change.min() > 0.02, PARAMETER_NAMES[change.argmin()]


def test_eyes_and_mouth_are_seen_at_their_heights():
    from unlearnkit_demo.people.camera import EYE_HEIGHT, MOUTH_HEIGHT, VIEW_ANGLE, aligned_camera

    eyes, mouth = np.array([0.0, -0.13, 0.14]), np.array([0.001, -0.145, 0.08])
    camera = aligned_camera(eyes, mouth, yaw=0.3, pitch=-0.1)
    up = np.cross(camera.back, camera.right)
    for point, height in ((eyes, EYE_HEIGHT), (mouth, MOUTH_HEIGHT)):
        away = point - camera.position
        seen = 0.5 - 0.5 * (away @ up) / (-(away @ camera.back)) / np.tan(np.deg2rad(VIEW_ANGLE) / 2)
        assert seen == pytest.approx(height, abs=1e-9)


def test_wrong_number_of_parameters(renderer):
    with pytest.raises(ValueError, match="expected"):
        renderer.render(np.zeros((2, 3)))
