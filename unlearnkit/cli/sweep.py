"""``unlearnkit sweep``: many runs from one file, wherever a launcher does them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from unlearnkit.cli.common import FILE, OUT, ComponentName, console, say_next
from unlearnkit.errors import Interrupted, RunError

if TYPE_CHECKING:
    from unlearnkit.sweeps.running import Plan
    from unlearnkit.work import Ended

_NAMED = 20


@click.command()
@click.argument("sweep", type=FILE)
@click.option("--out", type=OUT, metavar="DIR",
              help="Folder of the sweep; what is finished in it is not done again.  [default: runs/sweeps/NAME]")
@click.option("--launcher", type=ComponentName("launcher"),
              help="Where jobs are done, instead of what the file says: local, ray, slurm.")
@click.option("--dry-run", is_flag=True, help="Check everything, list the jobs and stop.")
def command(sweep: Path, out: Path | None, launcher: str | None, dry_run: bool) -> None:
    """Do all runs of SWEEP, a TOML file of methods, generators, people, seeds and settings, and compare them.

    \b
    unlearnkit sweep sweep.toml --dry-run         what it would do
    unlearnkit sweep sweep.toml                   on this machine; stop at any time, the same command goes on
    unlearnkit sweep sweep.toml --launcher ray    on a cluster
    """
    from unlearnkit.plugins import registry
    from unlearnkit.sweeps.file import read_sweep
    from unlearnkit.sweeps.running import plan_sweep

    folder = out or Path("runs/sweeps") / sweep.stem
    if folder.exists() and not folder.is_dir():
        raise RunError(f"--out: {folder} is a file, expected a folder; choose another with --out")
    if launcher is not None:
        registry().get("launcher", launcher)
    plan = plan_sweep(read_sweep(sweep, launcher), folder)
    console().print(plan.sentence(), soft_wrap=True, markup=False)
    if dry_run:
        for job in plan.jobs:
            click.echo(f"{'to do   ' if job in plan.todo else 'finished'} {job.name}")
        return
    failed = _run(plan)
    _summary(plan, {end.name for end in failed})
    if failed:
        named = "; ".join(f"{end.name}: {end.reason}" for end in failed[:_NAMED])
        more = f"; and {len(failed) - _NAMED} more (logs in {plan.folder / 'logs'})" if len(failed) > _NAMED else ""
        raise RunError(f"{len(failed)} of {len(plan.jobs)} jobs failed, the others are finished; the same command "
                       f"tries them again: {named}{more}")


def _run(plan: Plan) -> list[Ended]:
    from unlearnkit.cli.work_line import WorkLine
    from unlearnkit.sweeps.running import run_plan

    if plan.todo:
        console().print(f"in {plan.folder}; stop at any time, the same command goes on", soft_wrap=True, markup=False)
    try:
        with WorkLine(len(plan.todo), console()) as line:
            return run_plan(plan, line.ended)
    except KeyboardInterrupt as stop:
        raise Interrupted(f"stopped; what is done is in {plan.folder}, and the same command goes on") from stop


def _summary(plan: Plan, failed: set[str]) -> None:
    """The comparison of all that is finished."""
    from unlearnkit.results import compare, read_results
    from unlearnkit.results.tables import print_summary

    runs = [job.run for job in plan.jobs if job.name not in failed]
    if runs:
        print_summary(compare([item.result for item in read_results(runs)]), console())
        say_next("unlearnkit", "compare", plan.folder, "--html", "compare.html")
