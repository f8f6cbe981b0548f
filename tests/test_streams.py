"""No two purposes share a random number, and an erased latent serves nobody else; with z of 512 numbers.

With ``seed``, ``seed + 1``, ... the first rows of all draws were the same where z_dim is a multiple of 16. So rows are
collected from the very code that draws them, with the place in the code that asked, and compared 16 numbers at a time.
"""

from __future__ import annotations

import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import attrs
import pytest
import torch
from rich.console import Console
from torch import Tensor, nn
from unlearnkit_baselines.closed_form import ClosedForm
from unlearnkit_baselines.fisher import Fisher
from unlearnkit_baselines.sugar import SugarEwc

from unlearnkit.attacks.reinversion import ReinversionW
from unlearnkit.attacks.relearning import Relearning
from unlearnkit.attacks.running import run_attacks
from unlearnkit.attacks.sampling import Neighbours, RandomSearch
from unlearnkit.config import resolve
from unlearnkit.config.settings import Choice, PersonSettings, Settings
from unlearnkit.edits.chain import open_chain
from unlearnkit.interfaces import Case, Evidence, Job, Person, Request, Step, StyleLayer, draw_people
from unlearnkit.metrics import fid
from unlearnkit.metrics.gallery import Gallery
from unlearnkit.people.latent_files import person_of_seed, save_latent
from unlearnkit.plugins import registry
from unlearnkit.report import show
from unlearnkit.report.pictures import Picture
from unlearnkit.streams import stream
from unlearnkit.testing import ToyIdentity, ToyPerceptual, ToyViewGenerator, make_job
from unlearnkit.workflows.experiment import prepare
from unlearnkit.workflows.run import start_run

DIM, BLOCK, PEOPLE = 512, 16, 21
DRAWN: list[tuple[str, Tensor]] = []
"""Who asked, and the rows ``(N, DIM)``, of every draw of z."""


SHOWN: list[Tensor] = []
"""Latents ``(N, 2, DIM)`` of every rendering."""


def asked_by() -> str:
    """The function for which latents are drawn (the interfaces only hand draws on), and whether before the loop."""
    frame, who, when = sys._getframe(1), "", ""
    while frame is not None:
        module, function = frame.f_globals["__name__"], frame.f_code.co_name
        if not (who or function.startswith("<") or module.startswith(("torch.", "unlearnkit.interfaces", __name__))):
            who = f"{module}:{function}"
        if function in ("start", "begin"):
            when = f", in {function}"
        frame = frame.f_back
    return who + when


@attrs.define(eq=False)
class Wide(ToyViewGenerator):
    """The toy with z and w of 512 numbers and a style layer; a latent is its z, twice."""

    network: nn.Module = attrs.field(init=False, factory=lambda: Wide.build())

    z_dim = DIM
    w_dim = DIM

    @staticmethod
    def build() -> nn.Module:
        with torch.random.fork_rng(devices=()):
            torch.manual_seed(0)
            return nn.ModuleDict({"synthesis": nn.Linear(2 * DIM, 48), "style": nn.Linear(DIM, 6)})

    @property
    def w_avg(self) -> Tensor:
        return torch.zeros(2, DIM)

    def map(self, z: Tensor) -> Tensor:
        DRAWN.append((asked_by(), z.detach().clone()))
        return z[:, None].repeat(1, 2, 1)

    def render(self, latents: Tensor, views: Tensor | None = None, rng: torch.Generator | None = None):
        SHOWN.append(latents.detach().clone())
        made = ToyViewGenerator.render(self, latents, views)
        return attrs.evolve(made, image=made.image + self.network["style"](latents[:, 0]).mean(1)[:, None, None, None])

    def editable_parameters(self) -> dict[str, nn.Parameter]:
        return dict(self.network.named_parameters())

    def style_layers(self) -> list[StyleLayer]:
        layer = self.network["style"]
        return [StyleLayer("style", 0, layer.weight, layer.bias, 1.0)]


@pytest.fixture(autouse=True)
def nothing_seen_yet() -> Iterator[None]:
    DRAWN.clear()
    SHOWN.clear()
    yield


def blocks() -> dict[bytes, set[str]]:
    """Who drew each run of 16 numbers."""
    found: dict[bytes, set[str]] = defaultdict(set)
    for who, rows in DRAWN:
        for block in rows.reshape(-1, BLOCK).numpy():
            found[block.tobytes()].add(who)
    return found


