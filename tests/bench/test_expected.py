"""Regressions are seen, and progress is none."""

from __future__ import annotations

from typing import Any

import pytest
from handmade_results import result

from unlearnkit.bench.expected import MARGIN, expected_of, regressions


def test_regressions_are_seen_and_progress_is_none() -> None:
    def runs(erased: float, seeds: tuple[int, ...] = (0,)) -> list[Any]:
        return [result(identity=who, seed=seed, metrics={"erased_after": erased + seed / 100, "bystanders_change": 0.9})
                for who in ("ind_0", "ind_1") for seed in seeds]

    expected = expected_of(runs(0.3))
    assert expected["numbers"]["erased"] == {"mean": 0.3, "half": MARGIN}
    assert regressions(expected, runs(0.3 + MARGIN - 0.01)) == [] and regressions(expected, runs(0.0)) == []
    (erasure, erased) = regressions(expected, runs(0.3 + MARGIN + 0.01))
    assert erasure.startswith("erasure is 0.59") and erased == "erased is 0.410, expected 0.300 ± 0.100"
    # 0.30, 0.31, 0.32: half of the interval of one new run is t(0.975, 2) * 0.01 * sqrt(1 + 1/3) beside the margin.
    spread = expected_of(runs(0.3, (0, 1, 2)))["numbers"]["erased"]
    assert spread["half"] == pytest.approx(MARGIN + 4.3027 * 0.01 * (4 / 3) ** 0.5, abs=1e-4)
    assert "fails" in regressions(expected, [result(error="out of memory")])[0]
