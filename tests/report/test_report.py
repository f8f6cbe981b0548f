from __future__ import annotations

import io
import re
import shutil

import numpy as np
import pytest
import torch
from PIL import Image
from rich.console import Console

from unlearnkit.errors import RunError, ShapeError
from unlearnkit.interfaces import About
from unlearnkit.numbers import Number, to_plain
from unlearnkit.report import (
    Picture,
    load_images,
    run_table,
    run_verdict,
    save_images,
    summary_table,
    verdict,
    write_report,
)
from unlearnkit.report.notebook import notebook_html
from unlearnkit.runs import Run

from .faces import METRICS, declarations, made_up_run

LEVELS = {"strangers_level": 0.15, "same_person_level": 0.85}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    path = tmp_path_factory.mktemp("report") / "run"
    made_up_run(path, steps=30).close()
    return path


@pytest.fixture
def run(finished, tmp_path):
    shutil.copytree(finished, tmp_path / "run")
    with Run.open(tmp_path / "run") as opened:
        yield opened


def test_page_holds_everything_and_asks_for_nothing(run):
    page = write_report(run).read_text()
    assert page.count("data:image/png;base64,") == len(load_images(run)) == 4 + 2 * (3 + 4 + 3 + 4)
    for text in ("similarity 0.93 → 0.11, below two strangers (0.15)", "Bystanders", "erased_change", "losses.local.mse",  # noqa: E501
                 "ab" * 32, "<td class=\"soft\">lower</td>", "41.2 s", "<svg", "local.identity"):
        assert text in page, text
    assert "<script" not in page and not re.search(r"(src|href)\s*=\s*\"(?!data:|#)", page)
    assert not re.search(r"url\((?!#)", page)
    assert page == write_report(run).read_text()


def test_what_a_run_says_is_escaped(run):
    save_images(run, [Picture("erased", "<b>Ada</b>", 0, "after", torch.zeros(3, 8, 8), 0.1)])
    run.log(30, {"<script>$x": 1.0, "_hidden": 2.0})
    page = write_report(run).read_text()
    assert "<b>Ada" not in page and "&lt;b&gt;Ada" in page and "<script" not in page


def test_page_of_a_run_that_was_interrupted_before_anything(tmp_path):
    with Run.create(tmp_path / "run", {}, "guide") as run:
        run.finish("interrupted")
        page = write_report(run).read_text()
    assert "Not measured" in page and "interrupted after 0 steps" in page and "<svg" not in page


def test_pictures_are_saved_as_they_are(tmp_path):
    image = torch.full((3, 2, 2), -1.0)
    image[0], image[1] = 1.0, 7.0  # out of range is clipped
    with Run.create(tmp_path / "run", {}, "x") as run:
        save_images(run, [Picture("random", "Ada B/C", 2, "before", image), Picture("random", "ada-b c", 2, "before", image)])  # noqa: E501
        first, second = load_images(run)
    assert first["file"] == "images/random-ada-b-c-2-before.png" and second["file"].endswith("-before-2.png")
    assert first["similarity"] is None
    pixels = np.asarray(Image.open(tmp_path / "run" / first["file"]))
    assert pixels.tolist() == [[[255, 255, 0]] * 2] * 2


def test_pictures_that_are_none(tmp_path):
    with Run.create(tmp_path / "run", {}, "x") as run, pytest.raises(ShapeError, match="3, H, W"):
        save_images(run, [Picture("random", "a", 0, "after", torch.zeros(1, 3, 4, 4))])
    with pytest.raises(ValueError, match="role"):
        Picture("random", "a", 0, "later", torch.zeros(3, 4, 4))


