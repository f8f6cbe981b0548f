"""Who is named, by what names, and what a run keeps of everybody."""

import pytest
import torch

from unlearnkit.checkpoints import write_tensors
from unlearnkit.config import PersonSettings, RequestSettings, build
from unlearnkit.errors import ConfigError, RunError
from unlearnkit.interfaces import Person, Request
from unlearnkit.options.names import check_distinct, slugs
from unlearnkit.people.latents import load_people, save_people


@pytest.mark.parametrize("name", ["", " ", "a/b", "a\\b", "a\nb", "x" * 61])
def test_names_that_no_file_can_carry_are_refused(name):
    with pytest.raises(ConfigError, match=r"name: got .*without slashes"):
        PersonSettings(name=name)


def test_names_are_distinct_whatever_their_case():
    check_distinct(["Ada", "Bo"])
    with pytest.raises(ConfigError, match="'ADA'"):
        check_distinct(["Ada", "Bo", "ADA"])


def test_numbers_get_names_even_where_no_letter_is_left():
    assert slugs(["Ada B.", "ada-b", "Жанна", "太郎"]) == ["ada_b", "ada_b_1", "2", "3"]
    assert slugs(["a 2", "a", "a!"]) == ["a_2", "a", "a_2_2"], "never one name for two people"


def test_one_person_and_several_are_read_alike():
    one = {"name": "Ada", "images": ["a.png", "b.png"]}
    several = {"people": [one, {"name": "Bo", "latent_seed": 1}], "images": []}
    alone, together, nobody = (build(RequestSettings, table, "request") for table in (one, several, {}))
    assert alone.names == ["Ada"] and together.names == ["Ada", "Bo"] and nobody.names == ["person"]
    assert alone.pictures == together.pictures and len(alone.pictures) == 2
    assert "name" in alone.table() and "name" not in together.table()


def test_everybody_comes_back_from_the_file_to_the_bit(tmp_path):
    def somebody(name, count, pictures=False, n_erased=1):
        seen = torch.randn(count, 3, 4, 4) if pictures else None
        return Person(name, torch.randn(count, 2, 3), seen, n_erased)

    request = Request((somebody("Ada/B", 3, True, 2), somebody("Bo", 1)), (somebody("Cy", 1, True),),
                      (somebody("Bo", 2, n_erased=2), somebody("Bo", 1)))
    targets = torch.randn(3, 2, 3)
    save_people(tmp_path / "w.safetensors", request, targets)
    found, again = load_people(tmp_path / "w.safetensors", torch.device("cpu"))
    assert torch.equal(again, targets) and torch.equal(found.erased, request.erased) and len(found.erased) == 3
    for group in ("people", "bystanders", "earlier"):
        for old, new in zip(getattr(request, group), getattr(found, group), strict=True):
            assert (old.name, old.n_erased) == (new.name, new.n_erased) and torch.equal(old.latents, new.latents)
            assert (old.pictures is None) == (new.pictures is None)
            assert old.pictures is None or torch.equal(old.pictures, new.pictures)


@pytest.mark.parametrize("names", [
    ["erased/0/Ada/latents"], ["targets", "nobody/0/Ada/latents"], ["targets", "a/latents"],
])
def test_another_file_holds_no_people(tmp_path, names):
    write_tensors(tmp_path / "w.safetensors", {name: torch.ones(1, 2, 3) for name in names}, {})
    with pytest.raises(RunError, match="holds no people"):
        load_people(tmp_path / "w.safetensors", torch.device("cpu"))
