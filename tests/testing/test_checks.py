"""Every check catches the component that breaks its promise, and passes the ones that keep it."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

from unlearnkit import plugins, testing
from unlearnkit.errors import ConfigError, PluginError
from unlearnkit.testing import (
    CheckFailed,
    Subject,
    ToyGenerator,
    ToyIdentity,
    as_subject,
    check_component,
    components_of,
    parametrize_with_checks,
)
from unlearnkit.testing.checks import CHECKS, COMMON, Check, launcher

from .broken import CASES, GOOD, Drifting, GoodJudge, GoodLoss, WeightlessTerms

ALL = {f"common/{check.name}": check for check in COMMON}
ALL |= {f"{kind}/{check.name}": check for kind, checks in CHECKS.items() for check in checks}
REGISTERED = {"common/check_registration_describes_it", "common/check_registering_imports_no_torch"}
"""Of these the broken ones are whole plugins, below."""


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a launcher leaves running is told after two seconds."""
    monkeypatch.setattr(launcher, "_PATIENCE", 2.0)


@pytest.mark.parametrize(("check", "cls", "words"), CASES, ids=[f"{c[0]}-{c[1].__name__}" for c in CASES])
def test_it_catches_what_is_broken(check: str, cls: type, words: str) -> None:
    with pytest.raises(CheckFailed) as caught:
        ALL[check](as_subject(cls))
    message = str(caught.value)
    assert words in message, message
    assert message.startswith(f"{check.split('/')[1]} of {as_subject(cls)!r}: expected ") and ", got " in message


@pytest.mark.parametrize("cls", GOOD, ids=lambda cls: cls.__name__)
def test_it_passes_what_is_right(cls: type) -> None:
    outcomes = check_component(cls)
    assert {outcome.check for outcome in outcomes if outcome.state == "skipped"} == {
        name.split("/")[1] for name in REGISTERED
    }


def test_a_judge_needs_no_gradient_if_it_says_so() -> None:
    skipped = {outcome.check: outcome.why for outcome in check_component(GoodJudge) if outcome.state == "skipped"}
    assert skipped.pop("check_embedding_is_differentiable") == "it is a judge only (differentiable = False)"
    assert set(skipped) == {name.split("/")[1] for name in REGISTERED}


def test_every_check_has_something_to_catch() -> None:
    assert {check for check, _, _ in CASES} | REGISTERED == set(ALL)


def test_every_check_says_what_it_checks() -> None:
    for name, check in ALL.items():
        text = (check.function.__doc__ or "").strip()
        sentence = text.split("\n\n")[0]
        assert sentence.endswith(".") and ". " not in sentence and (text[0].isupper() or text[0] == "`"), name


# ---------------------------------------------------------------- plugins

@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """``install(source)``: a plugin 'tried', as pip would leave it behind."""
    def put(source: str) -> None:
        (tmp_path / "tried_plugin.py").write_text(source)
        folder = tmp_path / "tried-1.0.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: tried\nVersion: 1.0\n")
        (folder / "entry_points.txt").write_text("[unlearnkit]\ntried = tried_plugin\n")
        monkeypatch.syspath_prepend(tmp_path)
        plugins.reset()

    yield put
    sys.modules.pop("tried_plugin", None)


PLUGIN = """
from unlearnkit.plugins import hookimpl

@hookimpl
def unlearnkit_register_losses(register):
    register("tried", "unlearnkit_guide.losses:Local", {line!r})
"""


def test_a_sound_plugin_passes(install) -> None:
    install(PLUGIN.format(line="A line about it"))
    (subject,) = components_of("tried")
    assert {outcome.state for outcome in check_component(subject)} == {"passed"}


@pytest.mark.parametrize(("check", "line", "before", "words"), [
    ("check_registration_describes_it", "", "", "an empty one"),
    ("check_registration_describes_it", "long " * 30, "", "at most 120"),
    ("check_registering_imports_no_torch", "A line", "import torch", "without torch"),
])
def test_a_registration_that_breaks_its_promise(
    install, tmp_path: Path, check: str, line: str, before: str, words: str
) -> None:
    (tmp_path / "torch.py").touch()  # in the process that the check starts; here the real one is imported already
    install(before + PLUGIN.format(line=line))
    with pytest.raises(CheckFailed, match=words):
        ALL[f"common/{check}"](as_subject(("loss", "tried")))


