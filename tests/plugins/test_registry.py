"""Discovery, and everything that can be wrong with a plugin."""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys
import types
from collections.abc import Callable, Iterator
from typing import Any

import attrs
import pytest

from unlearnkit.errors import ConfigError, PluginError
from unlearnkit.plugins import Registry, hookimpl, hookspecs
from unlearnkit.plugins.registration import KINDS
from unlearnkit.weights import WeightFile

MakeRegistry = Callable[..., Registry]


class Distribution(importlib.metadata.Distribution):
    """An installed distribution, as far as entry points look at it."""

    def __init__(self, name: str) -> None:
        self._name = name

    def read_text(self, filename: str) -> str | None:
        if filename != "METADATA":
            return None
        return f"Metadata-Version: 2.1\nName: {self._name}\nVersion: 1.0\n"

    def locate_file(self, path: Any) -> Any:
        return path


@pytest.fixture
def make() -> Iterator[MakeRegistry]:
    """``make(name=[functions])``: a registry of plugins made on the spot; ``name=None`` fails to import."""
    added: list[str] = []

    def build(**plugins: Any) -> Registry:
        points = []
        for name, functions in plugins.items():
            module = types.ModuleType(f"fake_{name}")
            if isinstance(functions, list):
                for function in functions:
                    setattr(module, function.__name__, function)
                sys.modules[module.__name__] = module
                added.append(module.__name__)
            point = importlib.metadata.EntryPoint(name, f"fake_{name}", "unlearnkit")
            points.append(point._for(Distribution(f"dist-{name}")))  # type: ignore[attr-defined]
        return Registry(points)

    yield build
    for name in added:
        del sys.modules[name]


def registers(kind: str, *entries: tuple[str, str], **preset: Any) -> Any:
    """A registration hook of the given kind."""

    def hook(register: Any) -> None:
        for name, path in entries:
            register(name, path, f"The {name}\n  of tests", preset or None)

    hook.__name__ = KINDS[kind][0]
    return hookimpl(hook)


LOSS = ("plain", "fractions:Fraction")


def test_every_registration_hook_has_a_kind() -> None:
    hooks = {name for name in vars(hookspecs) if name.startswith("unlearnkit_register_")}
    assert hooks == {hook for hook, _ in KINDS.values()} | {"unlearnkit_register_weights"}


def test_registration_is_lazy_and_complete(make: MakeRegistry) -> None:
    registry = make(mine=[registers("loss", ("x", "no.such.module:X"), weight=2)])
    entry = registry.get("loss", "x")
    assert (entry.plugin, entry.distribution, entry.version) == ("mine", "dist-mine", "1.0")
    assert entry.description == "The x of tests" and entry.preset == {"weight": 2}
    assert registry.names("loss") == ("x",) and registry.names("metric") == ()


def test_broken_plugin_is_kept_aside(make: MakeRegistry) -> None:
    registry = make(bad=None, good=[registers("loss", LOSS)])
    bad, good = registry.plugins
    assert bad.error == "ModuleNotFoundError: No module named 'fake_bad'" and bad.distribution == "dist-bad"
    assert good.error is None and registry.names("loss") == ("plain",)
    with pytest.raises(PluginError, match=r"no metric 'x'. No plugin offers a metric. Not loaded: bad"):
        registry.get("metric", "x")


def test_strict_raises(make: MakeRegistry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNLEARNKIT_STRICT_PLUGINS", "1")
    with pytest.raises(PluginError, match=r"plugin 'bad' \(dist-bad 1.0\): ModuleNotFoundError"):
        make(bad=None)


def test_disabled_by_name(make: MakeRegistry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNLEARNKIT_DISABLE_PLUGINS", " mine, other")
    monkeypatch.setenv("UNLEARNKIT_STRICT_PLUGINS", "1")
    registry = make(mine=[registers("loss", LOSS)])
    assert registry.plugins[0].disabled and registry.names("loss") == ()


def _misspelt() -> Any:
    @hookimpl
    def unlearnkit_register_loses(register: Any) -> None: ...

    return unlearnkit_register_loses


def _unmarked() -> Any:
    def unlearnkit_register_losses(register: Any) -> None: ...

    return unlearnkit_register_losses


def _wrong_argument() -> Any:
    @hookimpl
    def unlearnkit_register_losses(registry: Any) -> None: ...

    return unlearnkit_register_losses


def _panicking() -> Any:
    @hookimpl
    def unlearnkit_register_losses(register: Any) -> None:
        register("half", "a:B", "registered before the failure")
        raise pytest.skip.Exception("not here")

    return unlearnkit_register_losses


def _raising() -> Any:
    @hookimpl
    def unlearnkit_register_losses(register: Any) -> None:
        register("half", "a:B", "registered before the failure")
        raise SystemExit(3)

    return unlearnkit_register_losses


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (_misspelt(), "no hook of unlearnkit. Did you mean 'unlearnkit_register_losses'"),
        (_unmarked(), "lacks the marker @hookimpl"),
        (_wrong_argument(), "registry"),
        (_raising(), "SystemExit: 3"),
        (_panicking(), "Skipped: not here"),
        (registers("loss", ("a b", "a:B")), "letters, digits"),
        (registers("loss", ("a", "a.B")), "no import path"),
    ],
)
def test_what_a_plugin_can_get_wrong(make: MakeRegistry, function: Any, reason: str) -> None:
    registry = make(wrong=[function], good=[registers("loss", LOSS)])
    error = registry.plugins[0].error
    assert error is not None and reason in error and "\n" not in error.strip()
    assert registry.names("loss") == ("plain",), "nothing of a broken plugin may stay"


