from __future__ import annotations

import pytest

from unlearnkit.options.domains import is_domain, mixed, words


@pytest.mark.parametrize(("name", "good"), [
    ("any", True), ("synthetic-renders", True), ("Photographs", False), ("", False), ("two words", False),
    (None, False),
])
def test_names(name: object, good: bool) -> None:
    assert is_domain(name) == good


def test_any_mixes_with_everything() -> None:
    assert mixed({"generator": "any", "judge": "photographs"}) == []
    assert mixed({"generator": "photographs", "judge": "any", "perceptual": "photographs"}) == []
    assert mixed({"generator": "anime", "judge": "photographs", "inverter": "any"}) == ["judge"]
    assert words("synthetic-renders") == "synthetic renders"