@pytest.mark.parametrize("content", [
    "{}", "[1]", '[{"group": "erased"}]',
    '[{"group": "erased", "person": "a", "index": 0, "role": "after", "file": "images/../../secret.png"}]',
    '[{"group": "erased", "person": "a", "index": 0, "role": "after", "file": "/etc/secret.png"}]',
    '[{"group": "erased", "person": "a", "index": 0, "role": "after", "file": "images/a.png", "similarity": "x"}]',
])
def test_damaged_index_is_named(run, content):
    run.write_text("images/index.json", content)
    with pytest.raises(RunError, match=r"index\.json is damaged"):
        write_report(run)


def test_missing_picture_and_damaged_metrics_are_named(run):
    (run.path / load_images(run)[0]["file"]).unlink()
    with pytest.raises(RunError, match=r"erased-ada-0-picture\.png is missing"):
        write_report(run)
    run.write_text("metrics.json", "[]")
    with pytest.raises(RunError, match=r"metrics\.json is damaged"):
        write_report(run)


@pytest.mark.parametrize(("after", "bystanders", "tone", "says"), [
    (0.11, 0.97, "good", "below two strangers"),
    (0.15, 0.97, "good", "no more than two strangers"),
    (0.25, 0.97, "good", "no longer recognised"),
    (0.40, 0.97, "mixed", "A likeness is left"),
    (0.60, 0.97, "bad", "still recognised"),
    (0.93, 1.00, "bad", "still recognised"),
    (0.11, 0.60, "mixed", "no longer recognised"),
    (0.11, 0.30, "mixed", "no longer recognised"),
])
def test_verdict_is_honest(after, bystanders, tone, says):
    found = verdict({"erased_before": 0.93, "erased_after": after, "bystanders_change": bystanders, **LEVELS})
    assert found.tone == tone and says in found.person
    assert ("somebody else" in found.bystanders) == (bystanders == 0.30)


@pytest.mark.parametrize(("others", "answer", "says"), [
    (0.2, "Forgotten", "Nor are they"),
    (0.4, "Mostly forgotten", "a likeness is left"),
    (0.7, "Forgotten in this picture only", "still recognised"),
])
def test_verdict_looks_at_the_other_pictures_too(others, answer, says):
    numbers = {"erased_before": 0.9, "erased_after": 0.1, "bystanders_change": 0.97, **LEVELS}
    found = verdict(numbers | {"others_after": others})
    assert found.answer == answer and says in found.others
    assert (found.tone == "good") == (others == 0.2)


def test_verdict_of_several_goes_by_the_one_best_recognised():
    numbers = {"erased_before": 0.9, "erased_after": 0.4, "n_erased": 2.0, **LEVELS}
    found = verdict(numbers | {"erased_after_ada": 0.1, "erased_after_bo": 0.7}, people=["Ada", "Bo"])
    assert found.tone == "bad" and "At least one of 2" in found.person and "0.70" in found.person
    assert verdict(numbers | {"erased_after_plugin": 0.9}, people=["Ada", "Bo"]).tone == "mixed", "nobody of that name"


def test_other_pictures_of_several_go_by_the_person_best_recognised():
    numbers = {"erased_before": 0.9, "erased_after": 0.1, "others_after": 0.4, **LEVELS}
    assert "a likeness is left" in verdict(numbers).others
    found = verdict(numbers | {"others_after_ada": 0.7, "others_after_bo": 0.1}, people=["Ada", "Bo"])
    assert "still recognised (best recognised of Ada: similarity 0.70)" in found.others


def test_other_pictures_are_counted_not_averaged():
    # The default run of November 2026: -0.25, 0.50 and 0.83, whose mean is a likeness and whose best is the person.
    numbers = {"erased_before": 0.9, "erased_after": 0.1, "others_after": 0.36, "n_others": 3.0,
               "others_worst_after": 0.83, "n_others_judged": 3.0, "n_others_recognised_before": 3.0,
               "n_others_recognised": 2.0, **LEVELS}
    found = verdict(numbers)
    assert found.others == "2 of 3 other pictures are still recognised (best recognised: similarity 0.83)."
    assert found.answer == "Forgotten in this picture only" and found.tone == "mixed"
    never = {"others_worst_after": 0.2, "n_others_recognised_before": 0.0, "n_others_recognised": 0.0}
    unknown = verdict(numbers | never)
    assert "say nothing" in unknown.others and unknown.tone == "mixed"