def test_duplicate_names_both_owners(make: MakeRegistry) -> None:
    registry = make(one=[registers("loss", LOSS)], two=[registers("loss", LOSS, ("own", "a:B"))])
    with pytest.raises(PluginError, match=r"twice.*'one' \(dist-one 1.0\).*'two' \(dist-two 1.0\)"):
        registry.get("loss", "plain")
    assert registry.get("loss", "own").plugin == "two" and len(registry.duplicates()) == 1
    assert registry.names("loss") == ("own",), "what can be used"


@pytest.mark.parametrize("order", [("unlearnkit", "thief"), ("thief", "unlearnkit")])
def test_a_claim_of_a_bundled_name_changes_nothing(order: tuple[str, str]) -> None:
    point = {name: importlib.metadata.EntryPoint(name, f"claims_{name}", "unlearnkit") for name in order}
    for name in order:
        sys.modules[f"claims_{name}"] = module = types.ModuleType(f"claims_{name}")
        hook = registers("loss", LOSS, (f"of-{name}", "a:B"))
        setattr(module, hook.__name__, hook)
    distributions = {"unlearnkit": "unlearnkit", "thief": "dist-thief"}
    registry = Registry([point[name]._for(Distribution(distributions[name])) for name in order])  # type: ignore
    assert registry.get("loss", "plain").distribution == "unlearnkit"
    assert registry.names("loss") == ("of-thief", "of-unlearnkit", "plain")
    (told,) = registry.duplicates()
    assert told.startswith("loss 'plain' of plugin 'thief' (dist-thief 1.0) is not used: the name belongs to plugin")


def test_what_a_plugin_prints_stays_out_of_standard_output(
    make: MakeRegistry, capsys: pytest.CaptureFixture[str],
) -> None:
    @hookimpl
    def unlearnkit_register_losses(register: Any) -> None:
        print("registering")

    @hookimpl
    def unlearnkit_defaults(settings: Any) -> None:
        print("asked")

    make(loud=[unlearnkit_register_losses, unlearnkit_defaults]).defaults({})
    out, err = capsys.readouterr()
    assert out == "" and err == "registering\nasked\n"


def test_a_failure_that_is_no_exception_names_the_plugin(make: MakeRegistry) -> None:
    class Panic(BaseException):
        """As an extension in another language raises it."""

    @hookimpl
    def unlearnkit_defaults(settings: Any) -> None:
        raise Panic("lost")

    with pytest.raises(PluginError, match=r"plugin 'hurt' .* failed in unlearnkit_defaults: Panic: lost"):
        make(hurt=[unlearnkit_defaults]).defaults({})


def test_a_damaged_distribution_is_kept_aside(make: MakeRegistry) -> None:
    class Damaged(Distribution):
        def read_text(self, filename: str) -> str | None:
            raise OSError("no such block")

    point = importlib.metadata.EntryPoint("bad", "no_such_module", "unlearnkit")
    registry = Registry([point._for(Damaged("bad"))])  # type: ignore[attr-defined]
    assert registry.plugins[0].distribution == "damaged distribution" and registry.plugins[0].error


def test_unknown_name_and_kind(make: MakeRegistry) -> None:
    registry = make(one=[registers("loss", LOSS)])
    with pytest.raises(PluginError, match=r"no loss 'plane'. Did you mean 'plain'\? Available: plain."):
        registry.get("loss", "plane")
    with pytest.raises(PluginError, match=r"no kind 'lss'. Did you mean 'loss'"):
        registry.names("lss")


