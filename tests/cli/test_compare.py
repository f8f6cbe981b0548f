"""`unlearnkit compare` as a process, on two methods and three people made by hand."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import attrs
import pytest
from handmade_results import BUDGET, png, result, run_folder, two_methods

from unlearnkit.results import read_results, write_result

Cli = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def results(tmp_path: Path) -> Path:
    return two_methods(tmp_path / "results")


def test_everything_that_it_writes(cli: Cli, results: Path, tmp_path: Path) -> None:
    done = cli("compare", results, "--full", "--markdown", "table.md", "--latex", "table.tex", "--html", "page.html",
               "--merge", "all.json", COLUMNS="40")
    assert done.returncode == 0, done.stderr
    assert "[0.07, 0.17]" in done.stdout and "…" not in done.stdout, "in a pipe lines may be long, numbers are whole"
    # Best first: erasure of `good` is 1 - mean(0.12, 0.1), its preservation mean(0.9, 0.82).
    lines = [line.split() for line in done.stdout.splitlines()]
    rows = [line for line in lines if line and line[0] in ("good", "bad")]
    assert [row[:3] for row in rows] == [["good", "0.89", "0.86"], ["bad", "0.29", "0.86"]]
    assert len(json.loads((tmp_path / "all.json").read_bytes())["results"]) == 6
    assert {f.result.id for f in read_results([tmp_path / "all.json"])} == {
        f.result.id for f in read_results([results])}
    check_markdown((tmp_path / "table.md").read_text())
    check_latex((tmp_path / "table.tex").read_text())
    check_page((tmp_path / "page.html").read_text())
    again = cli("compare", "all.json", "--markdown", "again.md")
    assert again.returncode == 0 and (tmp_path / "again.md").read_text() == (tmp_path / "table.md").read_text()


def check_markdown(text: str) -> None:
    head, rule, good, bad = (line.strip("|").split("|") for line in text.splitlines() if line.startswith("|"))
    assert len(head) == len(rule) == len(good) == len(bad)
    erased = [field.strip() for field in head].index("erased ↓")
    # 0.10, 0.12, 0.14: standard deviation 0.02, half width 4.3027 * 0.02 / sqrt(3).
    assert good[erased].strip() == "**0.12 [0.07, 0.17]**" and bad[erased].strip().startswith("0.73 [0.")
    kept = [field.strip() for field in head].index("bystanders ↑")
    assert {good[kept].strip(), bad[kept].strip()} == {"**0.90 [0.90, 0.90]**", "*0.90 [0.90, 0.90]*"}, "equal ones tie"


def check_latex(text: str) -> None:
    assert text.count("\\begin{tabular}") == text.count("\\end{tabular}") == 1
    columns = len(re.search(r"\{tabular\}\{(\w+)\}", text)[1])  # type: ignore[index]
    rows = [line for line in text.splitlines() if line.endswith(r"\\")]
    assert len(rows) == 3 and {row.count(" & ") for row in rows} == {columns - 1}
    assert r"\textbf{0.12 [0.07, 0.17]}" in text and text.isascii()
    assert all("%" not in line for line in text.splitlines() if not line.startswith("% "))


def check_page(page: str) -> None:
    assert "<script" not in page and not re.search(r"(src|href)\s*=\s*\"(?!data:|#)", page)
    assert not re.search(r"url\((?!#)", page) and "<svg" in page and "light-dark(" in page
    # Three rows of people: picture, before, and after each of two methods.
    assert page.count("data:image/jpeg;base64,") == 3 * 4 and 'alt="ind_1 after good"' in page
    assert page.index("<td>good") < page.index("<td>bad") and page.count('class="best"') > 4 and 'class="tied"' in page


def test_budgets_are_not_mixed_unless_told(cli: Cli, results: Path, tmp_path: Path) -> None:
    other = two_methods(tmp_path / "other", budget=attrs.evolve(BUDGET, steps=500), seed=1)
    refused = cli("compare", results, other)
    assert (refused.returncode, refused.stderr.count("\n"), refused.stdout) == (2, 1, "")
    for words in ("20 steps", "500 steps", "results/cases/", "other/cases/", "--mix-budgets"):
        assert words in refused.stderr
    told = cli("compare", results, other, "--mix-budgets", "--html", "page.html")
    assert told.returncode == 0 and "Different budgets are mixed" in (tmp_path / "page.html").read_text()


def test_a_method_never_tuned_is_left_out_and_named_but_merged(cli: Cli, results: Path, tmp_path: Path) -> None:
    """What the bench leaves out of its table stops no comparison: its last line names this command."""
    write_result(results, result("mine", budget=attrs.evolve(BUDGET, tuning_trials=0)))
    done = cli("compare", results, "--html", "page.html", "--merge", "all.json")
    assert done.returncode == 0 and "mine" not in done.stdout
    assert "left out: mine on stylegan2" in done.stderr and "bench --tune mine" in done.stderr
    assert "mine" not in (tmp_path / "page.html").read_text() and '"mine"' in (tmp_path / "all.json").read_text()
    assert "mine" in cli("compare", results, "--mix-budgets").stdout


def test_json_is_all_that_standard_output_gets(cli: Cli, results: Path) -> None:
    done = cli("compare", results, "--json", "--markdown", "table.md", "--merge", "all.json")
    assert done.returncode == 0 and done.stderr == "wrote table.md\nwrote all.json\n"
    told = json.loads(done.stdout)
    assert told["format"] == "unlearnkit-compare-1" and told["confidence"] == 0.95
    (group,) = told["groups"]
    assert (group["generator"], group["scenario"], group["people"], group["notes"]) == ("stylegan2", "ind", 3, [])
    assert group["levels"] == {"strangers": 0.0, "same_person": 1.0}
    good, bad = group["rows"]
    assert (good["method"], good["people"], good["failures"]) == ("good", 3, [])
    erased = good["cells"]["erased"]
    assert (erased["n"], erased["mark"], erased["p"]) == (3, "best", None)
    assert (erased["mean"], erased["low"], erased["high"]) == pytest.approx((0.12, 0.0703, 0.1697), abs=1e-4)
    assert bad["cells"]["erased"]["mark"] == "worse" and 0 < bad["cells"]["erased"]["p"] < 0.05
    column = next(column for column in group["columns"] if column["name"] == "erased")
    assert (column["better"], column["least"], column["most"]) == ("lower", -1.0, 1.0)


def test_runs_beside_each_other_and_beside_the_bench(cli: Cli, results: Path, tmp_path: Path) -> None:
    run_folder(tmp_path / "runs" / "a", steps=100, erased=0.4)
    run_folder(tmp_path / "runs" / "b", steps=300, erased=0.2)
    done = cli("compare", "runs/a", "runs/b", "--html", "page.html")
    assert done.returncode == 0, done.stderr
    rows = [line.split() for line in done.stdout.splitlines() if line.split()[:1] == ["guide"]][:2]
    assert [row[:5] for row in rows] == [["guide", "(steps=300)", "0.80", "0.90", "300"],
                                         ["guide", "(steps=100)", "0.60", "0.90", "100"]]
    assert "different numbers of steps" in " ".join(done.stdout.split())
    page = (tmp_path / "page.html").read_text()
    assert page.count("data:image/jpeg;base64,") == 3 and "guide (steps=300)" in page, "before, and after each"
    alone = cli("compare", "runs/a", "--json")
    assert [row["method"] for row in json.loads(alone.stdout)["groups"][0]["rows"]] == ["guide"]
    both = cli("compare", "runs/a", results, "--json")
    assert [group["scenario"] for group in json.loads(both.stdout)["groups"]] == ["ind", "runs"], "never pooled"


@pytest.mark.slow
def test_a_run_that_the_command_made(cli: Cli) -> None:
    made = cli("run", "--method", "guide", "--generator", "stylegan2", "--latent-seed", "3", "--steps", "1",
               "--out", "a", "--set", "metrics.samples=4", "--set", "request.bystanders=[]",
               "--set", "request.random_bystanders=2")
    assert made.returncode == 0, made.stderr
    audited = cli("audit", "a", "--quick", "--attack", "neighbours")
    assert audited.returncode == 0, audited.stderr
    done = cli("compare", "a", "--json")
    assert done.returncode == 0, done.stderr
    (group,) = json.loads(done.stdout)["groups"]
    cells = group["rows"][0]["cells"]
    assert {"erasure", "preservation", "erased", "attack_neighbours", "steps", "seconds", "memory"} <= set(cells)
    assert "metric_erased_change" in cells, "declared by the metric, and no headline"
    assert cells["steps"]["mean"] == 1 and cells["memory"]["mean"] > 100 and cells["seconds"]["mean"] > 0


def test_a_damaged_result_is_named(cli: Cli, results: Path) -> None:
    broken = results / "cases" / "stylegan2.ind.good.ind_1.0.json"
    broken.write_bytes(broken.read_bytes()[:200])
    done = cli("compare", results)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1) and broken.name in done.stderr


def test_failures_and_lost_or_hostile_pictures(cli: Cli, results: Path, tmp_path: Path) -> None:
    write_result(results, result("fails", metrics={}, error="<b>no</b> place for adapters"))
    (results / "pictures" / "stylegan2.ind.good.ind_0.0-after.png").unlink()
    (results / "pictures" / "stylegan2.ind.good.ind_1.0-after.png").write_bytes(b"<html>" + png())
    done = cli("compare", results, "--html", "page.html")
    assert done.returncode == 0, done.stderr
    assert "fails has no numbers of ind_0: <b>no</b> place for adapters" in done.stdout
    page = (tmp_path / "page.html").read_text()
    assert "&lt;b&gt;no" in page and "<b>no" not in page and page.count("data:image/jpeg;base64,") == 3 * 4 - 2


def test_whether_one_world_predicts_another(cli: Cli, tmp_path: Path) -> None:
    for world, scenario, order in (("stylegan2", "ind", "abcd"), ("other", "inverted", "bacd")):
        for place, method in enumerate(order):
            for who in range(4):
                write_result(tmp_path / world, result(
                    method, f"{scenario}_{who}", scenario=scenario, generator=world, embedding=None,
                    metrics={"erased_after": 0.1 + 0.2 * place + who / 50 + (who * place) / 500}))
    done = cli("compare", "stylegan2", "--predicts", "other", "--markdown", "predicts.md")
    assert done.returncode == 0, done.stderr
    assert "The order of methods, all scenarios, by column: erasure, erased: " in done.stdout
    assert "Falls in erased, ind against inverted: a was better than b." in done.stdout
    table = (tmp_path / "predicts.md").read_text()
    assert re.search(r"^\| erased \| 0\.80 \[", table, re.MULTILINE) and "a was better than b" in table
    told = json.loads(cli("compare", "stylegan2", "--predicts", "other", "--json").stdout)
    assert told["format"] == "unlearnkit-predicts-1" and told["columns"][1]["places"]["a"] == [1, 2]
    write_result(tmp_path / "other", result("e", "inverted_0", scenario="inverted", generator="other",
                                            budget=attrs.evolve(BUDGET, steps=500)))
    refused = cli("compare", "stylegan2", "--predicts", "other")
    assert refused.returncode == 2 and "have different budgets" in refused.stderr
