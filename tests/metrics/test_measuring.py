"""Numbers belong to their metrics: who declares which, and what happens where two claim one."""

from __future__ import annotations

import attrs
import pytest

from unlearnkit.errors import ConfigError, PluginError
from unlearnkit.interfaces import About, Metric, Number, Request
from unlearnkit.metrics.distribution import Distribution
from unlearnkit.metrics.earlier import Earlier
from unlearnkit.metrics.fid import FID
from unlearnkit.metrics.identity import Identity
from unlearnkit.metrics.measuring import declared, measured
from unlearnkit.metrics.neighbours import Neighbours
from unlearnkit.metrics.prdc import PRDC

from .toys import evidence, person

X, Y = (1.0, 0.0, 0.0), (0.0, 1.0, 0.0)
REQUEST = Request((person("Ada B.", X), person("Bo", Y)))


@attrs.define
class Fixed(Metric):
    """Declares and measures what it is told to."""

    declares: tuple[Number, ...] = ()
    gives: dict[str, float] = attrs.field(factory=dict)

    def numbers(self, about: About) -> tuple[Number, ...]:
        return self.declares

    def measure(self, evidence: object) -> dict[str, float]:
        return self.gives


def test_two_metrics_may_not_declare_one_number() -> None:
    thief = Fixed((Number("erased_after", "Stolen"),))
    with pytest.raises(ConfigError, match=r"'thief' and metric 'identity' both measure 'erased_after'.*metrics\.names"):
        declared({"identity": Identity(), "thief": thief}, About(("Ada",)))


def test_a_count_belongs_to_its_metric_too() -> None:
    one, other = (Fixed((Number(name, name, count="n_samples"),)) for name in ("one", "other"))
    with pytest.raises(ConfigError, match="both measure 'n_samples'"):
        declared({"one": one, "other": other}, About())


def test_one_metric_may_not_declare_a_number_twice() -> None:
    with pytest.raises(ConfigError, match="'neighbours' declares 'neighbours_before_25' twice"):
        declared({"neighbours": Neighbours(fractions=[0.25, 0.251])}, About())


@pytest.mark.parametrize("broken", ["name", 3])
def test_declarations_that_are_none_name_the_metric(broken: object) -> None:
    with pytest.raises(PluginError, match="metric 'odd'"):
        declared({"odd": Fixed(broken)}, About())  # type: ignore[arg-type]


def test_a_measured_number_that_belongs_to_another_metric_is_refused() -> None:
    thief = Fixed((), {"erased_after": 0.0})
    for metrics in ({"identity": Identity(), "thief": thief}, {"thief": thief, "identity": Identity()}):
        with pytest.raises(PluginError, match="'thief' returned 'erased_after', which belongs to metric 'identity'"):
            measured(metrics, evidence(REQUEST))
    with pytest.raises(PluginError, match="'thief' returned 'own', which belongs to metric 'first'"):
        measured({"first": Fixed((), {"own": 1.0}), "thief": Fixed((), {"own": 2.0})}, evidence(REQUEST))


def test_a_number_that_nobody_declared_is_kept() -> None:
    started: list[str] = []
    numbers = measured({"a": Fixed((), {"new": 1.0}), "b": Fixed((), {"n_b": 2.0})}, evidence(REQUEST), started.append)
    assert numbers == {"new": 1.0, "n_b": 2.0} and started == ["a", "b"]


def test_names_depend_on_people_views_and_the_perceptual_label() -> None:
    metrics = {"identity": Identity(), "earlier": Earlier(), "distribution": Distribution(), "prdc": PRDC()}
    alone = declared(metrics, About(("Ada B.",), perceptual="LPIPS (VGG)"))
    assert alone["erased_after"] == Number(
        "erased_after", "Erased person, after", "lower", count="n_erased", least=-1.0, most=1.0, metric="identity")
    assert alone["precision_lpips_vgg"].title.startswith("Precision in LPIPS (VGG) features")
    assert alone["frechet_lpips_vgg_unpaired"].reference == "frechet_lpips_vgg_floor"
    assert not [name for name in alone if "front" in name or "view" in name or "ada" in name or "alike" in name]
    two = declared(metrics, About(("Ada B.", "Bo"), ("Cy",), has_views=True))
    assert two["erased_after_ada_b"] == Number(
        "erased_after_ada_b", "Ada B., after", "lower", least=-1.0, most=1.0, metric="identity")
    assert two["others_change_bo"].title == "Other pictures of Bo, similarity before vs. after"
    assert two["earlier_cy_after"] == Number(
        "earlier_cy_after", "Cy, erased earlier: after this run", "lower", count="n_earlier_cy", least=-1.0, most=1.0,
        metric="earlier")
    assert {"erased_front_after", "bystanders_front_change", "erased_worst_view_after"} <= two.keys()


def test_what_is_measured_is_declared(tmp_path) -> None:
    metrics = {"identity": Identity(), "neighbours": Neighbours(fractions=[0.3]), "prdc": PRDC(k=2)}
    for views in (False, True):
        seen = evidence(REQUEST, (0.3, 0.0, 0.1), views=views)
        known = declared(metrics, seen.about)
        counts = {number.count for number in known.values()}
        numbers = measured(metrics, seen)
        assert not numbers.keys() - known.keys() - counts
        assert ("erased_front_after" in numbers) == views and "erased_change_ada_b" in numbers


def test_fid_to_real_pictures_is_declared_where_there_are_any(tmp_path) -> None:
    assert "delta_fid_real" not in {number.name for number in FID().numbers(About())}
    with_real = {number.name: number for number in FID(real=tmp_path / "ffhq.npz").numbers(About())}
    assert with_real["delta_fid_real"].better == "lower" and with_real["fid_pre_floor"].count == "n_fid_floor"


def test_labels_of_perceptual_distances_may_clash_with_fid() -> None:
    with pytest.raises(ConfigError, match="'fid' and metric 'distribution' both measure 'kid_inception'"):
        declared({"distribution": Distribution(), "fid": FID()}, About(perceptual="Inception"))