@attrs.define
class NotALoss:
    """An attrs class that is no loss."""


def test_component_class_is_checked(make: MakeRegistry) -> None:
    entries = [("gone", "no.such:X"), ("missing", "fractions:Nothing"), ("other", f"{__name__}:NotALoss"),
               ("abstract", "unlearnkit.interfaces:Loss")]
    registry = make(one=[registers("loss", *entries)])
    for name, words in [("gone", "cannot be imported: ModuleNotFoundError"), ("missing", "AttributeError"),
                        ("other", "no subclass of unlearnkit"), ("abstract", "no attrs class")]:
        with pytest.raises(PluginError, match=rf"loss '{name}' of plugin 'one' \(dist-one 1.0\).*{words}"):
            registry.component_class("loss", name)


def _offers(**values: Any) -> Any:
    @hookimpl
    def unlearnkit_defaults(settings: Any) -> Any:
        return values or settings["nothing"]

    return unlearnkit_defaults


def test_first_offer_wins_and_failures_name_the_plugin(make: MakeRegistry) -> None:
    registry = make(early=[_offers(seed=1, device="cpu")], late=[_offers(seed=2)])
    assert registry.defaults({}) == {"seed": 2, "device": "cpu"}, "pluggy asks the last plugin first"
    failed = r"plugin 'bad' \(dist-bad 1.0\) failed in unlearnkit_defaults: KeyError"
    with pytest.raises(PluginError, match=failed):
        make(bad=[_offers()]).defaults({})
    stops = hookimpl(_raise_config_error)
    with pytest.raises(ConfigError, match="as it is"):
        make(stops=[stops]).defaults({})


def unlearnkit_defaults(settings: Any) -> Any:
    raise ConfigError("as it is")


_raise_config_error = unlearnkit_defaults


def test_run_hooks_reach_the_plugin(make: MakeRegistry) -> None:
    seen: list[Any] = []

    @hookimpl
    def unlearnkit_step_finished(step: int, terms: Any) -> None:
        seen.append((step, terms))

    make(one=[unlearnkit_step_finished]).step_finished(None, 3, {"total": 1.0})  # type: ignore[arg-type]
    assert seen == [(3, {"total": 1.0})]


def test_importing_plugins_imports_no_torch() -> None:
    program = "import sys, unlearnkit.plugins, unlearnkit.config as c; unlearnkit.plugins.registry(); " \
              "sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], timeout=120).returncode == 0


def test_outside_plugin_is_found_and_imports(outside: Registry) -> None:
    plugin = next(p for p in outside.plugins if p.name == "outside")
    assert plugin.error is None and (plugin.distribution, plugin.version) == ("unlearnkit-outside", "1.2.3")
    for entry in plugin.registrations:
        assert attrs.has(outside.component_class(entry.kind, entry.name))


# ---------------------------------------------------------------- weight files

def weight_hook(*names: str) -> Any:
    @hookimpl
    def unlearnkit_register_weights(register):
        for name in names:
            register(WeightFile(name=name, purpose="x", file_name="x.pth", licence="MIT", page="a page"))

    return unlearnkit_register_weights


def test_weight_files_are_found_by_name(make: MakeRegistry) -> None:
    found = make(a=[weight_hook("ears", "eyes")], b=[weight_hook("nose")])
    assert list(found.weights()) == ["ears", "eyes", "nose"] and found.weight_file("nose").name == "nose"
    with pytest.raises(PluginError, match=r"no weight file 'ear'\. Did you mean 'ears'"):
        found.weight_file("ear")


def test_a_weight_file_registered_twice_names_both_and_harms_no_other(make: MakeRegistry) -> None:
    found = make(a=[weight_hook("ears", "eyes")], b=[weight_hook("ears")])
    with pytest.raises(PluginError, match=r"'ears' is registered twice, by plugin 'a' .* and plugin 'b'"):
        found.weight_file("ears")
    assert found.weight_file("eyes").name == "eyes" and len(found.duplicates()) == 1


def test_what_is_no_weight_file_breaks_its_own_plugin(make: MakeRegistry) -> None:
    @hookimpl
    def unlearnkit_register_weights(register):
        register("ears")

    found = make(a=[unlearnkit_register_weights], b=[weight_hook("eyes")])
    assert [bool(plugin.error) for plugin in found.plugins] == [True, False] and list(found.weights()) == ["eyes"]
