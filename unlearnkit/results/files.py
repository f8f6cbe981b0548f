"""Results on disk: a file a case while they are made, one file of many to keep, run directories. Imports no torch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs

from unlearnkit.errors import RunError
from unlearnkit.files import atomic
from unlearnkit.files.plain import json_bytes, parse_json
from unlearnkit.files.reading import read_file
from unlearnkit.results.runs import is_run, read_run
from unlearnkit.results.schema import RUN, Result, from_plain, to_plain

__all__ = [
    "MERGED", "Found", "case_file", "check_budgets", "leave_out_less_tuned", "merge_results", "read_results",
    "write_result",
]

_MOST = 1 << 30
MERGED = "unlearnkit-results-1"
"""Format of a file with many results: ``{"format": ..., "results": [...]}``."""


@attrs.frozen
class Found:
    """A result, the file (or run directory) that it came from, and the folder that its pictures are relative to."""

    result: Result
    file: Path
    folder: Path

    def picture(self, role: str) -> Path | None:
        """The picture of a role, if there is one and it is still there."""
        name = self.result.pictures.get(role)
        path = None if name is None else self.folder / name
        return path if path is not None and path.is_file() else None


def case_file(folder: Path, case: str) -> Path:
    """Where the result of a case lies in a folder of results."""
    return folder / "cases" / f"{case}.json"


def write_result(folder: Path, result: Result, pictures: Mapping[str, bytes] | None = None) -> Path:
    """Write a result and its PNG ``pictures`` by role into a folder of results; the result last, so it is complete."""
    named = {role: f"pictures/{result.id}-{role}.png" for role in pictures or {}}
    path = case_file(folder, result.id)
    with atomic.plain_errors("write", path):
        for role, data in (pictures or {}).items():
            atomic.write_bytes(folder / named[role], data)
        atomic.write_bytes(path, json_bytes(to_plain(attrs.evolve(result, pictures=named))))
    return path


def merge_results(path: Path, found: Iterable[Found]) -> None:
    """Write many results into one file. Pictures stay where they are: copy their folder beside it to keep them."""
    results = [to_plain(item.result) for item in sorted(found, key=lambda item: item.result.id)]
    with atomic.plain_errors("write", path):
        atomic.write_bytes(path, json_bytes({"format": MERGED, "results": results}, indent=1))


def read_results(paths: Iterable[Path]) -> list[Found]:
    """All results of folders, sweeps, case and merged files and runs; what is there twice, word for word, counts once.

    :raises RunError: naming the file that is damaged, empty, or says something else of a case than another.
    """
    known: dict[str, Found] = {}
    for path in paths:
        for found in _read_path(path):
            earlier = known.setdefault(found.result.id, found)
            if earlier.result != found.result:
                raise RunError(
                    f"{found.file} and {earlier.file} both hold the case {found.result.id}, with different numbers; "
                    "leave one out"
                )
    return list(known.values())


def check_budgets(found: Iterable[Found]) -> None:
    """Refuse results of the bench on one generator that were granted different budgets; runs never have one budget.

    :raises RunError: naming the two budgets and a file of each.
    """
    first: dict[str, Found] = {}
    for item in found:
        if item.result.profile == RUN:
            continue
        other = first.setdefault(item.result.generator, item)
        if item.result.budget != other.result.budget:
            raise RunError(
                f"{item.file} ({item.result.method}: {item.result.budget}) and {other.file} ({other.result.method}: "
                f"{other.result.budget}) have different budgets; compare equal ones, or give --mix-budgets"
            )


def leave_out_less_tuned(found: Sequence[Found]) -> tuple[list[Found], list[str]]:
    """Without the bench's results of methods tuned in fewer trials than most were, and a sentence on each left out.

    Settings that hardly anybody chose say little of a method: beside tuned ones it would only look worse.
    """
    trials: dict[str, Counter[int]] = {}
    for item in found:
        if item.result.profile != RUN:
            trials.setdefault(item.result.generator, Counter())[item.result.budget.tuning_trials] += 1
    usual = {generator: max(count, key=lambda n: (count[n], n)) for generator, count in trials.items()}
    kept: list[Found] = []
    left_out: dict[tuple[str, str], str] = {}
    for item in found:
        one = item.result
        if one.profile == RUN or one.budget.tuning_trials >= usual[one.generator]:
            kept.append(item)
        else:
            left_out[one.method, one.generator] = (
                f"left out: {one.method} on {one.generator}, which had {one.budget}; the others had "
                f"{usual[one.generator]} trials. Tune it: unlearnkit bench --tune {one.method}; "
                f"then its cases once more: --methods {one.method} --again"
            )
    return kept, [left_out[name] for name in sorted(left_out)]


def _read_path(path: Path) -> list[Found]:
    if is_run(path):
        return [Found(read_run(path), path, path)]
    if runs := sorted(run for run in path.glob("runs/*") if is_run(run)):
        return [Found(read_run(run), run, run) for run in runs]
    if path.is_dir():
        files = sorted((path / "cases").glob("*.json"))
        if not files:
            raise RunError(f"{path} holds no results: it has neither a manifest.json nor cases/*.json; give folders of "
                           f"'unlearnkit run' (such as {path}/*) or of the bench")
        return [item for file in files for item in _read_file(file, path)]
    return _read_file(path, path.parent.parent if path.parent.name == "cases" else path.parent)


def _read_file(path: Path, folder: Path) -> list[Found]:
    value = _json(path)
    if isinstance(value, dict) and value.get("format") == MERGED:
        results = value.get("results")
        if not isinstance(results, list) or not results:
            raise RunError(f"{path} is damaged: 'results' is no list of results; make it again with --merge")
        return [Found(from_plain(item, f"{path}, result {place}"), path, folder) for place, item in enumerate(results)]
    return [Found(from_plain(value, str(path)), path, folder)]


def _json(path: Path) -> Any:
    with atomic.plain_errors("read", path):
        data = read_file(path, _MOST)
    try:
        return parse_json(data)
    except ValueError as error:
        raise RunError(f"{path} is no JSON ({error}); make it again, or leave it out") from error