def settings_of(method: str, seed: int = 0, **more: Any) -> Settings:
    """Erase the people of the seeds 0 and 1 together, beside eight drawn bystanders."""
    people = [{"name": f"seed {number}", "latent_seed": number} for number in (0, 1)]
    found = resolve({
        "method.name": method, "generator.name": "stylegan2", "device": "cpu", "seed": seed,
        "request.people": people, "request.bystanders": [], "request.random_bystanders": 8,
        "metrics.names": ["identity", "preservation", "neighbours", "distribution", "geometry"],
        "metrics.samples": 12, **more,
    }, registry())
    return attrs.evolve(
        found, generator=Choice("wide", Wide()), identity=Choice("toy", ToyIdentity()),
        judge=Choice("toy-judge", ToyIdentity()), perceptual=Choice("toy-pixels", ToyPerceptual()),
        metrics={**found.metrics, "fid": Choice("fid", Pooled(samples=6))},
    )


@attrs.define(eq=False)
class Pooled(fid.FID):
    """FID on mean colours: Inception's weights are the user's."""

    def check(self) -> None:
        pass

    def prepare(self, device: torch.device) -> None:
        self._network = nn.Sequential(nn.AdaptiveAvgPool2d(1), Listed())


class Listed(nn.Module):
    def forward(self, x: Tensor) -> list[Tensor]:
        return [x]


# ---------------------------------------------------------------- streams

def test_a_stream_is_told_by_all_three() -> None:
    def first(*which: Any) -> float:
        return float(torch.rand((), generator=stream(*which)))

    assert first(3, "a") == first(3, "a") == first(3, "a", 0)
    told = [(0, "a"), (1, "a"), (0, "b"), (0, "a", 1), (1, "a", 1), (10, "a"), (0, "a/1"), (0, "0/a")]
    assert len({first(*which) for which in told}) == len(told)


def test_streams_leave_the_global_random_numbers_alone() -> None:
    state = torch.get_rng_state()
    torch.rand(3, generator=stream(0, "a"))
    assert torch.equal(state, torch.get_rng_state())


ONLY_ONE_NUMBER = {
    "unlearnkit.people.latent_files:person_of_seed", "unlearnkit.workflows.run:_distances",
    "unlearnkit_guide.targets:mean_radius",
}
"""Who draws the same whatever the run's seed: users' seeds have a space of their own, scales are a generator's."""


def run_of_seed(seed: int, folder: Path) -> dict[bytes, set[str]]:
    """A whole run with its report, and attacks on what it leaves: who drew which block of 16 numbers."""
    DRAWN.clear()
    more = {"method.steps": 3, "target.unit": "mean-radius", "target.distance": 1.0}
    settings = settings_of("guide", seed, **more)
    start_run(settings, folder / f"run-{seed}", Console(quiet=True))
    experiment = prepare(settings)
    attacks = {"a": ReinversionW(steps=2), "b": Neighbours(latents=6), "c": RandomSearch(latents=6),
               "d": Relearning(steps=1)}
    run_attacks(experiment.evidence, attacks)
    for number in range(PEOPLE):
        person_of_seed(experiment.frozen, number)
    return blocks()