def test_one_view_of_one_picture_decides():
    numbers = {"erased_before": 0.9, "erased_after": 0.1, "erased_worst_view_after": 0.7, **LEVELS}
    assert verdict(numbers).answer == "Not forgotten"
    others = {"others_after": 0.1, "others_worst_view_after": 0.7}
    assert "still recognised" in verdict(numbers | {"erased_worst_view_after": 0.1} | others).others


@pytest.mark.parametrize("missing", ["strangers_level", "same_person_level"])
def test_without_a_border_nothing_is_answered(missing):
    numbers = {"erased_before": 0.7, "erased_after": 0.05, "others_after": 0.05, "bystanders_change": 0.2, **LEVELS}
    found = verdict({name: value for name, value in numbers.items() if name != missing})
    assert (found.tone, found.answer) == ("unknown", "Unknown") and "nobody can say" in found.person
    assert found.others is None and "unknown" in found.bystanders


def test_nobody_is_forgotten_whom_the_generator_never_showed():
    numbers = {"erased_before": 0.7, "erased_after": 0.1, "strangers_distance": 0.5, **LEVELS}
    assert verdict(numbers | {"erased_fit_worst": 0.1}).answer == "Forgotten"
    found = verdict(numbers | {"erased_fit_worst": 0.48})
    assert (found.tone, found.answer) == ("unknown", "Undecided") and "never showed the person" in found.person
    assert verdict(numbers | {"erased_fit_worst": 0.48, "erased_after": 0.6}).answer == "Not forgotten"


def audit_result(tone="bad", effort=11, attack="reinversion-w", answer="11 optimiser steps"):
    return {"tone": tone, "effort_to_recognise": effort, "attack": attack, "answer": answer}


GIVEN_AWAY = audit_result("bad", 1, "read-difference", "1 face drawn") | {
    "holds": {"base": True, "photo": False, "encoder": False, "compute": "arithmetic"},
    "identified": {"rank": 1, "candidates": 20, "chance": 0.05},
}
NAMED = GIVEN_AWAY | {"tone": "mixed", "effort_to_recognise": None, "answer": "Named, not recognised"}


@pytest.mark.parametrize(("results", "tone", "answer", "says"), [
    ([audit_result(), audit_result(effort=40, answer="40 latents tried")], "bad",
     "Gone from its place; comes back after 11 optimiser steps", "2 of 2 attempts to bring the person back succeed"),
    ([audit_result("mixed"), audit_result("good", None)], "mixed",
     "Gone from its place; comes back after 11 optimiser steps", "1 of 2 attempts to bring the person back succeeds"),
    ([audit_result(effort=0, answer="No effort needed")], "bad", "Gone from its place; comes back without effort", ""),
    ([audit_result("good", None)] * 2, "good", "Forgotten; 2 attempts to bring them back fail", "none succeeds"),
    ([audit_result(), GIVEN_AWAY], "bad", "Gone from its place; the edit gives away whom it erases",
     "2 of 2 attempts to bring the person back succeed; without a photo, read-difference names the person first of 20 "
     "people; by reinversion-w, the person comes back after 11 optimiser steps."),
    ([GIVEN_AWAY], "bad", "Gone from its place; the edit gives away whom it erases", "first of 20 people."),
    ([audit_result(), NAMED], "bad", "Gone from its place; comes back after 11 optimiser steps", "2 of 2 attempts"),
    ([NAMED], "mixed", "Gone from its place; is named first, though not recognised", ""),
    ([audit_result("unknown", None)], "mixed", "Forgotten; whether they come back is unknown", "inconclusive"),
])
def test_the_headline_counts_the_audit(run, results, tone, answer, says):
    run.write_json("metrics.json", {"erased_before": 0.93, "erased_after": 0.11, **LEVELS})
    run.write_json("audit.json", {"results": results})
    found = run_verdict(run)
    assert (found.tone, found.answer) == (tone, answer) and says in found.audit
    page = write_report(run).read_text()
    assert answer in page and 'href="audit.html"' in page and found.audit in notebook_html(run)
    console = Console(file=io.StringIO(), width=200)
    console.print(run_table(run))
    text = " ".join(console.file.getvalue().split())
    assert answer in text and found.audit in text


