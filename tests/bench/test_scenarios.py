"""Whom the bench erases: people exist, and nobody stands by their own erasure."""

from __future__ import annotations

from pathlib import Path

import pytest

from unlearnkit.bench.scenarios import identities
from unlearnkit.errors import ConfigError
from unlearnkit.plugins import reset


@pytest.mark.parametrize("scenario", ["random", "ind", "ood", "multi", "tune"])
def test_people_exist_and_nobody_stands_by_their_own_erasure(scenario: str) -> None:
    found = identities(scenario, "stylegan2", 3)
    assert len(found) == 3 and len({who.name for who in found}) == 3
    for who in found:
        pictures = who.request.get("images", [])
        assert all(Path(path).is_file() for path in [*pictures, *who.request["bystanders"]])
        assert not set(pictures) & set(who.request["bystanders"]) and len(who.request["bystanders"]) == 6
        assert not any(Path(path).name.startswith(who.name) for path in who.request["bystanders"])
        assert scenario != "multi" or (len(pictures), who.request["erase"]) == (4, 2)
    assert len(identities(scenario, "eg3d", 1)[0].request["bystanders"]) == 4


def test_without_the_bundled_world_there_is_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNLEARNKIT_DISABLE_PLUGINS", "demo")
    reset()
    with pytest.raises(ConfigError, match="no plugin offers them"):
        identities("ind", "stylegan2", 1)
