"""What is said of people on the command line."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from unlearnkit.errors import ConfigError
from unlearnkit.workflows.assembly import pick_device
from unlearnkit.workflows.options import RunOptions


def test_a_comma_may_be_part_of_a_pictures_name(tmp_path: Path) -> None:
    files = [tmp_path / name for name in ("Smith, Jane.png", "a.png", "b.png")]
    for file in files:
        Image.new("RGB", (8, 8)).save(file)

    def images(text: str) -> list[str]:
        return RunOptions(person=[text]).tables()["request"]["people"][0]["images"]

    assert images(f"Jane={files[0]}") == [str(files[0])]
    assert images(f"Jane={files[1]},{files[2]}") == [str(files[1]), str(files[2])]
    assert len(images("Jane=" + ",".join([str(files[1])] * 99))) == 99, "longer than any file's name"


def test_a_device_that_is_not_there_is_one_short_line() -> None:
    with pytest.raises(ConfigError) as caught:
        pick_device("mps")
    assert len(str(caught.value)) < 200 and "try --device cpu" in str(caught.value)
