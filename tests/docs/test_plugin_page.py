"""docs/plugins.md is true: its code is a plugin that installs, keeps its promises and runs; its table is complete."""

from __future__ import annotations

import inspect
import json
import re
import runpy
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from pages import DOCS, installed
from rich.console import Console

from unlearnkit import plugins
from unlearnkit.cli import _COMMANDS, cli
from unlearnkit.config import resolve
from unlearnkit.plugins import hookspecs
from unlearnkit.testing import Subject, check_component, components_of
from unlearnkit.workflows.run import start_run

FILE = DOCS / "plugins.md"
PAGE = FILE.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def afternoon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The page's files in a folder, and what pip would leave behind: the plugin `afternoon` is installed."""
    folder = tmp_path_factory.mktemp("afternoon")
    with installed(FILE, folder):
        yield folder


def test_the_plugin_is_found(afternoon: Path) -> None:
    plugin = next(plugin for plugin in plugins.registry().plugins if plugin.name == "afternoon")
    assert plugin.error is None and plugin.distribution == "unlearnkit-afternoon"
    assert {(entry.kind, entry.name) for entry in plugin.registrations} == {
        ("loss", "fresh-face"), ("target", "mirror"), ("method", "afternoon"), ("generator", "blobs"),
        ("metric", "brightness"),
    }


def test_its_components_keep_their_promises(afternoon: Path) -> None:
    for subject in components_of("afternoon"):
        outcomes = check_component(subject)
        assert len(outcomes) > 10 and {outcome.state for outcome in outcomes} == {"passed"}, outcomes


def test_the_generator_with_a_file_keeps_its_promises(afternoon: Path, tmp_path: Path) -> None:
    from unlearnkit_afternoon.generator import Network, StoredBlobs

    torch.manual_seed(0)
    np.savez(tmp_path / "b.npz", **{name: value.numpy() for name, value in Network().state_dict().items()})
    stored = Subject("generator", "stored", {"checkpoint": str(tmp_path / "b.npz")}, component_class=StoredBlobs)
    states = {outcome.check: outcome.state for outcome in check_component(stored)}
    assert states["check_an_edit_applies_to_its_file"] == "passed" and "failed" not in states.values()


def test_its_own_tests_are_the_conformance_checks(afternoon: Path) -> None:
    module = runpy.run_path(str(afternoon / "tests" / "test_plugin.py"))
    (mark,) = module["test_conformance"].pytestmark
    cases = mark.args[1]
    assert 90 < len(cases) < 110, "the page says 'some hundred tests'"
    assert "loss-fresh-face-it_never_renders" in mark.kwargs["ids"], "the page names it"
    assert {type(subject) for subject, _ in cases} == {Subject}
    module["test_conformance"](*cases[0])


def test_a_run_with_everything_that_the_page_makes(afternoon: Path, tmp_path: Path) -> None:
    settings = resolve({
        "method.name": "afternoon", "method.steps": 3, "generator.name": "blobs", "request.latent_seed": 1,
        "request.random_bystanders": 1, "identity.name": "demo-identity", "judge.name": "demo-judge",
        "perceptual.name": "demo-trunk", "metrics.names": ["brightness"], "metrics.samples": 4, "device": "cpu",
    }, plugins.registry())
    assert settings.target.name == "mirror" and settings.losses["guide-global"].component.samples == 4
    run = start_run(settings, tmp_path / "run", Console(quiet=True))
    log = [json.loads(line) for line in (run.path / "log.jsonl").read_text().splitlines()]
    assert len(log) == 3 and "fresh-face/perceptual" in json.dumps(log[0])
    metrics = json.loads((run.path / "metrics.json").read_text())
    left = json.loads((run.path / "afternoon.json").read_text())
    page = (run.path / "report.html").read_text()
    row = page[page.index("<td>Brightness of random people, change<code"):].partition("</tr>")[0]
    assert "brightness_shift" in row and ">lower<" in row and ">16<" in row, "title, direction and count"
    assert "Brightness of random people, before" in page and ">n_brightness<" not in page
    assert metrics["n_brightness"] == 16 and left == {"as_bright": metrics["brightness_shift"] < 0.1}


def test_every_hook_is_in_the_table() -> None:
    rows = re.findall(r"^\| `(unlearnkit_\w+\([^)]*\))` \| ", PAGE, re.MULTILINE)
    hooks = {name: function for name, function in vars(hookspecs).items() if name.startswith("unlearnkit_")}
    wanted = [f"{name}({', '.join(inspect.signature(hook).parameters)})" for name, hook in hooks.items()]
    assert sorted(rows) == sorted(wanted), "the table 'Every hook' of docs/plugins.md and hookspecs.py differ"


def test_every_command_on_the_page_exists() -> None:
    named = set(re.findall(r"(?:^|`)unlearnkit ([a-z]+)", PAGE, re.MULTILINE))
    assert named and named <= set(_COMMANDS)


def test_every_run_on_the_page_has_sound_settings(afternoon: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs = re.findall(r"^unlearnkit (run .*)$", PAGE, re.MULTILINE)
    assert len(runs) == 2
    for line in runs:
        cli.main([*shlex.split(line), "--dry-run"], prog_name="unlearnkit", standalone_mode=False)
        assert tomllib.loads(capsys.readouterr().out)["method"]["name"] == "afternoon"
