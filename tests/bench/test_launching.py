"""A bench through a launcher: a process for every person, and the same results as in one process."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import attrs
import psutil
import pytest
from conftest import Cli
from handmade_results import result

from unlearnkit.bench.launching import launch_plan, people_left
from unlearnkit.bench.plan import Plan, bench_plan
from unlearnkit.bench.profiles import QUICK
from unlearnkit.errors import RunError
from unlearnkit.launchers.local import Local
from unlearnkit.launchers.starting import launching_folder
from unlearnkit.results import Result, read_results, write_result

TWO = ("guide", "closed-form")
TINY = ("bench", "--methods", "closed-form,gradient-ascent-only", "--scenarios", "random", "--identities", "2",
        "--steps", "2", "--samples", "4")


def plan_with_one_person_done(folder: Path) -> Plan:
    plan = bench_plan(QUICK, folder, TWO)
    for task in plan.tasks[:2]:
        case = task.case
        write_result(folder, result(case.method, case.identity.name, generator=case.generator, scenario=case.scenario,
                                    budget=case.budget, settings={}))
    return bench_plan(QUICK, folder, TWO)


def test_people_who_have_cases_left_get_their_part(tmp_path: Path) -> None:
    plan = plan_with_one_person_done(tmp_path)
    ((name, part),) = people_left(plan)
    assert part == "2/2" and name == plan.todo[0].person
    assert bench_plan(QUICK, tmp_path, TWO, part=(2, 2)).todo == plan.todo


def test_the_process_of_a_person_gets_arguments_and_cores(tmp_path: Path) -> None:
    class Noting(Local):
        def launch(self, works, folder):
            noted.extend(works)
            yield from ()

    noted: list = []
    plan = plan_with_one_person_done(tmp_path)
    assert launch_plan(plan, Noting(cpus=3, retries=1), ["bench", "--quick"], tmp_path) == []
    (work,) = noted
    assert work.arguments == ("-m", "unlearnkit", "bench", "--quick", "--part", "2/2") and work.retries == 1
    assert work.environment == {"OMP_NUM_THREADS": "3"} and work.log.parent == tmp_path / "logs"


def test_two_do_not_launch_into_one_folder(tmp_path: Path) -> None:
    plan = plan_with_one_person_done(tmp_path)
    with launching_folder(tmp_path, "bench"), pytest.raises(RunError, match=r"another process .* is at the bench in"):
        launch_plan(plan, Local(), ["bench"], tmp_path)


def without_times(found: list) -> list[Result]:
    plain = [attrs.evolve(item.result, seconds={}, peak_bytes=0, pictures={}) for item in found]
    return sorted(plain, key=lambda one: one.id)


@pytest.mark.slow
def test_a_killed_process_goes_on_and_the_results_are_those_of_one_process(cli: Cli, tmp_path: Path) -> None:
    alone = cli(*TINY, "--results", "alone")
    assert alone.returncode == 0, alone.stderr
    command = [sys.executable, "-m", "unlearnkit", *TINY, "--results", "many", "--launcher", "local"]
    many = [*command, "--set", "launcher.workers=1"]
    process = subprocess.Popen(many, cwd=tmp_path, stdout=subprocess.PIPE, text=True)
    killed = 0
    while process.poll() is None:
        with contextlib.suppress(psutil.NoSuchProcess):  # one may end while it is looked at
            for child in psutil.Process(process.pid).children(recursive=True):
                if not killed and "--part" in child.cmdline() and list((tmp_path / "many").glob("cases/*.json")):
                    os.kill(child.pid, signal.SIGKILL)
                    killed += 1
        time.sleep(0.02)
    said = process.communicate()[0]
    assert process.returncode == 0 and killed == 1 and "in 2 starts" in said, said
    assert without_times(read_results([tmp_path / "many"])) == without_times(read_results([tmp_path / "alone"]))
    again = cli(*TINY, "--results", "many", "--launcher", "local")
    assert again.returncode == 0 and "all of it is in many" in again.stdout, again.stdout + again.stderr
