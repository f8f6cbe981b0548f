"""Which results stand in one row of a comparison: a method and, of ordinary runs, one choice of settings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from unlearnkit.results.schema import CHECKPOINT, RUN, Result

__all__ = ["rows_of"]

_SECTIONS = ("method", "target", "losses", "loss", "inverter", "identity", "perceptual", "generator", "base",
             "precision")
"""Sections of the settings that make two runs of a method different things to compare; a seed or a device does not."""
Settings = dict[str, Any]


def rows_of(results: Sequence[Result]) -> dict[str, list[Result]]:
    """Results by the label of their row: the method's name, with the settings that tell its runs apart."""
    rows: dict[str, list[Result]] = {}
    for method in sorted({result.method for result in results}):
        own = [result for result in results if result.method == method]
        bench, runs = ([r for r in own if (r.profile == RUN) is ordinary] for ordinary in (False, True))
        if bench:  # the bench grants one method one choice of settings
            rows[method] = bench
        for label, found in _variants(runs).items():
            name = f"{method} ({label})" if label else method
            rows[f"{name} (run)" if name in rows else name] = found
    return rows


def _variants(runs: Sequence[Result]) -> dict[str, list[Result]]:
    """Runs of one method by what tells their settings apart, in words; an empty label where nothing does."""
    groups: list[tuple[Settings, list[Result]]] = []
    for run in runs:
        settings = _relevant(run)
        for known, members in groups:
            if known == settings:
                members.append(run)
                break
        else:
            groups.append((settings, [run]))
    keys = dict.fromkeys(key for settings, _ in groups for key in settings)
    differing = [key for key in keys if any(s.get(key) != groups[0][0].get(key) for s, _ in groups)]
    return {", ".join(f"{key.removeprefix('method.')}={settings.get(key)}" for key in differing): found
            for settings, found in groups}


def _relevant(run: Result) -> Settings:
    """The settings that matter; the checkpoint by its hash, since one file may lie in several places."""
    tables = {name: run.settings[name] for name in _SECTIONS if name in run.settings}
    settings = dict(_flat(tables, ""))
    if CHECKPOINT in run.versions:
        settings["generator.checkpoint"] = run.versions[CHECKPOINT]
    return settings


def _flat(value: Any, name: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _flat(item, f"{name}.{key}" if name else str(key))
    else:
        yield name, value
