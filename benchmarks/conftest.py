"""The bench as tests: options, the plan of what is done, and how it ends."""

from __future__ import annotations

import io
import time
from pathlib import Path
from typing import Any

import pytest
from installed import use_installed

try:
    TESTED = use_installed()
except RuntimeError as mistake:
    raise pytest.UsageError(str(mistake)) from None

from unlearnkit.bench.plan import Plan, bench_plan, parse_part
from unlearnkit.bench.profiles import PROFILES, Profile, adjusted
from unlearnkit.bench.summary import show_summary
from unlearnkit.bench.tuned import USER
from unlearnkit.errors import UnlearnkitError

NUMBERS = ("steps", "samples", "identities", "seeds")
NAMES = ("methods", "generators", "scenarios")
FOLDER = Path("runs/bench")
PLAN = pytest.StashKey[Plan]()
RESULTS = pytest.StashKey[Path]()
SPEED = pytest.StashKey[list[str]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("bench", "the unlearnkit bench")
    group.addoption("--quick", action="store_true", help="the quick profile, some minutes (the default)")
    group.addoption("--full", action="store_true", help="the full profile, hours; goes on where it stopped")
    group.addoption("--photoreal", action="store_true",
                    help="photorealistic people, drawn by the fetched mobilestylegan, hours; goes on where it stopped")
    group.addoption("--results", type=Path, help="folder of results, what it has is not done again; quick: a new one")
    group.addoption("--part", default="1/1", help="I/N: only every N-th person; N processes may share one folder")
    group.addoption("--tuned", type=Path, default=USER, help=f"what 'unlearnkit bench --tune' wrote, by default {USER}")
    for name in NAMES:
        group.addoption(f"--{name}", help=f"only these {name}, separated by commas")
    for name in NUMBERS:
        group.addoption(f"--{name}", type=int, help=f"another number of {name} than the profile's")
    group.addoption("--speed", choices=("small", "full"), help="size of test_speed.py; small if only that is asked for")
    group.addoption("--speed-json", type=Path, help="file that gets every time of test_speed.py")
    group.addoption("--without-kernels", action="store_true", help="let test_speed.py time without native kernels")


def pytest_configure(config: pytest.Config) -> None:
    config.stash[SPEED] = []
    if len(chosen := [name for name in ("quick", "full", "photoreal") if config.getoption(f"--{name}")]) > 1:
        raise pytest.UsageError(f"{' and '.join(f'--{name}' for name in chosen)} exclude each other")
    name = _profile_name(config)
    name = f"quick-{time.strftime('%Y%m%d-%H%M%S')}" if name == "quick" else name
    folder = config.stash[RESULTS] = config.getoption("--results") or FOLDER / name
    try:
        config.stash[PLAN] = bench_plan(
            _profile(config), folder, _listed(config, "methods"), part=parse_part(config.getoption("--part")),
            tuned=config.getoption("--tuned"))
    except UnlearnkitError as error:
        raise pytest.UsageError(str(error)) from error


def pytest_report_header(config: pytest.Config) -> list[str]:
    """Which unlearnkit is tested, how many cases there are, and how long they take."""
    if not _runs_methods(config):
        return [f"unlearnkit: {TESTED}"]
    return [f"unlearnkit: {TESTED}", *(f"bench: {sentence}" for sentence in config.stash[PLAN].sentences()),
            f"bench: results go to {config.stash[RESULTS]}"]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "case" in metafunc.fixturenames:
        chosen = [task.case for task in metafunc.config.stash[PLAN].tasks]
        metafunc.parametrize("case", chosen, ids=lambda case: case.id)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """The comparison of the methods, and the times of test_speed.py, if either was measured."""
    from rich.console import Console

    folder = config.stash[RESULTS]
    if any((folder / "cases").glob("*.json")):
        writer = terminalreporter._tw
        text = io.StringIO()
        show_summary(folder, Console(file=text, width=writer.fullwidth, force_terminal=writer.hasmarkup,
                                     highlight=False))
        terminalreporter.section("bench")
        terminalreporter.write_line(text.getvalue())
    if times := config.stash[SPEED]:
        terminalreporter.section("speed")
        terminalreporter.write_line("\n".join(times))


@pytest.fixture(scope="session")
def results(request: pytest.FixtureRequest) -> Path:
    """Where results go."""
    return request.config.stash[RESULTS]


@pytest.fixture(scope="session")
def done(request: pytest.FixtureRequest) -> set[str]:
    """The ids of the cases that the folder had before."""
    plan = request.config.stash[PLAN]
    return {plan.tasks[place].case.id for place in plan.done}


@pytest.fixture(scope="session")
def whole(request: pytest.FixtureRequest) -> bool:
    """True if this is the quick profile as it is written, so that numbers may be held against the expected ones."""
    config = request.config
    return _profile_name(config) == "quick" and not any(config.getoption(f"--{name}") for name in NUMBERS)


@pytest.fixture(scope="session")
def partial(request: pytest.FixtureRequest) -> bool:
    """True if only some of the profile's cases were asked for."""
    config = request.config
    return any(_listed(config, name) for name in NAMES) or parse_part(config.getoption("--part"))[1] > 1


@pytest.fixture(scope="session")
def speed_texts(request: pytest.FixtureRequest) -> list[str]:
    """What test_speed.py has to say when all is done goes here."""
    return request.config.stash[SPEED]


def _profile(config: pytest.Config) -> Profile:
    numbers: dict[str, Any] = {name: config.getoption(f"--{name}") for name in NUMBERS}
    return adjusted(PROFILES[_profile_name(config)], **numbers,
                    generators=_listed(config, "generators"), scenarios=_listed(config, "scenarios"))


def _profile_name(config: pytest.Config) -> str:
    return next((name for name in ("full", "photoreal") if config.getoption(f"--{name}")), "quick")


def _runs_methods(config: pytest.Config) -> bool:
    """False if only test_speed.py or test_quality.py is asked for."""
    return not all("test_" in argument and "test_methods" not in argument for argument in config.args)


def _listed(config: pytest.Config, name: str) -> tuple[str, ...]:
    value = config.getoption(f"--{name}")
    return tuple(value.split(",")) if value else ()


