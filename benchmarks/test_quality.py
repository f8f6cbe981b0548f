"""The quick profile's numbers are no worse than they were. Time and memory are not asked: they never fail a build."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from unlearnkit.bench.expected import group_of, read_expected, regressions
from unlearnkit.errors import RunError
from unlearnkit.results import Result, read_results

EXPECTED = read_expected(Path(__file__).with_name("expected_quick.json"))


@pytest.mark.parametrize("group", EXPECTED)
def test_no_regression(group: str, results: Path, whole: bool, partial: bool) -> None:
    if not whole:
        pytest.skip("numbers are expected of the quick profile as it is written")
    wanted: dict[str, Any] = EXPECTED[group]
    found = _results(results, group)
    missing = set(wanted["identities"]) - {r.identity for r in found}
    if missing and partial:
        pytest.skip("not all of its people are done (another part, or a choice of methods)")
    assert not missing, f"{group}: no result of {', '.join(sorted(missing))} in {results}"
    worse = regressions(wanted, found)
    assert not worse, f"{group}: {'; '.join(worse)}"


def _results(folder: Path, group: str) -> list[Result]:
    try:
        found = read_results([folder])
    except RunError:
        return []
    return [item.result for item in found if group_of(item.result) == group]
