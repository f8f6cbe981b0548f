"""How fast we are beside the authors' way (`benchmarks.speed`); opt-in: `pytest benchmarks/test_speed.py`.

No time fails anything. What fails: the two sides do not compute the same, so that their times say nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import attrs
import pytest
from speed.table import check_kernels, kernels_sentence, machine, table, write_json
from speed.works import WORKS, Row, measure

REPEATS = {"small": 3, "full": 5}


@pytest.fixture(scope="module")
def size(request: pytest.FixtureRequest) -> str:
    """`small` or `full`; the bench of methods, `pytest benchmarks/`, does not ask for times."""
    given: str | None = request.config.getoption("--speed")
    if given is None and not any("test_speed" in argument for argument in request.config.args):
        pytest.skip("only where asked for: --speed small, --speed full, or by the name of this file")
    return given or "small"


@pytest.fixture(scope="module")
def rows(request: pytest.FixtureRequest, size: str, speed_texts: list[str]) -> Iterator[list[Row]]:
    """Gathers what is measured; in the end it is printed, and written where `--speed-json` says."""
    check_kernels(request.config.getoption("--without-kernels"))
    found: list[Row] = []
    yield found
    if file := request.config.getoption("--speed-json"):
        write_json(file, found)
    facts = ", ".join(f"{name} {value}" for name, value in machine().items() if value)
    speed_texts.append(f"{facts}\n\n{table(found)}\n\n{kernels_sentence()}")


@pytest.mark.parametrize("work", WORKS)
def test_speed(work: str, size: str, rows: list[Row], benchmark: Any) -> None:
    # pytest-benchmark times one function after the other; turn by turn is done inside, and it keeps the numbers.
    found = benchmark.pedantic(measure, (WORKS[work], size, REPEATS[size]), rounds=1, iterations=1, warmup_rounds=0)
    rows += found
    benchmark.extra_info["machine"] = machine()
    benchmark.extra_info["rows"] = [attrs.asdict(row) | {"met": row.met} for row in found]
    assert found and all(min(row.ours) > 0 for row in found), "nothing was measured"
