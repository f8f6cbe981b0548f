"""Edits: what changed, tied to its base."""

import copy
from unittest.mock import Mock

import attrs
import pytest
import torch

from unlearnkit.checkpoints import file_sha256, write_tensors
from unlearnkit.config import option
from unlearnkit.edits import file as edits
from unlearnkit.errors import EditError, PluginError
from unlearnkit.interfaces import Base
from unlearnkit.testing.world import ToyGenerator


def pair():
    """A toy before and after one number of one tensor changed."""
    before = ToyGenerator()
    after = copy.deepcopy(before)
    with torch.no_grad():
        after.network["synthesis"].bias[7] += 1e-7
    return before, after


def changed(generator):
    generator.network["synthesis"].bias.data[3] += 1
    return generator


def other_base(sha256):
    @attrs.define(eq=False)
    class Other(ToyGenerator):
        base = property(lambda self: Base("other.pkl", "toy", sha256))

    return Other()


def test_only_what_changed_is_saved_even_by_the_last_bit(tmp_path):
    before, after = pair()
    assert edits.save_edit(tmp_path / "e.safetensors", before, after, "toy", "by-hand") == 1
    tensors, metadata = edits.load_edit(tmp_path / "e.safetensors")
    assert list(tensors) == ["synthesis.bias"]
    assert metadata["base_sha256"] == before.base.sha256 and metadata["method"] == "by-hand"


def test_nothing_changed_is_an_error_and_leaves_no_file(tmp_path):
    with pytest.raises(EditError, match="changed nothing"):
        edits.save_edit(tmp_path / "e.safetensors", ToyGenerator(), ToyGenerator(), "toy", "lazy")
    assert not list(tmp_path.iterdir())


def test_an_edit_on_its_base_gives_the_edited_generator_to_the_bit(tmp_path):
    before, after = pair()
    edits.save_edit(tmp_path / "e.safetensors", before, after, "toy", "by-hand")
    fresh = ToyGenerator()
    edits.put_on(fresh, tmp_path / "e.safetensors")
    for name, tensor in after.module.state_dict().items():
        assert torch.equal(fresh.module.state_dict()[name], tensor), name


def test_another_base_is_refused_and_left_alone(tmp_path):
    before, after = pair()
    edits.save_edit(tmp_path / "e.safetensors", before, after, "toy", "by-hand")
    other = other_base("f" * 64)
    untouched = copy.deepcopy(other.module.state_dict())
    with pytest.raises(EditError, match=r"another base.*0000.*ffff"):
        edits.put_on(other, tmp_path / "e.safetensors")
    assert all(torch.equal(untouched[name], tensor) for name, tensor in other.module.state_dict().items())


@pytest.mark.parametrize("tensors", [
    {"synthesis.bias": torch.zeros(5)},
    {"synthesis.bias": torch.zeros(48, dtype=torch.float64)},
    {"mapping.bias": torch.zeros(3), "nowhere": torch.zeros(1)},
])
def test_tensors_without_a_place_are_refused_before_any_is_written(tmp_path, tensors):
    metadata = {"format": edits.FORMAT, "generator": "toy", "base_sha256": "0" * 64, "base_format": "toy"}
    write_tensors(tmp_path / "e.safetensors", tensors, metadata)
    fresh = ToyGenerator()
    with pytest.raises(EditError, match="has no place"):
        edits.put_on(fresh, tmp_path / "e.safetensors")
    before = ToyGenerator().module.state_dict()
    assert all(torch.equal(before[name], tensor) for name, tensor in fresh.module.state_dict().items())


