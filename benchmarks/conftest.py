"""Options of the bench, and the folder of results that its tests share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import attrs
import pytest

from benchmarks.harness import cases
from benchmarks.profiles import FULL, QUICK, Profile
from benchmarks.scenarios import SCENARIOS

OVERRIDES = ("steps", "samples", "identities", "seeds")
SPEED = pytest.StashKey[str]()
"""What test_speed.py has to say when all is done."""


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("bench", "the unlearnkit bench")
    group.addoption("--quick", action="store_true", help="the quick profile, in under 10 minutes (the default)")
    group.addoption("--full", action="store_true", help="the full profile; goes on where it stopped")
    group.addoption("--results", type=Path, help="folder of results; what it has is not done again")
    group.addoption("--part", default="1/1", help="I/N: only every N-th case; N processes may share one folder")
    for name in ("methods", "generators", "scenarios"):
        group.addoption(f"--{name}", help=f"only these {name}, separated by commas")
    for name in OVERRIDES:
        group.addoption(f"--{name}", type=int, help=f"another number of {name} than the profile's")
    group.addoption("--speed", choices=("small", "full"), help="size of test_speed.py; small if only that is asked for")
    group.addoption("--speed-json", type=Path, help="file that gets every time of test_speed.py")


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--quick") and config.getoption("--full"):
        raise pytest.UsageError("--quick and --full exclude each other")
    _part(config)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if text := config.stash.get(SPEED, ""):
        terminalreporter.section("speed")
        terminalreporter.write_line(text)


def profile_of(config: pytest.Config) -> Profile:
    """The profile that was asked for, with what the options change in it."""
    profile = FULL if config.getoption("--full") else QUICK
    changes: dict[str, Any] = {name: _listed(config, name) for name in ("generators", "scenarios")}
    changes |= {name: config.getoption(f"--{name}") for name in ("samples", "seeds")}
    if changes["scenarios"]:
        changes["only"] = {generator: changes["scenarios"] for generator in profile.only}
    for name in ("steps", "identities"):
        if number := config.getoption(f"--{name}"):
            changes[name] = dict.fromkeys(changes["generators"] or profile.generators, number)
    unknown = set(changes["scenarios"] or ()) - set(SCENARIOS)
    if unknown:
        raise pytest.UsageError(f"--scenarios: got {', '.join(sorted(unknown))}, expected {', '.join(SCENARIOS)}")
    return attrs.evolve(profile, **{name: value for name, value in changes.items() if value})


def is_whole(config: pytest.Config) -> bool:
    """True if the profile is as it is written, so that its numbers may be held against the expected ones."""
    return not any(config.getoption(f"--{name}") for name in OVERRIDES)


def is_partial(config: pytest.Config) -> bool:
    """True if only some of the profile's cases were asked for."""
    return any(_listed(config, name) for name in ("methods", "generators", "scenarios")) or _part(config)[1] > 1


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "case" not in metafunc.fixturenames:
        return
    part, parts = _part(metafunc.config)
    found = cases(profile_of(metafunc.config), _listed(metafunc.config, "methods"))
    chosen = [case for place, case in enumerate(found) if place % parts == part - 1]
    metafunc.parametrize("case", chosen, ids=lambda case: case.id)


@pytest.fixture(scope="session")
def results(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where results go."""
    given: Path | None = request.config.getoption("--results")
    if given is not None:
        return given
    if request.config.getoption("--full"):
        return Path("runs/benchmarks/full")
    return tmp_path_factory.mktemp("results")


def _listed(config: pytest.Config, name: str) -> tuple[str, ...] | None:
    value = config.getoption(f"--{name}")
    return tuple(value.split(",")) if value else None


def _part(config: pytest.Config) -> tuple[int, int]:
    text = config.getoption("--part")
    part, _, parts = text.partition("/")
    if not (part.isdigit() and parts.isdigit() and 1 <= int(part) <= int(parts)):
        raise pytest.UsageError(f"--part: got {text!r}, expected I/N with 1 ≤ I ≤ N, such as 1/2")
    return int(part), int(parts)