def test_later_audits_count_and_what_is_not_gone_cannot_come_back(run):
    run.write_json("metrics.json", {"erased_before": 0.93, "erased_after": 0.11, "others_after": 0.9, **LEVELS})
    run.write_json("audit.json", {"results": [audit_result("good", None)]})
    run.write_json("audit-2.json", {"results": [audit_result()]})
    assert run_verdict(run).answer == "Gone from this picture only; comes back after 11 optimiser steps"
    run.write_json("metrics.json", {"erased_before": 0.93, "erased_after": 0.9, **LEVELS})
    assert run_verdict(run).answer == "Not forgotten" and "1 of 2 attempts" in run_verdict(run).audit
    run.write_json("audit-2.json", {"results": [{"tone": "bad"}]})
    with pytest.raises(RunError, match=r"audit-2\.json is damaged"):
        run_verdict(run)


def test_what_is_left_must_be_like_a_face():
    numbers = {"erased_before": 0.9, "erased_after": 0.1, "strangeness_most": 1.3, **LEVELS}
    assert verdict(numbers | {"erased_strangeness": 1.4}).answer == "Forgotten"
    found = verdict(numbers | {"erased_strangeness": 18.0})
    assert found.tone == "mixed" and found.answer == "Forgotten, but what is left may be no face"
    assert "18.0 times as far" in found.caution


def test_a_mix_of_worlds_cannot_be_measured():
    numbers = {"erased_before": 0.9, "erased_after": 0.1, **LEVELS}
    drawn = {"generator": "photographs", "judge": "synthetic-renders", "inverter": "any"}
    found = verdict(numbers, {"domains": drawn})
    assert (found.tone, found.answer) == ("unknown", "Not measurable") and found.bystanders is None
    assert "draws photographs, but the judge knows synthetic renders" in found.person
    assert verdict(numbers, {"domains": drawn | {"judge": "photographs"}}).world == "World: photographs."
    assert "knows synthetic renders" in verdict(numbers, {"domains": drawn | {"generator": "any"}}).world
    assert verdict(numbers).world is None


def test_only_pictures_of_real_people_show_real_people(run):
    config = (run.path / "config.toml").read_text()
    run.write_text("config.toml", config + '[request]\nbystanders = ["bo.png"]\n')
    for domain, real in (("synthetic-renders", False), ("photographs", True)):
        run.update_manifest(domains={"generator": domain, "judge": domain})
        page = write_report(run).read_text()
        assert ("real ones" in page) == real and f"World: {domain.replace('-', ' ')}" in page


def test_the_bystander_who_changed_most_is_named():
    numbers = {"erased_before": 0.9, "erased_after": 0.1, "bystanders_change": 0.9, "n_bystanders": 8.0,
               "bystanders_worst_change": 0.3, "bystanders_worst_number": 2.0, "n_bystanders_changed": 1.0, **LEVELS}
    found = verdict(numbers, bystanders=["Bo", "Cy"])
    assert found.answer == "Forgotten, but so are others"
    assert found.bystanders.startswith("1 of 8 bystanders turns into somebody else")
    assert "Cy, is the lowest" in found.bystanders
    assert "no. 2" in verdict(numbers).bystanders
    same = numbers | {"bystanders_worst_change": 0.99, "n_bystanders_changed": 0.0, "strangers_distance": 0.5}
    assert verdict(same | {"bystanders_distance_worst": 0.1}).tone == "good"
    moved = {"bystanders_distance_worst": 0.4, "bystanders_distance_worst_number": 1.0}
    other = verdict(same | moved, bystanders=["Bo"])
    assert other.answer == "Forgotten, at a price to others" and "The picture of Bo looks different" in other.bystanders


