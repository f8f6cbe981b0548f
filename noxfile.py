"""The task runner: ``nox -l`` lists the tasks, ``nox -s tests`` runs one.

A session makes a virtual environment and installs what it needs. In an environment that has everything already
(``pip install -e '.[dev]'``), ``nox --no-venv -s tests`` uses that one. The Python is the one that runs nox.
"""

from __future__ import annotations

import nox
from nox.virtualenv import PassthroughEnv

nox.needs_version = ">=2024.4"
nox.options.default_venv_backend = "uv|venv"
nox.options.reuse_venv = "yes"
nox.options.sessions = ["lint", "types", "tests", "docs"]

CODE = ["unlearnkit", "plugins", "tests", "benchmarks", "docs", "setup.py", "noxfile.py"]


def prepare(session: nox.Session, extras: str) -> None:
    """Install unlearnkit with these extras, unless the session runs in the developer's own environment."""
    if not isinstance(session.virtualenv, PassthroughEnv):
        session.install("-e", f".[{extras}]")


@nox.session
def lint(session: nox.Session) -> None:
    """Style, likely mistakes, and who may import whom."""
    prepare(session, "test")
    session.run("ruff", "check", *CODE)
    session.run("lint-imports", "--no-logo")


@nox.session
def types(session: nox.Session) -> None:
    """Types of the package and of the plugins that ship."""
    prepare(session, "test")
    packages = [f"plugins/{name}/unlearnkit_{name}" for name in
                ("baselines", "demo", "eg3d", "faces", "guide", "stylegan2")]
    session.run("mypy", "unlearnkit", *packages)


@nox.session
def tests(session: nox.Session) -> None:
    """The tests; ``nox -s tests -- tests/docs -x`` passes arguments on to pytest."""
    prepare(session, "docs,test")
    session.run("pytest", "-q", *(session.posargs or ["-n", "2"]), env={"OMP_NUM_THREADS": "1"})


@nox.session
def docs(session: nox.Session) -> None:
    """Build the site; a broken link fails. ``nox -s docs -- serve`` shows it and follows changes."""
    prepare(session, "docs")
    session.run("mkdocs", *(session.posargs or ["build", "--strict"]), env={"NO_MKDOCS_2_WARNING": "1"})


@nox.session
def bench(session: nox.Session) -> None:
    """The quick bench: some minutes; a regression of quality fails."""
    prepare(session, "test")
    session.run("pytest", "benchmarks/", *(session.posargs or ["--quick"]), env={"OMP_NUM_THREADS": "1"})


@nox.session
def build(session: nox.Session) -> None:
    """A wheel and a source distribution in dist/."""
    if not isinstance(session.virtualenv, PassthroughEnv):
        session.install("build")
    session.run("python", "-m", "build")
