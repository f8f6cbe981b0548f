"""Alignment: the published formula, exact sampling, and a real portrait where scikit-image is installed."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from unlearnkit_faces.alignment import align_picture, ffhq_square, sample_square, similarity, to_pixels
from unlearnkit_faces.detection import Face, choose_face, count_faces, detect_faces, most_likely

from unlearnkit.errors import NoFaceError, ShapeError

UPRIGHT = np.array([[40.0, 50.0], [60.0, 50.0], [50.0, 60.0], [43.0, 75.0], [57.0, 75.0]])


def face(height, probability=0.99):
    return Face((0.0, 0.0, height, height), probability, UPRIGHT)


def ramp(height, width):
    """Red grows to the right, green downwards: a picture whose colours are its coordinates."""
    y, x = np.mgrid[:height, :width]
    return np.stack([x, y, x * 0], 2).astype(np.uint8)


def test_the_square_is_the_published_one():
    centre, half = ffhq_square(UPRIGHT)
    np.testing.assert_allclose(centre, [50, 50 + 0.1 * 25])
    np.testing.assert_allclose(half, [max(4.0 * 20, 3.6 * 25) / 2, 0])


def test_the_square_turns_and_grows_with_the_face():
    angle = np.deg2rad(25)
    turn = 3 * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    (centre, half), (turned_centre, turned_half) = ffhq_square(UPRIGHT), ffhq_square(UPRIGHT @ turn.T)
    np.testing.assert_allclose(turned_centre, turn @ centre)
    np.testing.assert_allclose(turned_half, turn @ half, atol=1e-9)


def test_landmarks_in_one_place_are_refused():
    with pytest.raises(NoFaceError, match="coincide"):
        ffhq_square(np.ones((5, 2)))


def test_a_straight_square_is_cut_exactly():
    pixels = ramp(100, 120)
    found = sample_square(pixels, np.array([60.0, 50.0]), np.array([16.0, 0.0]), 32)
    expected = torch.from_numpy(pixels[34:66, 44:76]).permute(2, 0, 1) / 127.5 - 1
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("size", [8, 16, 20, 33])
def test_shrinking_averages_instead_of_aliasing(size):
    noise = np.random.default_rng(0).integers(0, 256, (256, 256, 3), dtype=np.uint8)
    found = sample_square(noise, np.array([128.0, 128.0]), np.array([100.0, 0.0]), size)
    one_pixel = (noise / 127.5 - 1).std()
    assert found.std() < 2 * one_pixel * size / 200


def test_a_turned_square_follows_the_coordinates():
    found = sample_square(ramp(200, 200), np.array([100.0, 100.0]), np.array([0.0, 40.0]), 40)
    # To the right in the result is down in the picture; down is to the left.
    assert (found[1, :, 1:] > found[1, :, :-1]).all() and (found[0, 1:] < found[0, :-1]).all()


def test_outside_of_the_photo_is_its_mirror_image():
    found = sample_square(ramp(64, 64), np.array([0.0, 32.0]), np.array([16.0, 0.0]), 32)
    torch.testing.assert_close(found, found.flip(2), rtol=0, atol=1e-5)


def test_the_similarity_takes_template_to_landmarks():
    turn = np.array([[0.6, -0.8], [0.8, 0.6]]) * 2.5
    transform = similarity(UPRIGHT @ turn.T + [7, -3], UPRIGHT)
    np.testing.assert_allclose(transform, np.column_stack([turn, [7, -3]]), atol=1e-9)


def test_which_face_is_meant():
    assert choose_face([face(90), face(20)]).height == 90
    assert choose_face([face(90), face(80)], "largest").height == 90
    with pytest.raises(NoFaceError, match=r"a\.jpg: shows 2 faces"):
        choose_face([face(90), face(80)], name="a.jpg")
    with pytest.raises(NoFaceError, match="shows no face"):
        choose_face([face(90, 0.5)])
    likeliest = most_likely([face(90, 0.5), face(80, 0.6)])
    assert likeliest is not None and likeliest.height == 80
    assert most_likely([]) is None


def test_faces_are_counted_as_they_are_chosen():
    counted = {
        0: [], 1: [face(90), face(20)], 2: [face(90), face(80), face(70, 0.5)],
    }
    for count, faces in counted.items():
        assert count_faces(faces) == count
    assert count_faces([face(90, 0.5), face(80, 0.6)]) == 1  # nobody for sure: the likeliest alone


@pytest.mark.parametrize("size", [10, 96])
def test_a_picture_without_a_face(size):
    assert detect_faces(np.zeros((size, size, 3), np.uint8)) == []
    with pytest.raises(NoFaceError, match="shows no face"):
        align_picture(np.zeros((size, size, 3), np.uint8), 64)


def test_pictures_are_turned_as_their_camera_says():
    picture = Image.fromarray(ramp(10, 20))
    picture.getexif()[0x0112] = 6
    assert to_pixels(picture).shape == (20, 10, 3)
    assert to_pixels(picture.convert("L")).shape[2] == 3
    with pytest.raises(ShapeError, match="uint8"):
        to_pixels(np.zeros((4, 4), np.uint8))


def test_a_portrait_is_aligned():
    data = pytest.importorskip("skimage.data")
    portrait = data.astronaut()[:256, 96:352]
    aligned = align_picture(portrait, 96)
    assert aligned.shape == (3, 96, 96) and aligned.min() >= -1 and aligned.max() <= 1
    pixels = ((aligned + 1) * 127.5).round().byte().permute(1, 2, 0).numpy()
    eyes = detect_faces(pixels)[0].landmarks[:2] / 96
    # Where FFHQ has the eyes: one level, right and left of the middle, a little above it.
    assert abs(eyes[0, 1] - eyes[1, 1]) < 0.03 and abs(eyes[:, 0].mean() - 0.5) < 0.04
    assert 0.42 < eyes[:, 1].mean() < 0.53
