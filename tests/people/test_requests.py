"""From pictures, saved latents and seeds to the people of a request."""

import numpy as np
import pytest
import torch
from PIL import Image

from unlearnkit.config import RequestSettings, build
from unlearnkit.errors import ConfigError, NoFaceError, ShapeError
from unlearnkit.interfaces import Inverter
from unlearnkit.people import requests
from unlearnkit.people.latent_files import load_latent, save_latent
from unlearnkit.people.pictures import load_picture
from unlearnkit.people.requests import check_request, make_request, read_album
from unlearnkit.testing.world import ToyGenerator

CPU = torch.device("cpu")


class MeanColour(Inverter):
    """A picture's latent is its mean colour, in both rows."""

    rows = 2

    def invert(self, images, generator):
        return images.mean((2, 3))[:, None].repeat(1, self.rows, 1)


def asked(table):
    return build(RequestSettings, table, "request")


def made(table, inverter=None, seed=0):
    request, generator = asked(table), ToyGenerator()
    return make_request(request, read_album(request, generator.resolution), generator, inverter, seed, CPU)


def picture(path, colour=(255, 0, 0), size=(8, 8), **options):
    Image.new("RGB", size, colour).save(path, **options)
    return path


def test_a_picture_is_scaled_to_minus_one_and_one(tmp_path):
    image = load_picture(picture(tmp_path / "red.png"), 4)
    assert image.shape == (3, 4, 4)
    assert torch.equal(image[0], torch.ones(4, 4)) and torch.equal(image[1], -torch.ones(4, 4))


def test_a_small_picture_is_enlarged_within_range(tmp_path):
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (4, 4, 3), np.uint8)).save(tmp_path / "noise.png")
    image = load_picture(tmp_path / "noise.png", 16)
    assert image.shape == (3, 16, 16) and image.abs().max() <= 1


def test_a_photo_is_turned_as_its_camera_says(tmp_path):
    pixels = np.zeros((8, 8, 3), np.uint8)
    pixels[:, :4] = 255
    upright = Image.fromarray(pixels)
    exif = upright.getexif()
    exif[0x0112] = 3  # turned by 180 degrees
    upright.save(tmp_path / "turned.png", exif=exif)
    image = load_picture(tmp_path / "turned.png", 8)
    assert image[0, 0, 0] == -1 and image[0, 0, 7] == 1


@pytest.mark.parametrize(("name", "content", "says"), [
    ("text.png", b"hello", "cannot be read as a picture"),
    ("empty.png", b"", "cannot be read as a picture"),
])
def test_what_is_no_picture_is_refused(tmp_path, name, content, says):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ConfigError, match=says):
        load_picture(tmp_path / name, 4)


def test_a_cut_off_picture_is_refused(tmp_path):
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)).save(tmp_path / "whole.png")
    whole = (tmp_path / "whole.png").read_bytes()
    (tmp_path / "half.png").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ConfigError, match=r"half\.png cannot be read"):
        load_picture(tmp_path / "half.png", 4)


def test_a_picture_that_is_not_square_is_refused_with_the_way_out(tmp_path):
    with pytest.raises(ConfigError, match=r"8×4 pixels.*request\.align=true"):
        load_picture(picture(tmp_path / "wide.png", size=(8, 4)), 4)


def test_a_giant_picture_is_refused_before_it_is_unpacked(tmp_path):
    Image.new("1", (9000, 9000)).save(tmp_path / "giant.png")
    with pytest.raises(ConfigError, match=r"9000×9000 pixels"):
        load_picture(tmp_path / "giant.png", 4)


def test_alignment_goes_through_the_plugins_and_names_the_photo(tmp_path):
    with pytest.raises(NoFaceError, match=r"red\.png"):
        load_picture(picture(tmp_path / "red.png", size=(64, 64)), 16, align=True)


def test_a_saved_latent_comes_back(tmp_path):
    latent = torch.randn(2, 3)
    save_latent(tmp_path / "w.safetensors", latent)
    assert torch.equal(load_latent(tmp_path / "w.safetensors", ToyGenerator()), latent)


@pytest.mark.parametrize("shape", [(3,), (2, 3), (1, 2, 3)])
def test_arrays_of_every_usual_shape_are_read(tmp_path, shape):
    np.save(tmp_path / "w.npy", np.ones(shape))
    assert load_latent(tmp_path / "w.npy", ToyGenerator()).tolist() == torch.ones(2, 3).tolist()


@pytest.mark.parametrize(("array", "says"), [
    (np.ones((4, 3)), r"shape \(4, 3\).*needs \(2, 3\)"),
    (np.full((2, 3), np.nan), "finite"),
    (np.array([{}], dtype=object), "holds no latent"),
])
def test_other_arrays_are_refused(tmp_path, array, says):
    np.save(tmp_path / "w.npy", array, allow_pickle=True)
    with pytest.raises(ConfigError, match=says):
        load_latent(tmp_path / "w.npy", ToyGenerator())


def test_a_file_with_another_tensor_is_no_latent(tmp_path):
    from unlearnkit.checkpoints import write_tensors

    write_tensors(tmp_path / "other.safetensors", {"other": torch.ones(2, 3)}, {})
    with pytest.raises(ConfigError, match="holds no latent"):
        load_latent(tmp_path / "other.safetensors", ToyGenerator())


