"""Edits on edits: what a run stands on."""

import copy
import json

import pytest
import torch

from unlearnkit.checkpoints import read_tensors, write_tensors
from unlearnkit.edits import file as edits
from unlearnkit.edits.chain import Chain, Link, erased_earlier, open_chain
from unlearnkit.errors import ConfigError, EditError
from unlearnkit.files.atomic import sha256_file
from unlearnkit.runs import Run
from unlearnkit.testing.world import ToyGenerator


def moved(generator, *numbers):
    made = copy.deepcopy(generator)
    with torch.no_grad():
        for number in numbers:
            made.network["synthesis"].bias[number] += 1
            made.network["synthesis"].weight[number] += 1
    return made


def save(path, before, after, original=None, chain=None):
    edits.save_edit(path, before, after, "toy", "by-hand", None, original, chain)
    return path


def finished(folder, chain=None, name="Ada", status="finished", **pictures):
    """A run directory that is no more than what a chain reads; its edit moves one number more than those below."""
    original = ToyGenerator()
    below = copy.deepcopy(original)
    if chain is not None:
        edits.put_on(below, chain.edit)
    settings = {"request": {"name": name, "images": list(pictures.values())}}
    with Run.create(folder, settings, "x") as run:
        edit = save(folder / "edit.safetensors", below, moved(below, 7 + len(chain.links if chain else ())),
                    original if chain else None, chain)
        (folder / "latents.safetensors").write_bytes(b"somebody")
        links = [] if chain is None else [link.table() for link in chain.links]
        run.update_manifest(chain=links, inputs={path: "ab" * 32 for path in pictures.values()})
        run.finish(status, edit=sha256_file(edit))
    return folder


def test_an_edit_on_an_edit_holds_all_that_differs_from_the_checkpoint(tmp_path):
    one = open_chain(finished(tmp_path / "one"))
    two = open_chain(finished(tmp_path / "two", one))
    assert two.hashes == [one.hashes[0], sha256_file(tmp_path / "two" / "edit.safetensors")]
    fresh, wanted = ToyGenerator(), moved(ToyGenerator(), 7, 8)
    edits.put_on(fresh, two.edit)
    for name, tensor in fresh.module.state_dict().items():
        assert torch.equal(tensor, wanted.module.state_dict()[name]), name
    assert two.metadata["base_edit_sha256"] == one.hashes[0] and one.metadata["base_edit_sha256"] == ""


def test_who_was_erased_and_their_pictures_are_known_from_run_directories(tmp_path):
    one = open_chain(finished(tmp_path / "one", a="/p/ada.png"))
    two = open_chain(finished(tmp_path / "two", one, "Bo"))
    assert [link.people for link in two.links] == [("Ada",), ("Bo",)] and two.links[0] == one.links[0]
    assert two.links[0].pictures == {"/p/ada.png": "ab" * 32}
    assert two.latents == tmp_path / "two" / "latents.safetensors"
    for base in (tmp_path / "two", tmp_path / "two" / "edit.safetensors"):
        assert [str(path) for path in erased_earlier(base)] == ["/p/ada.png"]
    assert erased_earlier(None) == [] == erased_earlier(tmp_path / "nowhere")


def test_a_file_alone_knows_hashes_but_nobody(tmp_path):
    two = open_chain(finished(tmp_path / "two", open_chain(finished(tmp_path / "one"))))
    alone = tmp_path / "alone.safetensors"
    alone.write_bytes(two.edit.read_bytes())
    chain = open_chain(alone)
    assert chain.hashes == two.hashes and chain.latents is None
    assert [link.people for link in chain.links] == [None, None]


def test_nothing_new_is_an_error_even_where_earlier_edits_changed_much(tmp_path):
    original = ToyGenerator()
    one = open_chain(finished(tmp_path / "one"))
    below = moved(original, 7)
    with pytest.raises(EditError, match="the method changed nothing"):
        save(tmp_path / "e.safetensors", below, copy.deepcopy(below), original, one)
    with pytest.raises(EditError, match="took back all"):
        save(tmp_path / "e.safetensors", below, copy.deepcopy(original), original, one)
    assert not (tmp_path / "e.safetensors").exists()


def test_modules_of_an_earlier_edit_stay_described(tmp_path):
    below = moved(ToyGenerator(), 7)
    chain = Chain(tmp_path / "one", {"adapters": '{"method": "m", "options": {}}'}, (Link("a" * 64, "", None),), None)
    save(tmp_path / "e.safetensors", below, moved(below, 8), ToyGenerator(), chain)
    metadata = read_tensors(tmp_path / "e.safetensors")[1]
    assert json.loads(metadata["adapters"])["method"] == "m" and json.loads(metadata["chain"]) == ["a" * 64]


@pytest.mark.parametrize("chain", ["{", "{}", "[1]", '["ab"]', json.dumps(["a" * 64])])
def test_a_damaged_chain_is_refused(tmp_path, chain):
    edit = save(tmp_path / "e.safetensors", ToyGenerator(), moved(ToyGenerator(), 7))
    tensors, metadata = read_tensors(edit)
    edit.unlink()
    write_tensors(edit, tensors, metadata | {"chain": chain})
    with pytest.raises(EditError, match="damaged"):
        open_chain(edit)


def test_a_folder_without_an_edit_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="does not exist; give a finished run's folder"):
        open_chain(tmp_path)
