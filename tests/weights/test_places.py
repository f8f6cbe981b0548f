"""Weight files: what a record promises, where they are looked for, and the check of their hash."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import attrs
import pytest

from unlearnkit.errors import CheckpointError, ConfigError, PluginError
from unlearnkit.weights import WeightFile, find_file, place

FILE = WeightFile(
    name="net", purpose="identity encoder net", file_name="net.pth", licence="MIT", size=2_000_000,
    url="https://example.org/net.pth", setting="--set identity.weights=FILE", instead="choose another")


@pytest.fixture(autouse=True)
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    return tmp_path / "torch"


def put(home: Path, folder: str, content: bytes, name: str = FILE.file_name) -> Path:
    path = home / folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def test_it_imports_no_torch() -> None:
    code = "import sys, unlearnkit.weights, unlearnkit.weights.fetch; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_folder_is_torchs() -> None:
    import torch

    assert place(FILE).parent == Path(torch.hub.get_dir()) / "checkpoints"


def test_a_missing_file_is_explained(home: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        find_file(None, FILE)
    for part in (str(home / "hub" / "checkpoints" / "net.pth"), "'unlearnkit fetch net'", "2 MB", "licence: MIT",
                 "https://example.org/net.pth", "--set identity.weights=FILE", "choose another", "nothing is"):
        assert part in str(caught.value)


def test_a_file_that_only_a_person_can_get_says_where_to_save_it() -> None:
    with pytest.raises(ConfigError, match=r"get net\.pth from the page of x/y.*save it as .*net\.pth"):
        find_file(None, attrs.evolve(FILE, url="", page="the page of x/y"))


@pytest.mark.parametrize("folder", ["hub/checkpoints", "checkpoints"])
def test_the_cache_is_found(home: Path, folder: str) -> None:
    path = put(home, folder, b"weights")
    assert find_file(None, FILE) == path


@pytest.mark.parametrize("digits", [8, 64])
def test_a_cached_file_must_have_its_hash(home: Path, digits: int) -> None:
    file = attrs.evolve(FILE, sha256=hashlib.sha256(b"weights").hexdigest()[:digits])
    path = put(home, "hub/checkpoints", b"weights")
    assert find_file(None, file) == path
    put(home, "hub/checkpoints", b"others!!!")
    with pytest.raises(CheckpointError, match=f"expected {file.sha256}; delete it and run 'unlearnkit fetch net'"):
        find_file(None, file)


def test_a_path_that_was_given_must_exist(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="does not exist"):
        find_file(tmp_path / "no.pth", FILE)
    with pytest.raises(CheckpointError, match="is a folder"):
        find_file(tmp_path, FILE)


@pytest.mark.parametrize("change", [
    {"name": "a b"}, {"file_name": "../x"}, {"file_name": "/x"}, {"file_name": ".x"}, {"licence": ""}, {"size": -1},
    {"sha256": "xyz"}, {"url": "file:///etc/passwd"}, {"url": ""}, {"package": "a", "member": "b"},
    {"package": "a==1"}, {"package": "--index-url=x==1", "member": "b"},
])
def test_a_malformed_record_is_refused(change: dict[str, str]) -> None:
    with pytest.raises(PluginError, match="malformed"):
        attrs.evolve(FILE, **change)


@pytest.mark.parametrize(("size", "text"), [(0, "size unknown"), (95_600_000, "95.6 MB"), (1_200_000_000, "1.2 GB")])
def test_sizes_in_words(size: int, text: str) -> None:
    assert attrs.evolve(FILE, size=size).size_text == text
