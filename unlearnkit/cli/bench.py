"""``unlearnkit bench``: every method on the same people and budgets."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from unlearnkit.cli.common import FILE, OUT, ComponentName, console, device_option
from unlearnkit.errors import ConfigError, Interrupted, RunError

if TYPE_CHECKING:
    from unlearnkit.bench.plan import Plan
    from unlearnkit.bench.profiles import Profile
    from unlearnkit.interfaces import Launcher

_FOLDER = Path("runs/bench")
_OWN_OPTIONS = {"metrics.samples": "--samples", "method.steps": "--steps", "method.name": "--methods",
                "generator.name": "--generators", "seed": "--seeds", "request": "--scenarios"}
_COUNT = click.IntRange(1)


def _names(_: click.Context, __: click.Parameter, value: str | None) -> tuple[str, ...]:
    return tuple(name.strip() for name in value.split(",") if name.strip()) if value else ()


@click.command()
@click.option("--quick", "profile_name", flag_value="quick", default=True,
              help="Two people, some minutes; the default.")
@click.option("--full", "profile_name", flag_value="full",
              help="Two generators, four scenarios and attacks: hours.")
@click.option("--photoreal", "profile_name", flag_value="photoreal",
              help="Photorealistic people, drawn by the fetched generator mobilestylegan: hours.")
@click.option("--methods", callback=_names, metavar="NAMES", help="Only these, separated by commas.")
@click.option("--generators", callback=_names, metavar="NAMES", help="Only these, separated by commas.")
@click.option("--scenarios", callback=_names, metavar="NAMES", help="Only these: random, ind, ood, multi, inverted.")
@click.option("--identities", type=_COUNT, metavar="N", help="How many people of each scenario.")
@click.option("--seeds", type=_COUNT, metavar="N", help="How many seeds for each person.")
@click.option("--steps", type=_COUNT, metavar="N", help="Steps of every method that takes steps.")
@click.option("--samples", type=click.IntRange(2), metavar="N", help="Random pictures that estimates are made from.")
@click.option("--results", type=OUT, metavar="DIR",
              help="Folder of results; what it has is not done again.  [default: runs/bench/PROFILE]")
@click.option("--again", is_flag=True, help="Do what is done once more, such as after a change of a method.")
@click.option("--known", type=FILE, metavar="FILE",
              help="Results that count as done, of 'unlearnkit compare --merge', such as another machine's.")
@click.option("--part", default="1/1", metavar="I/N", help="Only every N-th person: N processes may share one folder.")
@click.option("--launcher", type=ComponentName("launcher"),
              help="Do people at once: local, ray, slurm; its options by --set launcher.FIELD=VALUE.")
@click.option("--tune", callback=_names, metavar="NAMES", help="Tune these methods ('all': every one) and stop.")
@click.option("--tuned", type=OUT, default=_FOLDER / "tuned.json", show_default=True, metavar="FILE",
              help="Where --tune writes the settings that it chose, and the bench finds them.")
@device_option()
@click.option("--set", "sets", multiple=True, metavar="SECTION.FIELD=VALUE", help="Change one setting of every method.")
def command(profile_name: str, tune: tuple[str, ...], methods: tuple[str, ...], tuned: Path, part: str, again: bool,
            known: Path | None, launcher: str | None, results: Path | None, device: str | None, sets: tuple[str, ...],
            **changes: Any) -> None:
    """Run every method on the same people, generators and budgets, and compare them.

    \b
    unlearnkit bench                                    all methods, quickly
    unlearnkit bench --methods guide,mine               two of them
    unlearnkit bench --tune mine                        find settings for a method of your own first
    unlearnkit bench --full --results runs/bench/full   hours; the same command goes on where it stopped
    unlearnkit bench --full --launcher local            all cores, a person each
    """
    from unlearnkit.bench.plan import adopt, bench_plan, parse_part, tuning_plan
    from unlearnkit.bench.profiles import PHOTOREAL_TUNE, PROFILES, TUNE, adjusted

    if tune and methods:
        raise click.UsageError("--tune and --methods exclude each other: --tune says which methods are tuned")
    if launcher and (again or part != "1/1"):
        raise click.UsageError("--launcher excludes --again and --part: it starts parts itself; leave one out")
    if known and (tune or again):
        raise click.UsageError("--known excludes --tune and --again: it is of cases that are not done again")
    sets, where = _split(sets, launcher)
    overrides = _overrides(sets, device)
    on_whom = PHOTOREAL_TUNE if profile_name == "photoreal" else TUNE
    profile = adjusted(on_whom if tune else PROFILES[profile_name], **changes, overrides=overrides)
    folder = results or _FOLDER / profile.name
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"--results: {folder} is a file, expected a folder; choose another with --results")
    if tune:
        names = () if "all" in tune else tune
        plan = tuning_plan(profile, folder, names, part=parse_part(part), again=again)
    else:
        plan = bench_plan(profile, folder, methods, part=parse_part(part), again=again, tuned=tuned)
        plan = plan if known is None else adopt(plan, known)
    _announce(plan, folder)
    if where is None:
        _run(plan, folder)
    else:
        given = {"methods": methods, "tune": tune, "tuned": tuned.absolute(), "results": folder.absolute(),
                 "device": device, **changes}
        _launch(plan, folder, where, [f"--{profile_name}", *_options(given, sets)])
    if tune:
        _end_tuning(profile, folder, names, tuned)
    else:
        from unlearnkit.bench.summary import show_summary

        show_summary(folder, console())


def _overrides(sets: tuple[str, ...], device: str | None) -> dict[str, Any]:
    """What the user sets for every method, dotted; what has an option of its own is refused."""
    from unlearnkit.config import parse_set
    from unlearnkit.config.tables import user_tables

    user_tables(None, sets, {"device": device})  # nothing may be given twice
    found = dict(parse_set(text) for text in sets)
    if device is not None:
        from unlearnkit.workflows.preflight import check_device

        check_device(device)
        found["device"] = device
    for name, option in _OWN_OPTIONS.items():
        if any(key == name or key.startswith(f"{name}.") for key in found):
            raise ConfigError(f"--set {name}: the bench decides that for all methods alike; give {option}")
    return found


def _split(sets: tuple[str, ...], name: str | None) -> tuple[tuple[str, ...], Launcher | None]:
    """What is set for the methods, and the launcher with what is set for it."""
    own = [text for text in sets if text.startswith("launcher.")]
    if name is None:
        if own:
            raise ConfigError(f"--set {own[0]}: no launcher is chosen; give --launcher local, ray or slurm too")
        return sets, None
    from unlearnkit.config import build, parse_set
    from unlearnkit.plugins import registry

    options = {key.removeprefix("launcher."): value for key, value in map(parse_set, own)}
    where: Launcher = build(registry().component_class("launcher", name), options, "launcher")
    where.check()
    return tuple(text for text in sets if text not in own), where


def _options(given: Mapping[str, Any], sets: tuple[str, ...]) -> list[str]:
    """The command line of what was given."""
    found = [f"--set={text}" for text in sets]
    for name, value in given.items():
        if value not in (None, ()):
            found.append(f"--{name}={','.join(value) if isinstance(value, tuple) else value}")
    return found


def _announce(plan: Plan, folder: Path) -> None:
    """Say what will be done."""
    out = console()
    for sentence in plan.sentences():
        out.print(sentence, soft_wrap=True, markup=False)
    to_do = f"results go to {folder}; stop at any time, the same command goes on"
    text = to_do if plan.todo else f"all of it is in {folder}; --again does it once more"
    out.print(text, soft_wrap=True, markup=False)


def _launch(plan: Plan, folder: Path, launcher: Launcher, arguments: list[str]) -> None:
    """Do it by processes that the launcher starts, and report which failed."""
    from unlearnkit.bench.launching import launch_plan, people_left
    from unlearnkit.cli.work_line import WorkLine

    if not plan.todo:
        return
    try:
        with WorkLine(len(people_left(plan)), console()) as line:
            failed = launch_plan(plan, launcher, ["bench", *arguments], folder, line.ended)
    except KeyboardInterrupt as stop:
        raise _stopped(folder) from stop
    if failed:
        who = "1 person" if len(failed) == 1 else f"{len(failed)} people"
        raise RunError(f"{who} failed, the others are in {folder}; the same command tries them again: "
                       f"{'; '.join(f'{end.name}: {end.reason}' for end in failed[:3])} (logs in {folder / 'logs'})")


def _run(plan: Plan, folder: Path) -> None:
    """Do it in this process, and report what should not have happened."""
    from unlearnkit.bench.plan import run_plan
    from unlearnkit.bench.progress import BenchLine

    if not plan.todo:
        return
    try:
        with BenchLine(plan, console()) as line:
            bugs = run_plan(plan, line.started, line.ended)
    except KeyboardInterrupt as stop:
        raise _stopped(folder) from stop
    if bugs:
        raise RunError(f"{len(bugs)} of {len(plan.todo)} cases ended in a bug, the others are in {folder}: "
                       f"{'; '.join(map(str, bugs[:3]))} (--debug shows where)") from bugs[0].error


def _stopped(folder: Path) -> Interrupted:
    return Interrupted(f"stopped; what is done is in {folder}, and the same command goes on")


def _end_tuning(profile: Profile, folder: Path, methods: tuple[str, ...], file: Path) -> None:
    """Write what was chosen, and show it; where another part still has trials to do, say so."""
    from unlearnkit.bench.cases import cases
    from unlearnkit.bench.tuned import write_tuned
    from unlearnkit.bench.tuning import chosen

    out = console()
    found = chosen(folder, cases(profile, methods))
    if found is None:
        out.print("trials are missing that other parts do; when they are done, the same command without --part ends it",
                  soft_wrap=True)
        return
    write_tuned(file, found, {"steps": dict(profile.steps), "samples": profile.samples})
    for generator, entries in found.items():
        for method, entry in entries.items():
            for trial in entry["tried"]:
                mark = "chosen " if trial["settings"] == entry["settings"] else "       "
                out.print(f"{mark}{method} on {generator}: {_shown(trial['settings'])}: score {trial['score']:.3f}",
                          soft_wrap=True, markup=False)
                for error in {person["error"] for person in trial["people"] if person["error"]}:
                    out.print(f"        failed: {error}", soft_wrap=True, markup=False)
    out.print(f"wrote {file}", soft_wrap=True, markup=False)
    photoreal = " --photoreal" if profile.name == "photoreal-tune" else ""
    out.print(f"next: unlearnkit bench{photoreal}{'' if file == _FOLDER / 'tuned.json' else f' --tuned {file}'}",
              soft_wrap=True, markup=False)


def _shown(settings: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={value}" for name, value in settings.items()) or "its own settings"
