"""An ordinary run directory as a result: who it erased, what told its runs apart, what an audit found."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import attrs
import pytest
from handmade_results import result, run_folder

from unlearnkit.errors import RunError
from unlearnkit.results import Result, compare, read_results
from unlearnkit.results.files import check_budgets
from unlearnkit.results.runs import read_run


def rows(results: list[Result]) -> list[str]:
    (group,) = compare(results)
    return [row.method for row in group.rows]


def test_what_a_run_says_of_itself(tmp_path: Path) -> None:
    found = read_run(run_folder(tmp_path / "a", steps=120))
    assert (found.profile, found.scenario, found.method, found.generator) == ("run", "runs", "guide", "stylegan2")
    assert (found.budget.steps, found.budget.samples, found.seed) == (120, 40, 0)
    assert found.metrics["erased_after"] == 0.3 and found.metrics["kid_x"] is None and found.samples == {"erased": 1}
    assert found.seconds == {"unlearn": 2.5} and found.peak_bytes == 900 * 2**20 and found.error is None
    assert found.versions["checkpoint"] == "ab" * 6 and found.audit is None
    (item,) = read_results([tmp_path / "a"])
    assert item.result == found and item.picture("after") == tmp_path / "a" / "images" / "after.png"


def test_one_person_in_two_runs_is_one_person(tmp_path: Path) -> None:
    def identity(place: str, request: dict[str, Any], inputs: dict[str, str]) -> str:
        return read_run(run_folder(tmp_path / place, request=request, inputs=inputs)).identity

    hashes = {"/a/1.png": "one", "/b/1.png": "one", "/a/2.png": "two"}
    first = identity("a", {"name": "Ada", "images": ["/a/1.png", "/a/2.png"]}, hashes)
    moved = identity("b", {"name": "Ada", "images": ["/b/1.png"]}, hashes)
    other = identity("c", {"name": "Ada", "images": ["/a/2.png"]}, hashes)
    both = identity("d", {"name": "Ada", "images": ["/a/1.png", "/a/2.png"], "erase": 2}, hashes)
    assert first == moved and len({first, other, both}) == 3 and first.startswith("ada-")
    drawn = [identity(f"drawn{seed}{turn}", {"latent_seed": seed}, {}) for seed in (3, 4) for turn in (0, 1)]
    assert drawn[0] == drawn[1] and drawn[2] == drawn[3] and drawn[0] != drawn[2]
    several = {"people": [{"name": "Ada", "latent_seed": 1}, {"name": "Ümit", "latent_seed": 2}]}
    assert identity("e", several, {}).startswith("ada-mit-")


def test_settings_tell_runs_of_one_method_apart_and_seeds_do_not(tmp_path: Path) -> None:
    runs = [run_folder(tmp_path / "a", steps=100), run_folder(tmp_path / "b", steps=300),
            run_folder(tmp_path / "c", steps=300, seed=1), run_folder(tmp_path / "d", method="closed-form", steps=None)]
    results = [item.result for item in read_results(runs)]
    assert sorted(rows(results)) == ["closed-form", "guide (steps=100)", "guide (steps=300)"]
    assert rows(results[:1]) == ["guide"] and rows(results[1:3]) == ["guide"]
    (group,) = compare(results)
    cells = {row.method: row.cells for row in group.rows}
    assert cells["guide (steps=100)"]["steps"].mean == 100 and "steps" not in cells["closed-form"]
    assert cells["guide (steps=300)"]["erased"].n == 1, "two seeds of one person"
    check_budgets(read_results(runs))


def test_the_same_run_twice_counts_once(tmp_path: Path) -> None:
    folder = run_folder(tmp_path / "a")
    assert len(read_results([folder, tmp_path / "." / "a"])) == 1


def test_what_was_not_alike_is_said(tmp_path: Path) -> None:
    first, second = read_run(run_folder(tmp_path / "a")), read_run(run_folder(tmp_path / "b", steps=300))
    assert compare([first])[0].notes == ()
    (note,) = compare([first, second])[0].notes
    assert "different numbers of steps" in note
    (bench,) = compare([result(), result("b", budget=read_run(tmp_path / "a").budget)])
    assert bench.notes == ("Different budgets are mixed: 100 steps, 0 tuning trials, 40 samples; "
                           "20 steps, 4 tuning trials, 40 samples.",)
    slower = attrs.evolve(result("c"), hardware=attrs.evolve(result().hardware, threads=2))
    assert compare([result(), slower])[0].notes == (
        "Times are from different machines (a processor, cpu, threads: 1; a processor, cpu, threads: 2).",)
    judged = compare([result(settings={"judge": {"name": name}}, method=name) for name in ("x", "y")])[0].notes
    assert judged == ("Different networks judged (x; y): similarities do not compare.",)


def test_a_run_that_is_not_finished_is_named_and_stops_nobody(tmp_path: Path) -> None:
    folder = run_folder(tmp_path / "a", status="interrupted")
    assert read_run(folder).error == f"{folder} is interrupted; continue it with: unlearnkit run --resume {folder}"


def attack(person: str, best: float, effort: int | None) -> dict[str, Any]:
    return {"attack": "relearning", "person": person, "unit": "steps", "budget": 20, "best": best, "floor": 0.2,
            "effort_to_recognise": effort, "share_recognised": None, "curve": [[0, 0.1], [20, best]], "speedup": 2.0,
            "control": {"kind": "floor", "effort_to_recognise": None}}


def test_the_latest_audit_and_the_person_who_came_back_best(tmp_path: Path) -> None:
    folder = run_folder(tmp_path / "a")
    for name, attacks in (("audit.json", [attack("ada", 0.9, 1)]), ("audit-10.json", [attack("ada", 0.8, None),
                          attack("ben", 0.7, 7)]), ("audit-2.json", [])):
        (folder / name).write_text(json.dumps({"format": "unlearnkit-audit-1", "results": attacks}))
    audit = read_run(folder).audit
    assert audit is not None
    found = audit["relearning"]
    assert (found.budget, found.curve[1]) == (20, (20.0, 0.7))
    assert (found.numbers["effort_to_recognise"], found.numbers["control_best"]) == (7, 0.2)
    assert "place" not in found.numbers
    asks_who = attack("ada", 0.9, 1) | {"identified": {"rank": 2, "candidates": 20, "chance": 0.05}}
    (folder / "audit-11.json").write_text(json.dumps({"format": "unlearnkit-audit-1", "results": [asks_who]}))
    placed = read_run(folder).audit
    assert placed is not None
    assert (placed["relearning"].numbers["place"], placed["relearning"].numbers["candidates"]) == (2.0, 20.0)
    (folder / "audit-11.json").write_text('{"results": [{"attack": "x"}]}')
    with pytest.raises(RunError, match=r"audit-11\.json is damaged"):
        read_run(folder)


DAMAGE = {
    "manifest.json": ['{"format": 1}', '{"format": 1, "status": "finished", "seconds": 1, "versions": {"torch": 2}, '
                      '"plugins": {}, "inputs": {}, "timings": {}, "memory": {}}'],
    "config.toml": ["", "[method]\nname = 'a'\n[generator]\nname = 'b'\n[request]\nerase = 'x'\nimages = ['p']",
                    "[method]\nname = 'a/../b'\n[generator]\nname = 'b'", "request = 3\nmethod = 4",
                    "[method]\nname = 'a'\n[generator]\nname = 'b'\n[request]\npeople = [3]"],
    "metrics.json": ['{"erased_after": NaN}', '{"n_erased": Infinity}', "{"],
    "images/index.json": ['[{"group": "erased", "role": "after", "file": "../../secret.png"}]',
                          '[{"group": "erased", "role": "after", "file": 3}]'],
    "numbers.json": ['{"erased_after": {"title": "x", "better": "red"}}'],
}


@pytest.mark.parametrize(("file", "text"), [(file, text) for file, texts in DAMAGE.items() for text in texts])
def test_damaged_runs_are_refused_in_one_line(tmp_path: Path, file: str, text: str) -> None:
    folder = run_folder(tmp_path / "a")
    (folder / file).write_text(text)
    with pytest.raises(RunError) as caught:
        read_results([folder])
    assert str(folder) in str(caught.value) and "\n" not in str(caught.value)
