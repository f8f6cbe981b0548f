"""The Python front door: its names, that they are light, and that a run shows itself."""

from __future__ import annotations

import inspect
import subprocess
import sys
import time
from pathlib import Path

import click
import pytest
import torch

import unlearnkit
from unlearnkit.cli import cli
from unlearnkit.errors import ConfigError, RunError
from unlearnkit.plugins import Registry
from unlearnkit.workflows import run as run_module

DOCS = Path(__file__).parents[1] / "docs"
ENCODERS = {"identity": "demo-identity", "judge": "demo-judge", "perceptual": "demo-trunk"}


def parameters(command: str) -> set[str]:
    found = cli.get_command(click.Context(cli), command)
    assert found is not None
    return {parameter.name or "" for parameter in found.params} - {"debug", "as_json"}


def test_the_public_surface() -> None:
    assert sorted(unlearnkit.__all__) == [
        "Run", "__version__", "apply_edit", "audit", "invert", "load_generator", "unlearn",
    ]
    assert set(dir(unlearnkit)) >= set(unlearnkit.__all__)
    for name in unlearnkit.__all__:
        value = getattr(unlearnkit, name)
        assert name == "__version__" or inspect.getdoc(value), name
    with pytest.raises(AttributeError, match="no attribute 'forget'"):
        unlearnkit.forget  # noqa: B018


def test_every_public_name_is_in_the_api_reference() -> None:
    pages = "\n".join(page.read_text(encoding="utf-8") for page in DOCS.rglob("*.md"))
    missing = [name for name in unlearnkit.__all__ if f"unlearnkit.{name}" not in pages and name != "__version__"]
    assert not missing, f"document {missing} in docs/"


def test_every_keyword_is_an_option_of_the_command_line() -> None:
    keywords = set(inspect.signature(unlearnkit.unlearn).parameters) - {"quiet"}
    assert keywords == parameters("run") - {"resume", "dry_run"}
    keywords = set(inspect.signature(unlearnkit.audit).parameters) - {"quiet"}
    assert keywords == {{"attacks": "attack", "sets": "set"}.get(name, name) for name in parameters("audit")}
    assert set(inspect.signature(unlearnkit.invert).parameters) == parameters("invert") - {"out", "config"}


def test_importing_is_light() -> None:
    program = "import sys, time; start = time.perf_counter(); import unlearnkit; " \
              "print(time.perf_counter() - start); sys.exit('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, "import unlearnkit imports torch"
    assert time.perf_counter() > 0 and float(done.stdout) < 5  # timings never gate: this only catches a heavy import


def test_python_m(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-m", "unlearnkit", "--version"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and done.stdout.startswith("unlearnkit")


@pytest.fixture
def run(outside: Registry, tmp_path: Path) -> unlearnkit.Run:
    return unlearnkit.unlearn(
        "outside-nudge", "outside-toy", latent_seed=1, out=tmp_path / "run", quiet=True, device="cpu", **ENCODERS,
        set={"metrics.names": ["identity"], "request.random_bystanders": 1, "metrics.samples": 4},
    )


def test_a_run_shows_itself(run: unlearnkit.Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert isinstance(run, unlearnkit.Run) and run.report.is_file() and run.edit.is_file()
    assert run.numbers["erased_before"] == pytest.approx(1) and run.verdict.answer
    page = run._repr_html_()
    assert page.count("<img") >= 3 and "data:image/png;base64," in page and run.verdict.answer in page
    assert "<script" not in page and str(run.path) in page
    run.show()
    assert run.verdict.answer in capsys.readouterr().out


def test_a_run_is_opened_again(run: unlearnkit.Run) -> None:
    again = unlearnkit.Run.open(run.path)
    assert again.numbers == run.numbers and again.settings.generator.name == "outside-toy"
    with pytest.raises(RunError, match="no run directory"):
        unlearnkit.Run.open(run.path / "images")


def test_a_generator_with_an_edit(run: unlearnkit.Run) -> None:
    plain = unlearnkit.load_generator("outside-toy", device="cpu")
    edited = unlearnkit.load_generator("outside-toy", edit=run.edit, device="cpu")
    latents = plain.sample_latents(1, torch.Generator().manual_seed(0))
    assert not torch.equal(plain.render(latents).image, edited.render(latents).image)
    assert not any(value.requires_grad for value in edited.module.parameters())


def test_an_audit_from_python(run: unlearnkit.Run) -> None:
    (result,) = unlearnkit.audit(run, attack="neighbours", set={"attack.neighbours.latents": 4}, quiet=True)
    assert result.attack == "neighbours" and result.budget == 4 and (run.path / "audit.json").is_file()


def test_mistakes_are_typed_errors(outside: Registry, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no setting 'target\.distanse'"):
        unlearnkit.unlearn("outside-nudge", "outside-toy", latent_seed=1, out=tmp_path / "run", quiet=True, **ENCODERS,
                           set={"target.distanse": 3})
    with pytest.raises(ConfigError, match="exclude each other"):
        unlearnkit.unlearn("outside-nudge", "outside-toy", latent_seed=1, person={"Ada": "seed:1"}, quiet=True)
    assert not (tmp_path / "run").exists()


def test_an_interrupted_run_is_continued(
    outside: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def start(name: str) -> unlearnkit.Run:
        return unlearnkit.unlearn(
            "guide", "outside-toy", steps=2, latent_seed=1, out=tmp_path / name, quiet=True, device="cpu", **ENCODERS,
            set={"metrics.names": ["identity"], "request.random_bystanders": 1, "metrics.samples": 4},
        )

    whole = start("whole")
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(run_module, "write_report", lambda run: (_ for _ in ()).throw(KeyboardInterrupt))
        start("cut")
    cut = unlearnkit.Run.open(tmp_path / "cut")
    assert cut.manifest["status"] == "interrupted" and "interrupted" in cut._repr_html_()
    again = cut.resume(quiet=True)
    assert again.edit.read_bytes() == whole.edit.read_bytes() and again.verdict == whole.verdict
    with pytest.raises(RunError, match="is finished"):
        again.resume(quiet=True)