def test_verdict_of_several_pictures_goes_by_the_one_best_recognised():
    numbers = {"erased_before": 0.9, "erased_after": 0.3, "erased_worst_after": 0.6, "n_erased": 2.0, **LEVELS}
    found = verdict(numbers)
    assert found.tone == "bad" and found.person.startswith("The person is still") and "best recognised" in found.person


def test_the_judge_must_have_known_each_of_several():
    numbers = {"erased_before": 0.7, "erased_after": 0.1, **LEVELS}
    each = {"erased_before_ada": 0.95, "erased_after_ada": 0.1, "erased_before_bo": 0.45, "erased_after_bo": 0.1}
    assert verdict(numbers).answer == "Forgotten"
    found = verdict(numbers | each, people=["Ada", "Bo"])
    assert found.answer == "Undecided" and "did not recognise one of the people even before" in found.person
    assert "0.45 → 0.10" in found.person and "another judge" in found.person


CHAIN = {"chain": [{"sha256": "a" * 64, "path": "", "people": ["Ada B."], "pictures": {}}]}


@pytest.mark.parametrize(("then", "now", "says", "tone"), [
    (0.03, 0.05, "Ada B., erased earlier, is still forgotten (0.03 → 0.05).", "good"),
    (0.03, 0.71, "Ada B., erased earlier, came back (0.03 → 0.71).", "bad"),
    (0.6, 0.7, "was recognised even before this run and still is (0.60 → 0.70).", "bad"),
])
def test_verdict_says_what_became_of_people_erased_earlier(then, now, says, tone):
    numbers = {"erased_before": 0.93, "erased_after": 0.11, "bystanders_change": 0.97, **LEVELS}
    gone = {"earlier_ada_b_before": 0.9, "earlier_ada_b_then": then, "earlier_ada_b_after": now}
    found = verdict(numbers | gone, CHAIN)
    assert found.tone == tone and says in found.earlier[0]
    assert found.answer == ("Forgotten" if tone == "good" else "Forgotten, but somebody erased earlier is there")
    assert "no level says" in verdict({"erased_before": 0.9, "erased_after": 0.1} | gone, CHAIN).earlier[0]


def test_earlier_erasures_that_nobody_measured_are_not_passed_over():
    numbers = {"erased_before": 0.93, "erased_after": 0.11, **LEVELS}
    assert "1 of the people erased earlier were not measured" in verdict(numbers, CHAIN).earlier[0]
    chain = {"chain": [{**CHAIN["chain"][0], "people": None}]}
    (told,) = verdict(numbers, chain).earlier
    assert "1 of 1 earlier edits (aaaaaaaaaaaaaaaa…) could not be measured again" in told


def test_a_run_without_declarations_is_shown_by_bare_names(run):
    (run.path / "numbers.json").unlink()
    page = write_report(run).read_text()
    assert "<td>erased_after<code" in page and "below two strangers (0.15)" in page and "lower is better" not in page


def test_damaged_declarations_are_named(run):
    run.write_text("numbers.json", '{"erased_after": 3}')
    with pytest.raises(RunError, match=r"numbers\.json is damaged"):
        write_report(run)