@pytest.mark.parametrize(("adapters", "words"), [
    ("{", "is damaged"), ("null", "is damaged"), ('{"method": "m"}', "is damaged"), ("[" * 100_000, "is damaged"),
    ('{"method": "legato", "options": [1]}', "is damaged"), ('{"method": "nobody", "options": {}}', "'nobody'"),
    ('{"method": ["legato"], "options": {}}', "no method"),
    ('{"method": "guide", "options": {}}', "adds no modules"),
    ('{"method": "legato", "options": {"hidden": 100000}}', "hidden: got 100000"),
    ('{"method": "legato", "options": {"step": Infinity, "duration": NaN}}', "step: got inf"),
    ('{"method": "legato", "options": {"step": 1e-9}}', "duration: got"),
])
def test_what_an_edit_says_of_its_adapters_is_not_believed(tmp_path, adapters, words):
    metadata = {"format": edits.FORMAT, "generator": "toy", "base_sha256": "0" * 64, "base_format": "toy"}
    write_tensors(tmp_path / "e.safetensors", {"nowhere": torch.zeros(1)}, metadata | {"adapters": adapters})
    with pytest.raises(EditError) as caught:
        edits.put_on(ToyGenerator(), tmp_path / "e.safetensors")
    assert words in str(caught.value) and "e.safetensors" in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("metadata", [{}, {"format": "somebody-else"}, {"format": edits.FORMAT}])
def test_other_files_are_no_edits(tmp_path, metadata):
    write_tensors(tmp_path / "e.safetensors", {"synthesis.bias": torch.zeros(48)}, metadata)
    with pytest.raises(EditError, match="is no edit"):
        edits.load_edit(tmp_path / "e.safetensors")


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_numbers_that_are_not_finite_are_refused(tmp_path, bad):
    before, after = pair()
    after.network["synthesis"].bias.data[3] = bad
    edits.save_edit(tmp_path / "e.safetensors", before, after, "toy", "by-hand")
    fresh = ToyGenerator()
    with pytest.raises(EditError, match=r"'synthesis.bias' has numbers that are not finite"):
        edits.put_on(fresh, tmp_path / "e.safetensors")
    assert torch.equal(fresh.network["synthesis"].bias, before.network["synthesis"].bias)


def test_the_options_of_a_base_travel_with_the_edit(tmp_path, monkeypatch):
    @attrs.define(eq=False)
    class Labelled(ToyGenerator):
        base_options = ("label", "style")
        label: int | None = option(None, help="class to draw")
        style: str | None = option(None, help="stays where it is not given")
        other: int = option(1, help="belongs to the run, not to the base")

    monkeypatch.setattr(edits, "registry", lambda: Mock(component_class=lambda kind, name: Labelled))
    edits.save_edit(tmp_path / "e.safetensors", Labelled(label=2), changed(Labelled(label=2)), "labelled", "by-hand")
    metadata = edits.load_edit(tmp_path / "e.safetensors")[1]
    assert edits.base_options(metadata) == {"label": 2}
    assert edits.base_options({"generator": "labelled"}) == {}, "an edit from before there were any"
    for text in ("{", "[]", "3", '{"checkpoint": "/etc/passwd"}', '{"other": 2}', "[" * 100_000):
        with pytest.raises(EditError, match="damaged") as caught:
            edits.base_options(metadata | {"base_options": text})
        assert "\n" not in str(caught.value)


def test_what_a_plugin_leaves_beside_its_file_is_removed(tmp_path):
    @attrs.define(eq=False)
    class Careless(ToyGenerator):
        base = property(lambda self: Base(tmp_path / "toy.bin", "toy", file_sha256(tmp_path / "toy.bin")))

        @classmethod
        def write_edited(cls, base, tensors, out):
            out.with_suffix(".tmp").write_bytes(b"left")
            if out.name == "none":
                raise ValueError("a bug of the plugin")
            if out.name != "empty":
                out.write_bytes(bytes(base.data[:3]) + b"edited")

    (tmp_path / "toy.bin").write_bytes(b"toy")
    edit = tmp_path / "e.safetensors"
    edits.save_edit(edit, Careless(), changed(Careless()), "toy", "by-hand")
    edits.apply_edit(edit, tmp_path / "toy.bin", tmp_path / "out.bin", Careless)
    assert (tmp_path / "out.bin").read_bytes() == b"toyedited"
    with pytest.raises(PluginError, match="wrote nothing"):
        edits.apply_edit(edit, tmp_path / "toy.bin", tmp_path / "empty", Careless)
    with pytest.raises(ValueError, match="a bug of the plugin"):  # not called a damaged file
        edits.apply_edit(edit, tmp_path / "toy.bin", tmp_path / "none", Careless)
    assert {path.name for path in tmp_path.iterdir()} == {"e.safetensors", "toy.bin", "out.bin"}