def test_pictures_become_latents_of_one_person_and_one_of_each_bystander(tmp_path):
    red, green, blue = (picture(tmp_path / f"{i}.png", colour) for i, colour in
                        enumerate([(255, 0, 0), (0, 255, 0), (0, 0, 255)]))
    settings = {"name": "Ada", "images": [str(red), str(green)], "bystanders": [str(blue)], "random_bystanders": 2}
    request = made(settings, MeanColour())
    (person,) = request.people
    assert person.name == "Ada" and person.pictures.shape == (2, 3, 4, 4)
    assert person.latents[0, 0].tolist() == [1, -1, -1] and person.latents[1, 1].tolist() == [-1, 1, -1]
    assert [other.name for other in request.bystanders] == ["2", "random-0", "random-1"]
    assert request.bystanders[0].latents.shape == (1, 2, 3) and request.bystanders[1].pictures is None


def test_bystanders_are_inverted_together_and_in_order(tmp_path, monkeypatch):
    monkeypatch.setattr(requests, "micro_batch_size", lambda device, resolution, count: 2)
    greys = [picture(tmp_path / f"{level}.png", (level,) * 3) for level in (0, 255, 51)]
    seen = []

    class Counting(MeanColour):
        def invert(self, images, generator):
            seen.append(len(images))
            return super().invert(images, generator)

    settings = {"images": [str(greys[0])], "bystanders": [str(grey) for grey in greys],
                "random_bystanders": 0}
    request = made(settings, Counting())
    assert seen == [1, 2, 1]
    for other, name, level in zip(request.bystanders, ("0", "255", "51"), (-1, 1, -0.6), strict=True):
        assert other.name == name and other.latents.shape == (1, 2, 3) and other.pictures.shape == (1, 3, 4, 4)
        assert torch.allclose(other.latents, torch.full((1, 2, 3), float(level)))
        assert torch.allclose(other.pictures, torch.full((1, 3, 4, 4), float(level)))


def test_a_seed_always_draws_the_same_person():
    def drawn(seed, run_seed):
        request = made({"latent_seed": seed}, None, run_seed)
        return request.people[0].latents

    assert torch.equal(drawn(3, 0), drawn(3, 1))
    assert not torch.equal(drawn(3, 0), drawn(4, 0))


def test_nobody_to_erase_is_refused():
    with pytest.raises(ConfigError, match="nobody to erase"):
        made({})


def test_a_picture_without_an_inverter_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="needs an inverter"):
        made({"images": [str(picture(tmp_path / "a.png"))]})


def test_an_inverter_for_another_generator_is_caught(tmp_path):
    class Longer(MeanColour):
        rows = 5

    with pytest.raises(ShapeError, match=r"\(1, 5, 3\).*\(1, 2, 3\)"):
        made({"images": [str(picture(tmp_path / "a.png"))]}, Longer())


def test_several_people_each_in_their_own_way(tmp_path):
    red, green = (picture(tmp_path / f"{i}.png", colour) for i, colour in enumerate([(255, 0, 0), (0, 255, 0)]))
    save_latent(tmp_path / "w.safetensors", torch.ones(2, 3))
    people = [{"name": "Ada", "images": [str(red), str(green)]},
              {"name": "Bo", "latent": str(tmp_path / "w.safetensors")}, {"name": "Cy", "latent_seed": 3}]
    request = made({"people": people}, MeanColour())
    assert [(one.name, len(one.latents)) for one in request.people] == [("Ada", 2), ("Bo", 1), ("Cy", 1)]
    alone = made({"latent_seed": 3}).people[0]
    assert torch.equal(request.people[2].latents, alone.latents)
    assert torch.equal(request.erased, torch.cat([one.latents[:1] for one in request.people]))


def test_the_first_pictures_are_erased(tmp_path):
    files = [str(picture(tmp_path / f"{i}.png", (80 * i, 0, 0))) for i in range(3)]
    request = made({"images": files, "erase": 2}, MeanColour())
    assert torch.equal(request.erased, request.people[0].latents[:2])


@pytest.mark.parametrize("who", [
    {"images": ["a.png"]}, {"latent_seed": 1}, {"people": [{"name": "Bo", "latent_seed": 1}]},
])
def test_more_pictures_to_erase_than_there_are_is_refused(who):
    with pytest.raises(ConfigError, match=r"request\.erase: got 2, but \w+ has 1"):
        check_request(asked({**who, "erase": 2}))


def test_nobody_is_erased_and_a_bystander(tmp_path):
    red, blue = picture(tmp_path / "red.png"), picture(tmp_path / "blue.png", (0, 0, 255))
    copy = tmp_path / "copy.png"
    copy.write_bytes(red.read_bytes())
    check_request(asked({"images": [str(red)], "bystanders": [str(blue)]}))
    with pytest.raises(ConfigError, match=r"copy\.png is also a picture to erase.*red\.png"):
        check_request(asked({"people": [{"name": "Ada", "images": [str(red)]}], "bystanders": [str(blue), str(copy)]}))
    with pytest.raises(ConfigError, match=r"blue\.png was erased by an earlier edit"):
        check_request(asked({"latent_seed": 1, "bystanders": [str(blue)]}), lambda path: path == blue)