def test_no_purpose_of_a_run_sees_the_people_of_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(show, "save_turns", lambda run, given: None)  # draws nothing, and takes long
    first = run_of_seed(0, tmp_path)
    counts: Counter[str] = Counter(who for whose in first.values() for who in whose)
    rows = {who: count // (DIM // BLOCK) for who, count in counts.items()}
    assert rows == {
        "unlearnkit.people.latent_files:person_of_seed": PEOPLE,
        "unlearnkit.people.requests:make_request": 8,
        "unlearnkit_guide.targets:mean_radius": 1000,
        "unlearnkit_guide.losses:pairs": 3 * (2 * 2 + 2),
        "unlearnkit.workflows.run:_distances": 1000,
        "unlearnkit.metrics.neighbours:measure": 256,
        "unlearnkit.metrics.gallery:_drawn": 16,
        "unlearnkit.metrics.fid:_features": 6,
        "unlearnkit.attacks.reinversion:_search": 600,
        "unlearnkit.attacks.sampling:around": 256,
        "unlearnkit.attacks.sampling:attack": 6,
        "unlearnkit.attacks.relearning:stranger": 16,
    }
    assert_apart(first)
    second = run_of_seed(1, tmp_path)
    assert_apart(second)
    both = {who for block in first.keys() & second.keys() for who in first[block] | second[block]}
    assert both == ONLY_ONE_NUMBER


def assert_apart(found: Mapping[bytes, set[str]]) -> None:
    shared = {tuple(sorted(whose)) for whose in found.values() if len(whose) > 1}
    assert not shared


@pytest.mark.parametrize(("method", "options", "wanted"), [
    ("closed-form", {"method.samples": 40}, {
        "unlearnkit_baselines.closed_form:unlearn": 40, "unlearnkit_baselines.closed_form:_erased": 2 * 8,
    }),
    ("saliency", {"method.steps": 3, "method.draws": 4}, {
        "unlearnkit_baselines.losses:pairs, in start": 4 * 2, "unlearnkit_baselines.losses:pairs": 3 * 2,
        "unlearnkit_guide.losses:pairs": 3 * 2,
    }),
    ("sugar", {"method.steps": 3, "target.epochs": 1}, {
        "unlearnkit_baselines.sugar:_latents, in begin": 2 * 2, "unlearnkit_baselines.losses:nearby": 3 * 2 * 2,
    }),
    ("ewc", {"method.steps": 3, "loss.fisher.samples": 5}, {
        "unlearnkit_baselines.fisher:projections, in begin": 5, "unlearnkit_guide.losses:pairs": 3 * 2,
    }),
])
def test_no_purpose_of_a_method_sees_the_people_of_another(
    method: str, options: dict[str, Any], wanted: dict[str, int]
) -> None:
    experiment = prepare(settings_of(method, **options))
    experiment.unlearn()
    experiment.measure()
    for number in range(PEOPLE):
        person_of_seed(experiment.frozen, number)
    found = blocks()
    counts: Counter[str] = Counter(who for whose in found.values() for who in whose)
    assert {who: counts[who] // (DIM // BLOCK) for who in wanted} == wanted, counts
    assert {"unlearnkit.people.requests:make_request", "unlearnkit.metrics.gallery:_drawn"} < set(counts)
    assert_apart(found)


# ---------------------------------------------------------------- who is erased serves nobody else

def first_of(rng: torch.Generator) -> Tensor:
    """The latent ``(1, 2, DIM)`` that is drawn first."""
    return torch.randn(1, DIM, generator=rng)[:, None].repeat(1, 2, 1)


def among(latent: Tensor, latents: Tensor) -> bool:
    return bool((latents - latent).abs().flatten(1).amax(1).min() < 1e-3)


def evidence(erased: Tensor, *earlier: Tensor) -> Evidence:
    people = (Person("Ada", erased),)
    request = Request(people, earlier=tuple(Person("Bo", latent) for latent in earlier))
    return Evidence(Wide(), Wide(), request, ToyIdentity(), ToyPerceptual(), 3, 12)


def job(erased: Tensor, seed: int = 5) -> Job:
    made = make_job(Wide(), Wide(), {}, seed=seed)
    return attrs.evolve(made, erased=erased, targets=torch.zeros_like(erased), rng=stream(seed, "loop"), seed=seed)


def test_no_bystander_was_erased_by_an_earlier_edit(tmp_path: Path) -> None:
    settings = settings_of("guide", **{"method.steps": 1, "metrics.names": []})
    wished = prepare(settings).request.bystanders[0].latents
    save_latent(tmp_path / "random-0.safetensors", wished[0])
    person = PersonSettings(latent=tmp_path / "random-0.safetensors")
    request = attrs.evolve(settings.request, people=(person,))
    first = start_run(attrs.evolve(settings, request=request, metrics={}), tmp_path / "run", Console(quiet=True))
    experiment = prepare(settings, open_chain(first.path))
    assert torch.equal(experiment.request.earlier[0].latents, wished)
    latents = torch.cat([bystander.latents for bystander in experiment.request.bystanders])
    assert len(latents) == 8 and not among(wished, latents)


def test_no_bystander_is_erased(tmp_path: Path) -> None:
    settings = settings_of("guide")
    wished = prepare(settings).request.bystanders[0].latents
    save_latent(tmp_path / "random-0.safetensors", wished[0])
    person = PersonSettings(latent=tmp_path / "random-0.safetensors")
    request = attrs.evolve(settings.request, people=(person,))
    experiment = prepare(attrs.evolve(settings, request=request))
    assert torch.equal(experiment.request.erased, wished)
    latents = torch.cat([bystander.latents for bystander in experiment.request.bystanders])
    assert len(latents) == 8 and not among(wished, latents)


@pytest.mark.parametrize("earlier", [False, True])
@pytest.mark.parametrize(("purpose", "measure"), [
    ("sample", lambda given: Gallery.of(given).sample), ("fid", lambda given: ready_fid().measure(given)),
])
def test_no_sample_of_a_metric_is_erased(purpose: str, measure: Callable[[Evidence], Any], earlier: bool) -> None:
    other = first_of(stream(9, "somebody"))
    wished = first_of(evidence(other).stream(purpose))
    measure(evidence(other))
    assert among(wished, torch.cat(SHOWN)), "otherwise it is the first"
    SHOWN.clear()
    measure(evidence(other, wished) if earlier else evidence(wished))
    shown = torch.cat(SHOWN)
    assert len(shown) >= 2 * 6 and not among(wished, shown)


def ready_fid() -> Pooled:
    made = Pooled(samples=6)
    made.prepare(torch.device("cpu"))
    return made


def test_nobody_in_the_report_is_erased(monkeypatch: pytest.MonkeyPatch) -> None:
    entries: list[Picture] = []
    monkeypatch.setattr(show, "save_images", lambda run, pictures: entries.extend(pictures))
    monkeypatch.setattr(show, "save_turns", lambda run, given: None)
    wished = first_of(evidence(first_of(stream(9, "somebody"))).stream("sample"))
    given = evidence(wished)
    show.show_people(None, given, torch.zeros_like(wished))  # type: ignore[arg-type]
    random = torch.stack([entry.image for entry in entries if (entry.group, entry.role) == ("random", "before")])
    assert len(random) == show.RANDOM_PEOPLE and not among(given.frozen.render_front(wished), random)


def test_no_blend_of_an_attack_is_with_the_erased() -> None:
    wished = first_of(evidence(first_of(stream(9, "somebody"))).stream("attack/neighbours"))
    given = evidence(wished)
    around = Neighbours(latents=9).around(Case(given, given.request.people[0]))
    assert len(around) == 9 and torch.equal(around[:1], wished) and not among(wished, around[1:])


@pytest.mark.parametrize("place", [0, 3])
def test_no_row_of_a_step_is_erased(place: int) -> None:
    now = job(torch.zeros(1, 2, DIM))
    erased = Wide().sample_latents(5, stream(5, "loop"))[place : place + 1].repeat(2, 1, 1)
    step = Step(0, now.edited, erased, erased, None, now.rng)
    drawn = step.random_latents(5)
    kept = [i for i in range(5) if i != place]
    assert torch.equal(drawn[kept], Wide().sample_latents(5, stream(5, "loop"))[kept])
    assert torch.equal(drawn[place], now.edited.w_avg)


def test_no_direction_of_a_step_is_towards_the_erased_itself() -> None:
    erased = first_of(stream(5, "loop"))
    step = Step(0, Wide(), erased, erased, None, stream(5, "loop"))
    assert float(step.directions(erased).norm()) == pytest.approx(1)


def test_a_closed_form_keeps_nobody_who_is_erased() -> None:
    seen: dict[str, Tensor] = {}

    class Watched(ClosedForm):
        def _edit(self, layer: StyleLayer, sources: Tensor, targets: Tensor, kept: Tensor) -> tuple[float, float]:
            seen.update(sources=sources, kept=kept)
            return ClosedForm._edit(self, layer, sources, targets, kept)

    rows = Wide().sample_latents(8 + 8 + 6, stream(5, "loop"))
    erased = rows[[0, 16]]  # the first direction and, after those of both people, the first one kept
    Watched(samples=6, directions=8).unlearn(job(erased))
    assert seen["kept"].shape == (6, 2, DIM)
    assert not among(erased[:1], seen["kept"]) and not among(erased[1:], seen["kept"])
    away = seen["sources"].split([2, *[8] * 6])
    for person, around in zip(erased.repeat_interleave(3, 0), away[1:], strict=True):
        assert (around - person).flatten(1).norm(dim=1).min() > 4, "each lies a radius away"


def test_the_fisher_information_is_of_nobody_who_is_erased() -> None:
    wished = first_of(job(torch.zeros(1, 2, DIM)).stream("fisher"))
    Fisher(samples=1).begin(job(torch.ones(1, 2, DIM)))
    assert among(wished, torch.cat(SHOWN)), "otherwise it is the first"
    SHOWN.clear()
    Fisher(samples=1).begin(job(wished))
    assert len(torch.cat(SHOWN)) == 1 and not among(wished, torch.cat(SHOWN))


def test_the_elastic_weights_of_sugar_look_in_every_direction() -> None:
    wished = first_of(stream(7, "sugar"))
    latents = SugarEwc(samples=2)._latents(job(wished), stream(7, "sugar"))
    assert latents.flatten(1).norm(dim=1).tolist() == pytest.approx([40, 40])


def test_a_generator_of_one_face_does_not_draw_for_ever() -> None:
    class One(Wide):
        def map(self, z: Tensor) -> Tensor:
            return torch.ones(len(z), 2, DIM)

    assert len(draw_people(One(), 3, stream(0, "a"), torch.ones(1, 2, DIM))) == 3
