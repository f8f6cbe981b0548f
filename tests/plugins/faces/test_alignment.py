"""Alignment: the published formula, exact sampling, and a real portrait where scikit-image is installed."""

from __future__ import annotations

import importlib.util
import sys

import numpy as np
import pytest
import torch
import unlearnkit_faces
from PIL import Image
from unlearnkit_faces import alignment, detection
from unlearnkit_faces.alignment import (
    align_if_needed,
    align_picture,
    ffhq_square,
    is_aligned,
    sample_square,
    similarity,
    to_pixels,
)
from unlearnkit_faces.detection import Face, choose_face, count_faces, detect_faces, most_likely

from unlearnkit.errors import ConfigError, NoFaceError, ShapeError

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


FFHQ = np.array([[96.0, 120.0], [160.0, 120.0], [128.0, 150.0], [101.0, 188.0], [155.0, 188.0]])
"""Landmarks of an aligned face in a picture of 256 pixels: its square is the picture."""


def at(left, landmarks=UPRIGHT):
    return Face((left, 10.0, left + 40.0, 60.0), 0.99, landmarks)


def test_faces_are_numbered_from_the_left_and_chosen_by_number():
    faces = [at(100), at(10)]
    assert choose_face(faces, 1).box[0] == 10 and choose_face(faces, 2).box[0] == 100
    with pytest.raises(NoFaceError, match=r"\(1 at x 10 to 50, 2 at x 100 to 140\), none has the number 3"):
        choose_face(faces, 3)
    assert choose_face([at(10)], 3).box[0] == 10, "a number is for pictures of several people"


def test_what_is_in_its_place_is_told_from_what_is_not():
    centre, half = ffhq_square(FFHQ)
    np.testing.assert_allclose([*centre, half[0]], [128, 126.8, 128], atol=6)
    assert is_aligned(FFHQ, 256) and is_aligned(FFHQ + 10, 256)
    assert not is_aligned(FFHQ + 40, 256) and not is_aligned(FFHQ, 512) and not is_aligned(FFHQ, 128)
    turn = np.array([[np.cos(0.4), -np.sin(0.4)], [np.sin(0.4), np.cos(0.4)]])
    assert not is_aligned((FFHQ - 128) @ turn.T + 128, 256)
    assert not is_aligned(np.ones((5, 2)), 256)


@pytest.mark.parametrize(("faces", "choice", "cut"), [
    ([], None, False), ([at(96, FFHQ)], None, False), ([at(96, FFHQ), at(10)], None, False),
    ([at(136, FFHQ + 40)], None, True), ([at(96, FFHQ), at(10)], "largest", True),
])
def test_auto_aligns_only_what_is_not_aligned(monkeypatch, faces, choice, cut):
    monkeypatch.setattr(alignment, "detect_faces", lambda pixels: faces)
    assert (align_if_needed(ramp(256, 256), 32, choice) is not None) == cut


def test_several_faces_are_numbered_in_a_picture_beside(monkeypatch, tmp_path):
    monkeypatch.setattr(alignment, "detect_faces", lambda pixels: [at(100), at(10)])
    photo = tmp_path / "me.jpg"
    Image.fromarray(ramp(100, 160)).save(photo)
    (tmp_path / "me-faces.png").write_bytes(b"mine")
    for _ in range(2):
        with pytest.raises(NoFaceError, match=r"--face N.*me-faces-2\.png shows the numbers"):
            align_picture(ramp(100, 160), 32, name=str(photo))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["me-faces-2.png", "me-faces.png", "me.jpg"]
    assert (tmp_path / "me-faces.png").read_bytes() == b"mine"
    drawn = np.asarray(Image.open(tmp_path / "me-faces-2.png"))
    assert drawn.shape == (100, 160, 3) and (drawn[60, 10:50] == [255, 255, 0]).all()
    assert (tmp_path / "me-faces-2.png").stat().st_mode & 0o777 == 0o600
    align_picture(ramp(100, 160), 32, 2, str(photo))


def test_a_folder_that_cannot_be_written_leaves_the_picture_out(monkeypatch):
    monkeypatch.setattr(alignment, "detect_faces", lambda pixels: [at(100), at(10)])
    with pytest.raises(NoFaceError, match=r"crop to the person$"):
        align_picture(ramp(100, 160), 32, name="/dev/null/me.jpg")


def test_without_the_detector_a_square_picture_is_left_alone(monkeypatch):
    monkeypatch.setitem(sys.modules, "facenet_pytorch", None)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    detection._detector.cache_clear()
    picture = Image.fromarray(ramp(64, 64))
    assert unlearnkit_faces.unlearnkit_align_picture(picture, 32, "me.png", None, False) is None
    with pytest.raises(ConfigError, match="--align no"):
        unlearnkit_faces.unlearnkit_align_picture(picture, 32, "me.png", None, True)


def test_a_portrait_is_aligned_once(tmp_path):
    """The astronaut's picture is square, but her face is not where FFHQ has it; in the result it is."""
    portrait = pytest.importorskip("skimage.data").astronaut()
    for size in (128, 256, 1024):
        aligned = align_if_needed(portrait, size)
        assert aligned is not None
        pixels = ((aligned + 1) * 127.5).round().byte().permute(1, 2, 0).numpy()
        assert align_if_needed(pixels, 64) is None


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


def test_a_very_long_picture_shows_no_face():
    """It shrinks to a line, of which MTCNN makes no pyramid."""
    from unlearnkit_faces.detection import detect_faces

    assert detect_faces(np.zeros((40, 20000, 3), np.uint8)) == []
