from __future__ import annotations

import io
from pathlib import Path

import pytest
import torch
from PIL import Image

from unlearnkit.errors import ConfigError, RunError
from unlearnkit.interfaces import Evidence, Person, Request
from unlearnkit.report import write_report
from unlearnkit.report.show import save_turning_grid, show_people
from unlearnkit.report.turn import FRAMES, load_turns, turn, turn_gif
from unlearnkit.runs import Run
from unlearnkit.testing import ToyGenerator, ToyIdentity, ToyPerceptual, ToyViewGenerator


def seen(generator: type = ToyViewGenerator) -> Evidence:
    before, after = generator(), generator()
    latents = before.map(torch.randn(3, before.z_dim, generator=torch.Generator().manual_seed(0)))
    people = Request((Person("<Ada>", latents[:1]),), (Person("Bo", latents[1:2]), Person("Cy", latents[2:])))
    return Evidence(before, after, people, ToyIdentity(), ToyPerceptual(), 1, 4)


def test_frames_turn_and_the_gif_holds_them_all() -> None:
    evidence = seen()
    frames = turn(evidence.frozen, evidence.request.people[0].latents[0])
    assert frames is not None and frames.shape == (FRAMES, 3, 4, 4)
    gif = Image.open(io.BytesIO(turn_gif(frames)))
    assert gif.size == (4, 4) and gif.info["loop"] == 0
    assert not torch.equal(frames[0], frames[FRAMES // 4])


def test_report_turns_the_person_and_a_bystander(tmp_path: Path) -> None:
    evidence = seen()
    with Run.create(tmp_path / "run", {}, "guide") as run:
        show_people(run, evidence, evidence.request.people[0].latents)
        turns = load_turns(run)
        assert [entry["person"] for entry in turns] == ["<Ada>", "Bo"]
        width, height = Image.open(run.path / turns[0]["file"]).size
        assert width == 2 * height  # before beside after
        page = write_report(run).read_text()
    assert page.count("data:image/gif;base64,") == 2 and "&lt;Ada&gt; turning" in page and "All round" in page
    assert page.count("near is bright") == 1  # depth of the toy


def test_nothing_turns_in_two_dimensions(tmp_path: Path) -> None:
    evidence = seen(ToyGenerator)
    with Run.create(tmp_path / "run", {}, "guide") as run:
        show_people(run, evidence, evidence.request.people[0].latents)
        assert load_turns(run) == [] and "All round" not in write_report(run).read_text()
    with pytest.raises(ConfigError, match="no views"):
        save_turning_grid(evidence.frozen, evidence.request.people[0].latents, tmp_path / "turn.gif")
    assert not (tmp_path / "turn.gif").exists()


@pytest.mark.parametrize("entry", [
    {"group": "erased", "person": "Ada", "file": "../secret.gif"}, {"group": "erased", "person": 3, "file": "x"},
    {"group": "erased", "person": "Ada", "file": "images/turn-9-gone.gif"}, "no table",
])
def test_a_damaged_index_is_one_line(tmp_path: Path, entry: object) -> None:
    with Run.create(tmp_path / "run", {}, "guide") as run:
        run.write_json("images/turns.json", [entry])
        with pytest.raises(RunError, match=r"turns\.json is damaged"):
            load_turns(run)
