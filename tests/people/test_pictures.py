"""Pictures of every usual kind: read as they look, or refused in one line."""

import os

import numpy as np
import pytest
from PIL import Image

from unlearnkit.errors import ConfigError
from unlearnkit.people.pictures import check_picture, load_picture

RAMP = np.linspace(0, 1, 16)[None].repeat(16, 0)


def save(path, array, mode=None):
    picture = Image.fromarray(array)
    (picture if mode is None else picture.convert(mode)).save(path)
    return path


@pytest.mark.parametrize(("name", "array"), [
    ("8bit.png", (RAMP * 255).astype(np.uint8)),
    ("16bit.png", (RAMP * 65535).astype(np.uint16)),
    ("16bit.tif", (RAMP * 65535).astype(np.uint16)),
    ("int32.tif", (RAMP * 65535).astype(np.int32)),
    ("small-int32.tif", (RAMP * 255).astype(np.int32)),
    ("float.tif", RAMP.astype(np.float32)),
    ("float255.tif", (RAMP * 255).astype(np.float32)),
])
def test_greys_of_any_depth_keep_their_scale(tmp_path, name, array):
    image = load_picture(save(tmp_path / name, array), 16)
    wanted = RAMP * 2 - 1
    assert all(np.abs(channel.numpy() - wanted).max() < 0.01 for channel in image)


@pytest.mark.parametrize(("array", "says"), [
    (np.full((8, 8), np.nan, np.float32), "nan"), (RAMP.astype(np.float32) * 4000, "4000"),
    (-RAMP.astype(np.float32), "-1"), ((RAMP * 2**30).astype(np.int32), "scale is not known"),
])
def test_greys_without_a_known_scale_are_refused(tmp_path, array, says):
    with pytest.raises(ConfigError, match=says):
        check_picture(save(tmp_path / "deep.tif", array))


@pytest.mark.parametrize(("name", "mode"), [("a.jpg", "CMYK"), ("a.png", "P"), ("a.gif", "P"), ("a.png", "1"),
                                            ("a.jpg", "YCbCr")])
def test_other_colour_spaces_look_the_same(tmp_path, name, mode):
    red = np.zeros((16, 16, 3), np.uint8)
    red[..., 0] = 255
    image = load_picture(save(tmp_path / name, red, mode), 16)
    assert (image[0].mean() > image[1].mean() + 1) == (mode != "1")


def test_what_is_transparent_is_white(tmp_path):
    array = np.zeros((8, 8, 4), np.uint8)
    array[:, :4] = (255, 0, 0, 255)
    image = load_picture(save(tmp_path / "a.png", array), 8)
    assert image[:, 0, 0].tolist() == [1, -1, -1] and image[:, 0, 7].tolist() == [1, 1, 1]
    palette = Image.new("P", (8, 8), 0)
    palette.putpalette([0, 0, 0, 255, 0, 0])
    palette.paste(1, (0, 0, 4, 8))
    palette.save(tmp_path / "p.png", transparency=0)
    assert load_picture(tmp_path / "p.png", 8)[:, 0, 7].tolist() == [1, 1, 1]
    with pytest.raises(ConfigError, match="transparent everywhere"):
        check_picture(save(tmp_path / "none.png", np.zeros((8, 8, 4), np.uint8)))


@pytest.mark.parametrize("suffix", ["gif", "png", "webp", "tif"])
def test_several_pictures_in_one_file_are_refused(tmp_path, suffix):
    frames = [Image.new("RGB", (16, 16), colour) for colour in ("red", "blue", "green")]
    frames[0].save(tmp_path / f"a.{suffix}", save_all=True, append_images=frames[1:])
    with pytest.raises(ConfigError, match="holds 3 pictures"):
        check_picture(tmp_path / f"a.{suffix}")


@pytest.mark.parametrize(("size", "says"), [
    ((1, 1), "1×1 pixels, too few"), ((20000, 20000), "too many pixels"), ((9000, 9000), "9000×9000"),
])
def test_sizes_that_no_face_has_are_said_truly(tmp_path, size, says):
    Image.new("1", size).save(tmp_path / "a.png")
    with pytest.raises(ConfigError, match=says):
        check_picture(tmp_path / "a.png")


def test_a_phone_s_format_is_named(tmp_path):
    (tmp_path / "a.heic").write_bytes(b"\0\0\0\x18ftypheic" + bytes(100))
    with pytest.raises(ConfigError, match=r"HEIC.*save it as JPEG or PNG"):
        check_picture(tmp_path / "a.heic")


def test_what_is_no_file_is_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "zero.png").symlink_to("/dev/zero")
    for name in ("pipe.png", "zero.png"):
        with pytest.raises(ConfigError, match="pipe, socket or device"):
            check_picture(tmp_path / name)
    with pytest.raises(ConfigError, match="cannot be read as a picture"):
        check_picture(tmp_path / "gone.png")
