"""Declarations of numbers, in memory and as plain tables."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from unlearnkit.errors import ConfigError
from unlearnkit.numbers import Number, from_plain, to_plain

COVERAGE = Number(
    "coverage_x", "Coverage in X", "higher", count="n_prdc", reference="coverage_x_floor", digits=2, short="coverage",
)
FLOOR = Number("coverage_x_floor", "Coverage in X, frozen generator against itself", unit="%")


def test_declarations_survive_a_file() -> None:
    declared = {number.name: number for number in (COVERAGE, FLOOR)}
    tables = json.loads(json.dumps(to_plain(declared)))
    assert tables["coverage_x"]["better"] == "higher" and "name" not in tables["coverage_x"]
    assert from_plain(tables) == declared and list(from_plain(tables)) == list(declared)


def test_fields_of_a_later_version_are_left_out() -> None:
    assert from_plain({"fid": {"title": "FID", "colour": "red"}}) == {"fid": Number("fid", "FID")}


@pytest.mark.parametrize("tables", [
    [], {"fid": 3.0}, {"fid": {}}, {"fid": {"title": ""}}, {"fid": {"title": 3}}, {"FID!": {"title": "FID"}},
    {"fid": {"title": "FID", "better": "smaller"}}, {"fid": {"title": "FID", "digits": "three"}},
    {"fid": {"title": "FID", "count": None}},
])
def test_damaged_tables_are_refused(tables: object) -> None:
    with pytest.raises(ConfigError, match=r"expected a table|'(fid|FID!)' is not a valid declaration") as caught:
        from_plain(tables)
    assert "\n" not in str(caught.value)


def test_reading_declarations_needs_no_torch() -> None:
    program = "import sys, unlearnkit.numbers, unlearnkit.report.numbers; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program]).returncode == 0