def test_page_shows_several_people_and_those_erased_earlier(run):
    each = {f"erased_{when}_{who}": 0.4 for who in ("ada", "bo_b") for when in ("before", "after")}
    gone = {"earlier_ada_b_before": 0.9, "earlier_ada_b_then": 0.03, "earlier_ada_b_after": 0.71}
    known = declarations(About(("Ada", "Bo B."), ("Ada B.",), "LPIPS (VGG)"))
    run.write_json("metrics.json", METRICS | each | gone)
    run.write_json("numbers.json", to_plain(known))
    config = (run.path / "config.toml").read_text()
    run.write_text("config.toml", config + '[[request.people]]\nname = "Ada"\n[[request.people]]\nname = "Bo B."\n')
    run.update_manifest(**CHAIN)
    roles = ("before", "then", "after")
    save_images(run, [Picture("earlier", "Ada B.", 0, role, torch.zeros(3, 8, 8), 0.5) for role in roles])
    page = write_report(run).read_text()
    for text in (">Ada<", ">Bo B.<", "Ada B., erased earlier <b>still recognised",
                 "Other pictures of the erased people, after",
                 "came back (0.03 → 0.71)", "Ada B., erased earlier: before this run", "Bo B., after<",
                 "earlier edit 1: not here", "before this run</figcaption>"):
        assert text in page, text
    console = Console(file=io.StringIO(), width=100)
    console.print(summary_table(METRICS | each | gone, run.manifest, ["Ada", "Bo B."], known))
    text = console.file.getvalue()
    for part in ("  Bo B.", "all erased people", "Ada B., erased earlier", "0.71"):
        assert part in text, text


def test_a_name_is_no_markup():
    manifest = {"chain": [{**CHAIN["chain"][0], "people": ["[/]", "[red]"]}]}
    numbers = {f"earlier_{slug}_{when}": 0.7 for slug in ("0", "red") for when in ("before", "then", "after")}
    console = Console(file=io.StringIO(), width=100)
    console.print(summary_table(METRICS | numbers, manifest))
    for name in ("[/]", "[red]"):  # in the table and below it
        assert console.file.getvalue().count(f"{name}, erased earlier") == 2, console.file.getvalue()


def test_verdict_without_something_to_compare_with():
    assert verdict({}).answer == "Not measured"
    assert verdict({"erased_before": 0.9, "erased_after": 0.1}).answer == "Unknown"
    assert verdict({"erased_before": 0.9, "erased_after": 0.5, "strangers": 0.2}).answer == "Unknown"
    found = verdict({"erased_before": 0.3, "erased_after": 0.1, **LEVELS})
    assert (found.tone, found.answer) == ("unknown", "Undecided") and "even before" in found.person


def test_a_run_with_means_only_says_so():
    numbers = {"erased_before": 0.9, "erased_after": 0.1, "others_after": 0.1, "n_others": 3.0, **LEVELS}
    assert "means only" in verdict(numbers).caution and verdict(numbers | {"n_others": 1.0}).caution is None


@pytest.mark.parametrize("metrics", [METRICS, {"identity": METRICS}])
def test_summary_table(metrics):
    console = Console(file=io.StringIO(), width=100)
    manifest = {"seconds": 72.0, "memory": {"peak_bytes": 900 * 2**20}}
    console.print(summary_table(metrics, manifest, ["Ada"], declarations()))
    text = console.file.getvalue()
    for part in ("Forgotten", "0.93", "0.11", "two strangers", "1 min 12 s", "900 MiB",
                 "Fréchet (LPIPS (VGG)), unpaired", "1.970 (reference 1.910)", "bystanders, before to after"):
        assert part in text, text


def test_numbers_of_plugins_are_shown_in_the_short_table_where_they_ask_for_it():
    numbers = {"freckles": 0.5, "freckles_before": 0.25, "bare": 1.0}
    known = {"freckles": Number("freckles", "Freckles per face", "higher", reference="freckles_before", digits=1,
                                short="freckles [/]")}
    console = Console(file=io.StringIO(), width=100)
    console.print(summary_table(numbers, {}, [], known))
    assert "freckles [/]" in console.file.getvalue() and "0.5 (reference 0.2)" in console.file.getvalue()
    assert "bare" not in console.file.getvalue()


def test_summary_table_of_nothing():
    console = Console(file=io.StringIO(), width=100)
    console.print(summary_table({}, {}))
    assert "Not measured" in console.file.getvalue()
