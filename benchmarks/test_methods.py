"""Every method on every case of the profile: pytest-benchmark takes the time, quality and memory go beside it.

Nothing here fails for being slow or bad: a method that cannot do a case is a result (and an expected failure here), a
bug is an error. What is compared with earlier numbers is in test_quality.py.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from unlearnkit.bench.cases import Case
from unlearnkit.bench.running import run_case
from unlearnkit.results import Result, write_result
from unlearnkit.results.columns import columns_of


def test_unlearn(case: Case, results: Path, done: set[str], benchmark: Any) -> None:
    if case.id in done:
        pytest.skip(f"done before: {results}/cases/{case.id}.json")
    result, pictures = run_case(case, lambda work: benchmark.pedantic(work, rounds=1, iterations=1, warmup_rounds=0))
    write_result(results, result, pictures)
    if result.error is not None:
        pytest.xfail(f"{case.method} cannot do this: {result.error}")
    benchmark.group = f"{case.generator} {case.scenario}"
    benchmark.extra_info |= headline(result)
    assert result.metrics, "nothing was measured"


def headline(result: Result) -> dict[str, Any]:
    """Quality, peak memory and what computed, for pytest-benchmark's own table and JSON."""
    numbers = {column.name: round(value, 4) for column in columns_of([result])
               for value in column.values([result]).values()}
    return {"method": result.method, "identity": result.identity, "budget": str(result.budget),
            "peak_bytes": result.peak_bytes, "peak_source": result.peak_source, "kernels": result.hardware.kernels,
            "instructions": result.hardware.instructions, **numbers}
