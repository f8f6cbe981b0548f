"""`--json`: one document of documented fields on standard output, and nothing else, whatever plugins print."""

from __future__ import annotations

import json
import subprocess
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from unlearnkit.cli.output import stdout_reserved

Cli = Callable[..., "subprocess.CompletedProcess[str]"]
PAGE = (Path(__file__).parents[2] / "docs" / "json.md").read_text()


def document(done: subprocess.CompletedProcess[str]) -> Any:
    """Strict JSON, of fields that are all documented."""
    def refuse(word: str) -> None:
        raise AssertionError(f"{word} is not JSON")

    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout, parse_constant=refuse)
    assert f"`{found['format']}`" in PAGE
    for field in found:
        assert f"`{field}`" in PAGE, f"docs/json.md does not mention {field}"
    return found


def test_plugins(cli: Cli, outside_path: Path, broken_path: Path) -> None:
    found = document(cli("plugins", "--json", paths=(outside_path, broken_path), UNLEARNKIT_DISABLE_PLUGINS="demo"))
    plugins = {plugin["name"]: plugin for plugin in found["plugins"]}
    assert plugins["outside"]["version"] == "1.2.3" and plugins["outside"]["error"] is None
    assert plugins["outside"]["components"][0] == {
        "kind": "generator", "name": "outside-toy", "description": "Tiny generator, made from a seed",
        "path": "unlearnkit_outside.generator:ToyGenerator",
    }
    states = {name: plugin["state"] for name, plugin in plugins.items()}
    assert (states["outside"], states["broken"], states["demo"]) == ("loaded", "broken", "disabled")
    assert "broken on purpose" in plugins["broken"]["error"] and found["problems"] == []


def test_show_kind_and_component(cli: Cli, outside_path: Path) -> None:
    kind = document(cli("show", "target", "--json", paths=(outside_path,)))
    assert kind["kind"] == "target" and "outside-shift" in [entry["name"] for entry in kind["components"]]
    shown = document(cli("show", "target", "outside-shift", "--json", paths=(outside_path,)))
    assert (shown["plugin"], shown["distribution"], shown["version"]) == ("outside", "unlearnkit-outside", "1.2.3")
    options = {option["name"]: option for option in shown["options"]}
    assert options["direction"]["allowed"] == "up, down" and isinstance(options["distance"]["default"], float)
    assert all(f"`{field}`" in PAGE for field in options["distance"])
    nudge = document(cli("show", "method", "outside-nudge", "--json", paths=(outside_path,)))
    assert nudge["preset"] == {"generator.noise": "random", "target.distance": 2.5}


def test_show_run(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "config.toml").write_text('seed = 1\n[method]\nname = "guide"\n')
    (tmp_path / "mine" / "metrics.json").write_text('{"identity": 0.123456, "fid": NaN}')
    (tmp_path / "mine" / "report.html").touch()
    assert document(cli("show", "run", "mine", "--json")) == {
        "format": "unlearnkit-run-1", "folder": "mine", "settings": {"seed": 1, "method": {"name": "guide"}},
        "manifest": {}, "metrics": {"identity": 0.123456, "fid": None}, "numbers": {}, "verdict": None,
        "files": {"edit": None, "report": "mine/report.html"},
    }


def test_doctor(cli: Cli, broken_path: Path) -> None:
    found = document(cli("doctor", "--json", paths=(broken_path,), UNLEARNKIT_NATIVE="0"))
    checks = {check["name"]: check for check in found["checks"]}
    assert checks["plugin broken"]["status"] == "broken" and checks["torch"]["values"]["version"]
    assert checks["native kernels (cpu)"]["status"] == "missing"
    assert checks["memory"]["values"]["total_bytes"] >= checks["memory"]["values"]["available_bytes"] > 0
    for check in found["checks"]:
        assert f"`{check['group']}`" in PAGE and all(f"`{field}`" in PAGE for field in (*check, *check["values"]))


def test_show_attack_says_what_its_attacker_has(cli: Cli) -> None:
    found = document(cli("show", "attack", "difference-search", "--json"))
    assert found["holds"] == {"base": True, "photo": False, "encoder": True, "compute": "search"}
    assert found["attacker_has"] == "the edited generator, its base, an identity encoder"
    said = cli("show", "attack", "difference-search").stdout
    assert "the attacker has the edited generator, its base, an identity encoder; computes: search" in said
    assert "holds" not in document(cli("show", "method", "guide", "--json"))


@pytest.mark.parametrize("arguments", [("plugins",), ("show", "attack"), ("show", "attack", "noisy"), ("doctor",)])
def test_what_plugins_print_goes_to_standard_error(cli: Cli, noisy_path: Path, arguments: tuple[str, ...]) -> None:
    done = cli(*arguments, "--json", paths=(noisy_path,))
    document(done)
    for way in ("print", "C", "descriptor", "child"):
        assert f"noise: {way} in import" in done.stderr and f"noise: {way} in exit" in done.stderr


def test_the_toml_of_a_dry_run_is_kept_clean_too(cli: Cli, noisy_path: Path) -> None:
    done = cli("run", "--method", "guide", "--generator", "stylegan2", "--dry-run", paths=(noisy_path,))
    assert done.returncode == 0, done.stderr
    assert tomllib.loads(done.stdout)["method"]["name"] == "guide"
    assert "noise: print in defaults" in done.stderr


def test_an_error_is_one_line_and_no_document(cli: Cli) -> None:
    done = cli("show", "method", "nonsense", "--json")
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert done.stderr.startswith("error: there is no method 'nonsense'")


def test_standard_output_is_given_back(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(RuntimeError, match="halfway"), stdout_reserved():
        print("inside")
        raise RuntimeError("halfway")
    with stdout_reserved(when=False):
        print("outside")
    assert capfd.readouterr() == ("outside\n", "inside\n")
