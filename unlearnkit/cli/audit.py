"""``unlearnkit audit``: how much effort brings an erased person back?"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from unlearnkit.cli.common import SEED, ComponentName, complete_device, console, say_next, table
from unlearnkit.cli.output import json_option, print_json, stdout_reserved

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from unlearnkit.workflows.audit import Audit

_RUN = click.Path(exists=True, file_okay=False, path_type=Path)


@click.command()
@click.argument("run", type=_RUN)
@click.option("--attack", "attacks", multiple=True, type=ComponentName("attack"),
              help="Attack to run; repeatable; default: all ('unlearnkit show attack' lists them).")
@click.option("--set", "sets", multiple=True, metavar="attack.NAME.FIELD=VALUE",
              help="Change one option, e.g. --set attack.relearning.pictures=3.")
@click.option("--seed", type=SEED, default=0, show_default=True, metavar="N",
              help="Seed of the random numbers; the same seed gives the same audit.")
@click.option("--device", metavar="DEVICE", shell_complete=complete_device,
              help="auto, cpu, mps, cuda or cuda:N; default: the run's.")
@click.option("--quick", is_flag=True, help="Short attacks, for a first impression.")
@json_option
def command(
    run: Path, attacks: tuple[str, ...], sets: tuple[str, ...], seed: int, device: str | None, quick: bool,
    as_json: bool,
) -> None:
    """Attack the edited generator of a finished run to bring the person back.

    \b
    unlearnkit audit runs/mine            every attack with its whole budget
    unlearnkit audit runs/mine --quick    a first impression
    unlearnkit audit runs/mine --attack relearning --set attack.relearning.pictures=3

    Writes audit.json and audit.html into the run's folder; earlier audits are kept, the next one is audit-2. The
    run's report.html is written anew, since its verdict counts the audit.
    """
    with stdout_reserved(as_json):
        audit = _audit(run, attacks, sets, seed, device, quick, console(stderr=as_json))
    if as_json:
        files = {"numbers": str(audit.numbers), "page": str(audit.page)}
        print_json("audit", {**json.loads(audit.numbers.read_bytes()), "files": files})
    else:
        _show(audit)


def _audit(
    run: Path, attacks: tuple[str, ...], sets: tuple[str, ...], seed: int, device: str | None, quick: bool,
    progress: Console,
) -> Audit:
    """Check what can be checked before any work is done, then attack."""
    from unlearnkit.plugins import registry

    for name in attacks:
        registry().get("attack", name)
    from unlearnkit.workflows.audit import attack_tables, audit_run

    tables = attack_tables(sets)
    if device is not None:
        from unlearnkit.workflows.preflight import check_device

        check_device(device)
    return audit_run(run, attacks, tables, seed=seed, device=device, quick=quick, console=progress)


def _show(audit: Audit) -> None:
    """The short table, and where everything lies."""
    from rich.markup import escape

    from unlearnkit.attacks.words import UNKNOWN, effort_text

    people = len({result.person for result in audit.results}) > 1
    rows = table("attack", *(["person"] if people else []), "brings them back after", "best", "floor", "ceiling")
    for result in audit.results:
        known = result.finding.answer != UNKNOWN
        needed = effort_text(result.effort_to_recognise, result.budget, result.unit, known)
        beside = {result.control_kind: f"{result.control.points[-1][1]:.2f}"}
        rows.add_row(
            escape(result.attack), *([escape(result.person)] if people else []), escape(needed),
            f"{result.edited.points[-1][1]:.2f}", beside.get("floor", ""), beside.get("ceiling", ""),
        )
    out = console()
    out.print(_summary(audit))
    out.print(rows)
    for result in audit.results:
        who = f"{result.attack} ({result.person})" if people else result.attack
        out.print(escape(f"{who}: {result.finding.sentence} {result.remark}".rstrip()), soft_wrap=True)
    out.print(escape(f"numbers: {audit.numbers}"), soft_wrap=True)
    out.print(escape(f"page: {audit.page}"), soft_wrap=True)
    edit, base = audit.numbers.parent / "edit.safetensors", audit.base
    say_next("unlearnkit", "apply", edit, "--base", base, "--out", f"edited{base.suffix}",
             note="write the edited checkpoint, if that is good enough")


def _summary(audit: Audit) -> Table:
    """For each kind of attacker their easiest way, the weakest point first."""
    from rich.markup import escape

    from unlearnkit.attacks.summary import summary

    rows = table("attacker who has", "gets the person back after", "by", "best")
    for way in summary(audit.results):
        rows.add_row(escape(way.attacker), escape(way.after), escape(way.attack), f"{way.best:.2f}")
    return rows