def test_a_class_that_does_not_import_is_named(install) -> None:
    install(PLUGIN.format(line="A line").replace(":Local", ":Lokal"))
    outcomes = check_component(("loss", "tried"), raises=False)
    assert any("'tried' (tried 1.0) cannot be imported" in outcome.why for outcome in outcomes)


# ---------------------------------------------------------------- how checks are asked for

def test_all_failures_are_told_at_once() -> None:
    class_with_two = as_subject(Drifting)
    with pytest.raises(CheckFailed, match=r"1 of \d+ checks failed\ncheck_settings_survive_a_file"):
        check_component(class_with_two)


def test_a_component_brings_its_own_settings() -> None:
    check_component(GoodLoss(weight=2.0))
    assert as_subject(GoodLoss(weight=2.0)).component.weight == 2.0
    assert as_subject(("loss", "guide-local", {"mse": 3.0})).component.mse == 3.0


def test_a_check_can_be_left_out_with_a_reason() -> None:
    name = "check_gradient_reaches_the_edited_rendering"
    subject = Subject("loss", "Weightless", component_class=WeightlessTerms, skip={name: "a penalty on nothing"})
    skipped = {o.check: o.why for o in check_component(subject) if o.state == "skipped"}
    assert skipped[name] == "a penalty on nothing"


def test_missing_weights_fail_once_and_say_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    outcomes = check_component(("perceptual", "lpips-alex"), raises=False)
    assert [outcome.check for outcome in outcomes if outcome.state == "failed"] == [
        "check_prepare_works_or_says_what_is_missing"
    ]
    needs = Subject("perceptual", "lpips-alex", needs="torchvision's AlexNet")
    reasons = {outcome.why for outcome in check_component(needs) if outcome.state == "skipped"}
    assert reasons == {"needs torchvision's AlexNet"}


def test_settings_may_be_made_late() -> None:
    made = []

    def settings():
        made.append(1)
        return {"weight": 3.0}

    subject = Subject("loss", "late", settings, component_class=GoodLoss)
    assert not made and subject.component.weight == 3.0 and subject.build().weight == 3.0 and made == [1]


@pytest.mark.parametrize(("what", "words"), [
    (("los", "x"), "no kind 'los'"), (3, "names no component"), (int, "names no component"), (("loss",), "no comp"),
])
def test_what_is_no_component(what, words: str) -> None:
    with pytest.raises(PluginError, match=words):
        as_subject(what)


def test_components_of_names_what_is_wrong() -> None:
    with pytest.raises(PluginError, match=r"plugin 'gide': not installed"):
        components_of("gide")
    with pytest.raises(ConfigError, match="loss 'guide-lokal'"):
        components_of("guide", settings={("loss", "guide-lokal"): {}})


def test_ids_are_readable() -> None:
    mark = parametrize_with_checks([ToyIdentity, ("loss", "guide-local")]).mark
    ids = mark.kwargs["ids"]
    assert "identity-ToyIdentity-encoder_is_frozen" in ids and "loss-guide-local-it_never_renders" in ids
    assert len(set(ids)) == len(ids) == len(mark.args[1])


def test_a_generator_of_ones_own_is_used() -> None:
    subject = Subject("target", "average", generator=as_subject(ToyGenerator))
    assert type(subject.world()) is ToyGenerator and len(subject.worlds()) == 1
    check_component(subject)


def test_importing_it_needs_no_pytest() -> None:
    for path in Path(testing.__file__).parent.rglob("*.py"):
        for node in ast.parse(path.read_text()).body:
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not any(name.split(".")[0] in ("pytest", "_pytest") for name in names), path


def test_a_check_is_a_name_and_a_function() -> None:
    assert all(isinstance(check, Check) and repr(check) == check.name for check in ALL.values())
