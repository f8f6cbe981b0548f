"""What many tests share: plugins from outside in a folder of their own, and the command as a process."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from unlearnkit import plugins

HERE = Path(__file__).parent
Cli = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(autouse=True)
def fresh_registry() -> Iterator[None]:
    """No test sees the plugins of another."""
    plugins.reset()
    yield
    plugins.reset()


def _install(project: str, target: Path) -> None:
    # From a copy, since building writes into the source; with --target, never into the developer's own venv.
    source = target.with_name("source")
    shutil.copytree(HERE / project, source, ignore=shutil.ignore_patterns("__pycache__"))
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
    command += ["--no-build-isolation", "--no-index", "--target", str(target), str(source)]
    subprocess.run(command, check=True, timeout=300, capture_output=True)


@pytest.fixture(scope="session")
def outside_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with the plugin `outside`, to be put on PYTHONPATH."""
    target = tmp_path_factory.mktemp("outside") / "site"
    _install("outside_plugin", target)
    return target


@pytest.fixture(scope="session")
def broken_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with the plugin `broken`, to be put on PYTHONPATH."""
    target = tmp_path_factory.mktemp("broken") / "site"
    _install("broken_plugin", target)
    return target


@pytest.fixture(scope="session")
def noisy_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with the plugin `noisy`, which prints wherever it can; it is small enough to be laid out by hand."""
    site = Path(shutil.copytree(HERE / "noisy_plugin", tmp_path_factory.mktemp("noisy") / "site"))
    metadata = site / "unlearnkit_noisy-0.0.1.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: unlearnkit-noisy\nVersion: 0.0.1\n")
    (metadata / "entry_points.txt").write_text("[unlearnkit]\nnoisy = unlearnkit_noisy\n")
    return site


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    """Run ``unlearnkit`` as a process in an empty folder; ``paths`` become PYTHONPATH."""

    def run(
        *arguments: str | Path, paths: tuple[Path, ...] = (), **env: str
    ) -> subprocess.CompletedProcess[str]:
        inherited = {key: value for key, value in os.environ.items() if not key.startswith("UNLEARNKIT_")}
        fixed = {"PYTHONPATH": os.pathsep.join(map(str, paths)), "COLUMNS": "200", "OMP_NUM_THREADS": "1"}
        environment = inherited | fixed | env
        command = [sys.executable, "-c", "from unlearnkit.cli import main; main()", *map(str, arguments)]
        return subprocess.run(
            command, capture_output=True, text=True, env=environment, cwd=tmp_path, timeout=300
        )

    return run


@pytest.fixture
def outside(outside_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[plugins.Registry]:
    """The registry with the plugin `outside` in it, in this process."""
    monkeypatch.syspath_prepend(outside_path)
    plugins.reset()
    yield plugins.registry()
    for name in [name for name in sys.modules if name.startswith("unlearnkit_outside")]:
        del sys.modules[name]
