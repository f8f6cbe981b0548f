"""For every check a component that breaks just the promise that the check is about."""

from __future__ import annotations

import copy
import hashlib
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

import attrs
import numpy as np
import torch
from torch import nn

from unlearnkit.config import option
from unlearnkit.engine import PairLoop
from unlearnkit.errors import ConfigError
from unlearnkit.interfaces import (
    Attack,
    Attempt,
    Base,
    Holds,
    Inverter,
    Launcher,
    Loss,
    Method,
    Metric,
    Number,
    Pairs,
    Perceptual,
    Recovery,
    Rendering,
    StyleLayer,
    TargetSelector,
)
from unlearnkit.testing import ToyGenerator, ToyIdentity, ToyPerceptual, ToyViewGenerator, random_latents
from unlearnkit.testing.expect import snapshot
from unlearnkit.work import Ended

FOLDER = tempfile.TemporaryDirectory(prefix="unlearnkit-broken-")
CASES: list[tuple[str, type, str]] = []
"""Check (``kind/name`` or ``common/name``), component, words of the message."""


def broken(check: str, words: str) -> Callable[[type], type]:
    """Make an attrs component of the class, and note which check must catch it, in which words."""
    def note(cls: type) -> type:
        made = attrs.define(eq=False)(cls)
        CASES.append((check, made, words))
        return made

    return note


# ---------------------------------------------------------------- what is right: each passes every check

@attrs.define(eq=False)
class GoodLoss(Loss):
    """Source shall look like target, and parameters stay small."""

    weight: float = option(1.0, ge=0, help="weight of the pixels")

    def pairs(self, step):
        return step.pairs(step.erased, step.targets, constant=True)

    def terms(self, edited, frozen, measures):
        return {"pixels": (edited.image - frozen.image).square().mean((1, 2, 3))}

    def penalty(self, parameters):
        return {"size": torch.stack([value.square().mean() for value in parameters.values()]).sum()}

    def weights(self):
        return {"pixels": self.weight, "size": 0.01}


@attrs.define(eq=False)
class GoodTarget(TargetSelector):
    """A random latent for each person."""

    def select(self, erased, generator, rng):
        return generator.map(torch.randn(len(erased), generator.z_dim, generator=rng))


@attrs.define(eq=False)
class GoodMethod(Method):
    """One parameter after another moves towards zero."""

    factor: float = option(0.9, gt=0, lt=1, help="what parameters are multiplied with")
    steps: int = option(4, ge=1, help="how often")

    def unlearn(self, job):
        saved = job.progress.load()
        parameters = job.edited.editable_parameters()
        start = 0
        with torch.no_grad():
            if saved is not None:
                start = saved[1]["step"]
                for name, value in parameters.items():
                    value.copy_(saved[0][name])
            for index in range(start, self.steps):
                for value in parameters.values():
                    value.mul_(self.factor)
                job.progress.step(index, self.steps, {"factor": self.factor})
                if job.progress.due():
                    job.progress.save(snapshot(parameters), {"step": index + 1})


@attrs.define(eq=False)
class GoodInverter(Inverter):
    """The nearest of a few random latents, moved a little by the picture."""

    def invert(self, images, generator):
        return generator.w_avg + images.mean((1, 2, 3))[:, None, None].expand(-1, generator.num_ws, generator.w_dim)


@attrs.define(eq=False)
class GoodMetric(Metric):
    """How much random latents change."""

    def measure(self, evidence):
        latents = random_latents(evidence.frozen, 4)
        views = evidence.frozen.evaluation_views()
        views = None if views is None else views[:1].expand(4, -1)
        before, after = (g.render(latents, views).image for g in (evidence.frozen, evidence.edited))
        return {"change": float((before - after).abs().mean().detach()), "n_change": 4.0}

    def numbers(self, about):
        return (Number("change", "Change of random latents", count="n_change"),)


@attrs.define(eq=False)
class GoodAttack(Attack):
    """The erased latent, time and again."""

    unit = "glances"
    control = "ceiling"
    control_is = "the original generator"
    quick: ClassVar = {"glances": 1}
    glances: int = option(3, ge=1, help="how often")

    @property
    def budget(self):
        return self.glances

    def attack(self, case):
        return Recovery(*(self.look(case, g) for g in (case.evidence.edited, case.evidence.frozen)), "a picture")

    def look(self, case, generator):
        view = generator.front_view()
        with torch.no_grad():
            made, known = (g.render(case.person.latents[:1], view).image for g in (generator, case.evidence.frozen))
            likeness = float((case.evidence.judge.embed(made) * case.evidence.judge.embed(known)).sum())
        return Attempt(((self.glances, likeness),), made[0])


@attrs.define(eq=False)
class GoodJudge(ToyIdentity):
    """An encoder outside torch: it can judge, but has no gradient, and says so."""

    differentiable = False

    def embed(self, images):
        return ToyIdentity.embed(self, torch.from_numpy(images.numpy()))


GOOD = [GoodLoss, GoodTarget, GoodMethod, GoodInverter, GoodMetric, GoodAttack, ToyGenerator, ToyViewGenerator,
        ToyIdentity, ToyPerceptual]


# ---------------------------------------------------------------- common

@broken("common/check_it_is_an_attrs_component", "weights")
class AbstractLoss(Loss):
    def pairs(self, step): ...

    def terms(self, edited, frozen, measures): ...


class PlainLoss(GoodLoss):
    """No attrs.define."""


CASES.append(("common/check_it_is_an_attrs_component", PlainLoss, "attrs class"))


@broken("common/check_domain_is_named", "'Any Face'")
class LoudDomain(GoodLoss):
    domain: ClassVar[str] = "Any Face"


@broken("common/check_every_option_has_help", "'gamma'")
class NoHelp(GoodLoss):
    gamma: float = 1.0


@broken("common/check_defaults_build", "allowed")
class ForbiddenDefault(GoodLoss):
    gamma: float = option(-1.0, gt=0, help="a default that its own bound forbids")


@broken("common/check_wrong_values_are_refused", "'gamma'")
class Unvalidated(GoodLoss):
    gamma: float = attrs.field(default=1.0, metadata={"help": "bounds that nobody checks", "bounds": {"gt": 0}})


@broken("common/check_wrong_values_are_refused", "ValueError")
class ForeignError(GoodLoss):
    mode: str = attrs.field(default="a", validator=attrs.validators.in_("ab"),
                            metadata={"help": "attrs' own error", "choices": ("a", "b")})


@broken("common/check_settings_survive_a_file", "'gamma'")
class Drifting(GoodLoss):
    gamma: float = option(2.0, help="doubled by every reading")

    def __attrs_post_init__(self):
        self.gamma = 2 * self.gamma


@broken("common/check_components_share_nothing", "'kept'")
class Sharing(GoodLoss):
    kept: list = attrs.field(default=[], init=False)


@broken("common/check_prepare_works_or_says_what_is_missing", "RuntimeError")
class CrashingPrepare(GoodLoss):
    def prepare(self, device):
        raise RuntimeError("no such file")


@broken("common/check_what_is_missing_is_found_early", "from prepare(): it cannot be prepared: no such file")
class FindsItLate(GoodLoss):
    def prepare(self, device):
        raise ConfigError("no such file")


@broken("common/check_what_is_missing_is_found_early", "check() to accept")
class RefusesWhatWorks(GoodLoss):
    def check(self):
        raise ConfigError("no such file")


# ---------------------------------------------------------------- generator

@broken("generator/check_sizes_are_stated", "num_ws")
class FloatSize(ToyGenerator):
    num_ws = 2.0


@broken("generator/check_map_gives_latents", "(2, 2, 3)")
class FlatMap(ToyGenerator):
    def map(self, z):
        return ToyGenerator.map(self, z)[:, 0]


@broken("generator/check_map_is_repeatable", "global random")
class NoisyMap(ToyGenerator):
    def map(self, z):
        return ToyGenerator.map(self, z) + 0.1 * torch.randn(1)


@broken("generator/check_map_does_not_depend_on_the_batch", "difference")
class NormalisingMap(ToyGenerator):
    def map(self, z):
        latents = ToyGenerator.map(self, z)
        return latents - latents.mean(0)


@broken("generator/check_rendering_has_its_shapes", "[-1, 1]")
class ByteColours(ToyGenerator):
    def render(self, latents, views=None, rng=None):
        drawn = ToyGenerator.render(self, latents)
        return Rendering((drawn.image + 1) * 127.5, drawn.features)


@broken("generator/check_rendering_has_its_shapes", "features")
class FlatFeatures(ToyGenerator):
    def render(self, latents, views=None, rng=None):
        drawn = ToyGenerator.render(self, latents)
        return Rendering(drawn.image, drawn.features.flatten(1))


@broken("generator/check_rendering_follows_the_latent", "two featuress")
class ConstantFeatures(ToyGenerator):
    def render(self, latents, views=None, rng=None):
        drawn = ToyGenerator.render(self, latents)
        return Rendering(drawn.image, drawn.features * 0)


@broken("generator/check_rendering_is_repeatable", "global random")
class GlobalNoise(ToyGenerator):
    def render(self, latents, views=None, rng=None):
        drawn = ToyGenerator.render(self, latents)
        return Rendering(drawn.image + 0.01 * torch.randn(1), drawn.features)


@broken("generator/check_rendering_is_repeatable", "without an rng")
class OwnNoise(ToyGenerator):
    drawn: Any = attrs.field(init=False, factory=torch.Generator)

    def render(self, latents, views=None, rng=None):
        drawn = ToyGenerator.render(self, latents)
        return Rendering(drawn.image + 0.01 * torch.randn(1, generator=self.drawn), drawn.features)


@broken("generator/check_rendering_does_not_depend_on_the_batch", "difference")
class BatchStatistics(ToyGenerator):
    def render(self, latents, views=None, rng=None):
        return ToyGenerator.render(self, latents - latents.mean(0, keepdim=True))


@broken("generator/check_image_and_features_come_from_one_pass", "one forward pass")
class TwoPasses(ToyGenerator):
    def render(self, latents, views=None, rng=None):
        return Rendering(ToyGenerator.render(self, latents).image, ToyGenerator.render(self, latents).features)


@broken("generator/check_gradients_reach_the_latent", "no graph")
class DetachedLatents(ToyGenerator):
    def render(self, latents, views=None, rng=None):
        drawn = ToyGenerator.render(self, latents)
        return Rendering(drawn.image, drawn.features.detach())


@broken("generator/check_editable_parameters_belong_to_the_module", "state_dict")
class CopiedParameters(ToyGenerator):
    def editable_parameters(self):
        named = ToyGenerator.editable_parameters(self)
        return {name: nn.Parameter(value.detach().clone()) for name, value in named.items()}


@broken("generator/check_editable_parameters_belong_to_the_module", "state_dict")
class RenamedParameters(ToyGenerator):
    def editable_parameters(self):
        return {name.upper(): value for name, value in ToyGenerator.editable_parameters(self).items()}


@broken("generator/check_gradients_reach_editable_parameters_only", "map()")
class EditableMapping(ToyGenerator):
    def editable_parameters(self):
        return dict(self.network.named_parameters())


@broken("generator/check_a_copy_is_independent", "share tensors")
class SharedNetwork(ToyGenerator):
    def __deepcopy__(self, memo):
        twin = type(self)()
        twin.network = self.network
        return twin


@broken("generator/check_rendering_leaves_the_network_alone", "mapping.bias")
class RunningStatistics(ToyGenerator):
    def map(self, z):
        with torch.no_grad():
            self.network["mapping"].bias.mul_(0.99)
        return ToyGenerator.map(self, z)


@broken("generator/check_views_are_sampled", "global random")
class GlobalViews(ToyViewGenerator):
    def sample_views(self, count, rng):
        return torch.randn(count, 2)


@broken("generator/check_views_are_sampled", "has_views is False")
class UndeclaredViews(ToyGenerator):
    def sample_views(self, count, rng):
        return torch.randn(count, 2, generator=rng)


@broken("generator/check_views_are_sampled", "another image")
class IgnoredViews(ToyViewGenerator):
    def render(self, latents, views=None, rng=None):
        return ToyGenerator.render(self, latents)


@broken("generator/check_the_front_and_the_turn", "a closed path")
class OpenTurn(ToyViewGenerator):
    def turn_views(self, count):
        return torch.linspace(0, 1, count)[:, None].expand(-1, 2)


@broken("generator/check_the_front_and_the_turn", "has_views is False")
class UndeclaredTurn(ToyGenerator):
    def turn_views(self, count):
        return torch.zeros(count, 2)


@broken("generator/check_depth_has_its_shape", "(2, 1, h, w)")
class FlatDepth(ToyViewGenerator):
    def depth(self, latents, views):
        return ToyViewGenerator.depth(self, latents, views)[:, 0]


@broken("generator/check_adapters_have_their_place", "the same picture")
class SquashingAdapters(ToyGenerator):
    def render(self, latents, views=None, rng=None):
        drawn = ToyGenerator.render(self, latents, views, rng)
        return Rendering(drawn.image.tanh(), drawn.features) if "adapter" in self.network else drawn


@broken("generator/check_adapters_have_their_place", "state_dict")
class LooseAdapters(ToyGenerator):
    def adapt(self, make):
        return {"behind": make(3)}


@broken("generator/check_adapters_have_their_place", "the same modules")
class NewAdaptersEachTime(ToyGenerator):
    def adapt(self, make):
        self.network["adapter"] = make(3)
        return {"adapter": self.network["adapter"]}


@broken("generator/check_style_layers_read_latents", "'synthesis.weight'")
class CopiedStyles(ToyGenerator):
    def style_layers(self):
        layer = self.network["synthesis"]
        return [StyleLayer("synthesis", 0, torch.nn.Parameter(layer.weight.detach().clone()), layer.bias, 1.0)]


@broken("generator/check_views_of_a_wrong_shape_are_refused", "UnlearnkitError for no views")
class AnyView(ToyViewGenerator):
    def render(self, latents, views=None, rng=None):
        return ToyGenerator.render(self, latents)


@broken("generator/check_base_is_known", "64 hexadecimal")
class NoHash(ToyGenerator):
    @property
    def base(self):
        return Base(Path("toy"), "toy", "unknown")


@attrs.define(eq=False)
class FileGenerator(ToyGenerator):
    """The toy, read from a file of a format that no other program knows."""

    checkpoint: Path | None = option(None, help="file of weights; without one, the toy's")
    _base: Base = attrs.field(init=False, default=Base(Path("toy"), "toy", "0" * 64))

    def prepare(self, device):
        path = self.checkpoint or toy_file()
        names = self.network.state_dict().keys()
        arrays = np.load(path)
        self.network.load_state_dict({name: torch.from_numpy(arrays[f"toy/{name}"]) for name in names})
        self._base = Base(path, "npz", hashlib.sha256(path.read_bytes()).hexdigest())

    @property
    def base(self):
        return self._base

    @classmethod
    def write_edited(cls, base, tensors, out):
        np.savez(out, **{**np.load(base.path), **{f"toy/{name}": value.numpy() for name, value in tensors.items()}})


@cache
def toy_file():
    path = Path(FOLDER.name) / "toy.npz"
    np.savez(path, **{f"toy/{name}": value.numpy() for name, value in ToyGenerator.build().state_dict().items()})
    return path


GOOD.append(FileGenerator)


@broken("generator/check_base_is_known", "to be the SHA-256 of")
class HashOfTheName(FileGenerator):
    @property
    def base(self):
        return Base(toy_file(), "npz", hashlib.sha256(b"toy.npz").hexdigest())


@broken("generator/check_base_options_are_options", "checkpoint")
class OptionOfNobody(FileGenerator):
    base_options = ("label",)


@broken("generator/check_an_edit_comes_back_to_the_bit", "the edited generator again")
class CopiedModule(ToyGenerator):
    @property
    def module(self):
        return copy.deepcopy(self.network)


@broken("generator/check_an_edit_applies_to_its_file", "does not say how its files are written")
class NoWriter(FileGenerator):
    write_edited = ToyGenerator.write_edited


@broken("generator/check_an_edit_applies_to_its_file", "other numbers in synthesis")
class ForgetfulWriter(FileGenerator):
    @classmethod
    def write_edited(cls, base, tensors, out):
        super().write_edited(base, dict(list(tensors.items())[1:]), out)


@broken("generator/check_an_edit_applies_to_its_file", "wrote nothing")
class WriterBeside(FileGenerator):
    @classmethod
    def write_edited(cls, base, tensors, out):
        super().write_edited(base, tensors, out.with_suffix(""))
        out.with_suffix("").with_suffix(".npz").rename(out.with_suffix(".other"))


# ---------------------------------------------------------------- target

@broken("target/check_targets_have_the_shape_of_the_erased", "(3, 2, 3)")
class OneTarget(GoodTarget):
    def select(self, erased, generator, rng):
        return generator.w_avg[None].clone()


@broken("target/check_mean_face_has_a_target", "NaN")
class Dividing(GoodTarget):
    def select(self, erased, generator, rng):
        offset = erased - generator.w_avg
        return generator.w_avg - offset / offset.norm(dim=(1, 2), keepdim=True)


@broken("target/check_targets_are_repeatable", "global random")
class GlobalTarget(GoodTarget):
    def select(self, erased, generator, rng):
        return generator.map(torch.randn(len(erased), generator.z_dim))


@broken("target/check_selecting_changes_nothing", "changes in erased")
class InPlaceTarget(GoodTarget):
    def select(self, erased, generator, rng):
        return erased.add_(1)


@broken("target/check_selecting_changes_nothing", "changes in erased")
class AliasTarget(GoodTarget):
    def select(self, erased, generator, rng):
        return erased


# ---------------------------------------------------------------- loss

@broken("loss/check_beginning_leaves_the_run_alone", "job.rng")
class DrawsAtTheBeginning(GoodLoss):
    def begin(self, job):
        torch.randn(1, generator=job.rng)


@broken("loss/check_beginning_leaves_the_run_alone", "beginning again")
class Accumulates(GoodLoss):
    begun: int = attrs.field(init=False, default=0)

    def begin(self, job):
        self.begun += 1

    def pairs(self, step):
        return step.pairs(step.erased + self.begun, step.targets)


@broken("loss/check_pairs_have_their_shapes", "at least one pair")
class NoPairs(GoodLoss):
    def pairs(self, step):
        return step.pairs(step.erased[:0], step.targets[:0])


@broken("loss/check_pairs_have_their_shapes", "views")
class ViewsForgotten(GoodLoss):
    def pairs(self, step):
        return Pairs(step.erased, step.targets)


@broken("loss/check_constant_pairs_are_constant", "frozen latents")
class FalselyConstant(GoodLoss):
    def pairs(self, step):
        return step.pairs(step.erased, step.random_latents(len(step.erased)), constant=True)


@broken("loss/check_constant_pairs_are_constant", "views")
class FalselyConstantViews(GoodLoss):
    def pairs(self, step):
        return attrs.evolve(step.pairs(step.erased, step.targets), constant=True)


@broken("loss/check_pairs_are_repeatable", "global random")
class GlobalPairs(GoodLoss):
    def pairs(self, step):
        return step.pairs(step.erased, step.targets + torch.randn(1))


@broken("loss/check_naming_pairs_changes_nothing", "changes in erased")
class InPlacePairs(GoodLoss):
    def pairs(self, step):
        return step.pairs(step.erased.mul_(0.5), step.targets)


@broken("loss/check_it_never_renders", "to render nothing")
class RendersItself(GoodLoss):
    def pairs(self, step):
        step.edited.render(step.erased, step.view)
        return GoodLoss.pairs(self, step)


@broken("loss/check_terms_have_weights", "'pixel'")
class MisspeltWeight(GoodLoss):
    def weights(self):
        return {"pixel": self.weight}


@broken("loss/check_terms_are_one_number_per_pair", "(2)")
class SummedTerms(GoodLoss):
    def terms(self, edited, frozen, measures):
        return {"pixels": (edited.image - frozen.image).square().mean()}


@broken("loss/check_terms_are_one_number_per_pair", "NaN")
class NanTerms(GoodLoss):
    def terms(self, edited, frozen, measures):
        return {"pixels": (edited.image - frozen.image).mean((1, 2, 3)).sub(99).log()}


@broken("loss/check_terms_do_not_depend_on_the_batch", "alone")
class BatchTerms(GoodLoss):
    def terms(self, edited, frozen, measures):
        made = edited.image - edited.image.mean(0)
        return {"pixels": (made - frozen.image).square().mean((1, 2, 3))}


@broken("loss/check_gradient_reaches_the_edited_rendering", "constant")
class DetachedTerms(GoodLoss):
    def terms(self, edited, frozen, measures):
        return {"pixels": GoodLoss.terms(self, edited, frozen, measures)["pixels"].detach()}


@broken("loss/check_gradient_reaches_the_edited_rendering", "zeros only")
class WeightlessTerms(GoodLoss):
    def weights(self):
        return {"pixels": 0.0, "size": 0.0}


@broken("loss/check_measuring_changes_nothing", "frozen image")
class InPlaceTerms(GoodLoss):
    def terms(self, edited, frozen, measures):
        return {"pixels": (edited.image - frozen.image.mul_(0.5)).square().mean((1, 2, 3))}


@broken("loss/check_it_can_be_minimised", "became nan")
class ExplodingSlope(GoodLoss):
    def terms(self, edited, frozen, measures):
        gap = edited.image - edited.image.detach()
        return {"pixels": gap.square().sum((1, 2, 3)).sqrt()}  # 0 at 0, where its gradient is NaN


@broken("loss/check_it_goes_on_from_its_memory", "Loss.memory")
class Forgets(GoodLoss):
    _steps: int = attrs.field(init=False, default=0)

    def begin(self, job):
        self._steps = 0

    def terms(self, edited, frozen, measures):
        self._steps += 1
        return GoodLoss.terms(self, edited, frozen, measures)

    def pairs(self, step):
        return step.pairs(step.erased + 0.01 * self._steps, step.targets)


@broken("loss/check_a_penalty_has_a_gradient", "penalty 'size'")
class PenaltyByParameter(GoodLoss):
    def penalty(self, parameters):
        return {"size": torch.stack([value.square().mean() for value in parameters.values()])}


@broken("loss/check_a_penalty_has_a_gradient", "zeros only")
class FlatPenalty(GoodLoss):
    def penalty(self, parameters):
        return {"size": torch.stack([(value - value.detach()).square().sum() for value in parameters.values()]).sum()}


# ---------------------------------------------------------------- method

@broken("method/check_something_is_edited", "same bits as before")
class Idle(GoodMethod):
    def unlearn(self, job):
        job.progress.step(0, 1, {})


@broken("method/check_only_editable_parameters_change", "mapping.weight")
class MovesMapping(GoodMethod):
    def unlearn(self, job):
        with torch.no_grad():
            for value in job.edited.module.parameters():
                value.mul_(0.9)


@broken("method/check_only_editable_parameters_change", "frozen.")
class MovesFrozen(GoodMethod):
    def unlearn(self, job):
        GoodMethod.unlearn(self, job)
        with torch.no_grad():
            for value in job.frozen.editable_parameters().values():
                value.mul_(0.9)


@broken("method/check_several_people_at_once", "NaN")
class OnePersonOnly(GoodMethod):
    def unlearn(self, job):
        # The unbiased deviation over people minus itself: NaN for some counts is what such code ends in.
        with torch.no_grad():
            for value in job.edited.editable_parameters().values():
                value.mul_(float("nan") if len(job.erased) > 1 else 0.9)


@broken("method/check_the_seed_decides_everything", "global random")
class GlobalMethod(GoodMethod):
    def unlearn(self, job):
        with torch.no_grad():
            for value in job.edited.editable_parameters().values():
                value.add_(0.01 * torch.randn_like(value))


@broken("method/check_the_seed_decides_everything", "same bits")
class ClockMethod(GoodMethod):
    def unlearn(self, job):
        with torch.no_grad():
            for value in job.edited.editable_parameters().values():
                value.mul_(time.perf_counter() % 1)


@broken("method/check_steps_are_reported", "steps 0, 1, 2")
class CountsFromOne(GoodMethod):
    def unlearn(self, job):
        with torch.no_grad():
            for index in range(1, 4):
                job.progress.step(index, 3, {"loss": 0.0})


@broken("method/check_steps_are_reported", "Tensor")
class TensorTerms(GoodMethod):
    def unlearn(self, job):
        job.progress.step(0, 1, {"loss": torch.zeros(())})


@broken("method/check_resume_is_exact", "same bits")
class ForgetsAdam(PairLoop):
    """Restores the parameters only: the next step is another one, since Adam has lost its memory."""

    losses: tuple[str, ...] = option(("guide-local",), help="losses")
    target: str = option("average", help="target")
    learning_rate: float = option(0.01, help="step size")

    def unlearn(self, job):
        load = job.progress.load
        job.progress.load = lambda: _without_adam(load())
        PairLoop.unlearn(self, job)


def _without_adam(saved):
    return saved and ({name: value for name, value in saved[0].items() if not name.startswith("adam/")}, saved[1])


@broken("method/check_resume_is_exact", "remaining steps")
class StartsAnew(GoodMethod):
    def unlearn(self, job):
        job.progress.load = lambda: None
        GoodMethod.unlearn(self, job)


# ---------------------------------------------------------------- identity

@broken("identity/check_embeddings_have_unit_length", "length 1")
class LongEmbedding(ToyIdentity):
    def embed(self, images):
        return 2 * ToyIdentity.embed(self, images)


@broken("identity/check_any_resolution_is_taken", "one D")
class SizedEmbedding(ToyIdentity):
    def embed(self, images):
        return nn.functional.normalize(images.flatten(1), dim=1)


@broken("identity/check_embedding_is_repeatable", "global random")
class DropoutEmbedding(ToyIdentity):
    def embed(self, images):
        return ToyIdentity.embed(self, nn.functional.dropout(images, 0.1))


@broken("identity/check_embedding_does_not_depend_on_the_batch", "difference")
class BatchEmbedding(ToyIdentity):
    def embed(self, images):
        return ToyIdentity.embed(self, images - images.mean(0) * 0.5)


@broken("identity/check_different_pictures_differ", "two embeddings")
class Blind(ToyIdentity):
    def embed(self, images):
        return ToyIdentity.embed(self, images * 0 + 1)


@broken("identity/check_embedding_is_differentiable", "no graph")
class NoGradEmbedding(ToyIdentity):
    def embed(self, images):
        with torch.no_grad():
            return ToyIdentity.embed(self, images)


@broken("identity/check_embedding_is_differentiable", "differentiable = False in the class")
class NumpyEmbedding(ToyIdentity):
    def embed(self, images):
        return ToyIdentity.embed(self, torch.from_numpy(images.numpy()))


@broken("identity/check_embedding_is_differentiable", "differentiable = True in the class")
class SaysItOnlyJudges(ToyIdentity):
    differentiable = False


@broken("identity/check_encoder_is_frozen", "frozen")
class TrainableEncoder(ToyIdentity):
    network: Any = attrs.field(init=False, factory=lambda: nn.Linear(2, 2).eval())


@broken("identity/check_encoder_is_frozen", "evaluation mode")
class TrainingEncoder(ToyIdentity):
    network: Any = attrs.field(init=False, factory=lambda: nn.Sequential(nn.Dropout()).requires_grad_(False))


@broken("identity/check_embedding_changes_nothing", "pictures")
class InPlaceEmbedding(ToyIdentity):
    def embed(self, images):
        return ToyIdentity.embed(self, images.mul_(0.5))


@broken("identity/check_faces_are_counted", "one whole number")
class CountsOnce(ToyIdentity):
    def embed_and_count(self, images):
        return self.embed(images), torch.tensor([3])


@broken("identity/check_levels_are_plausible", "strangers")
class OddLevels(ToyIdentity):
    def levels(self):
        return {"same_person": 0.1, "strangers": 0.6}


# ---------------------------------------------------------------- perceptual

@broken("perceptual/check_features_are_maps", "a list of feature maps")
class BareFeatures(ToyPerceptual):
    def features(self, images):
        return images


@broken("perceptual/check_equal_pictures_have_distance_zero", "distance 0")
class Offset(ToyPerceptual):
    def distance(self, a, b):
        return ToyPerceptual.distance(self, a, b) + 0.01


@broken("perceptual/check_distance_is_not_negative", "above zero")
class SignedDistance(ToyPerceptual):
    def distance(self, a, b):
        return -ToyPerceptual.distance(self, a, b)


@broken("perceptual/check_distance_is_symmetric", "symmetric = False")
class Lopsided(ToyPerceptual):
    def distance(self, a, b):
        return ToyPerceptual.distance(self, a, b) * (1 + a[0].abs().mean((1, 2, 3)))


@broken("perceptual/check_distance_does_not_depend_on_the_batch", "alone")
class BatchDistance(ToyPerceptual):
    def distance(self, a, b):
        return ToyPerceptual.distance(self, a, b).mean().expand(len(a[0]))


@broken("perceptual/check_distance_is_repeatable", "global random")
class DropoutDistance(ToyPerceptual):
    def features(self, images):
        return [nn.functional.dropout(images, 0.1)]


@broken("perceptual/check_distance_is_differentiable", "no graph")
class DetachedDistance(ToyPerceptual):
    def features(self, images):
        return [images.detach()]


@broken("perceptual/check_pooled_is_one_vector_a_picture", "pooled")
class FlatPooled(ToyPerceptual):
    def pooled(self, images):
        return images.mean((0, 2, 3))


@broken("perceptual/check_label_names_the_feature_space", "label")
class Nameless(ToyPerceptual):
    label = Perceptual.label


@broken("perceptual/check_network_is_frozen", "frozen")
class TrainablePerceptual(ToyPerceptual):
    network: Any = attrs.field(init=False, factory=lambda: nn.Linear(2, 2).eval())


@broken("perceptual/check_measuring_changes_nothing", "pictures")
class InPlacePerceptual(ToyPerceptual):
    def features(self, images):
        return [images.clamp_(-0.5, 0.5)]


# ---------------------------------------------------------------- inverter

@broken("inverter/check_inversion_gives_latents", "(2, 2, 3)")
class PlainW(GoodInverter):
    def invert(self, images, generator):
        return GoodInverter.invert(self, images, generator)[:, :1]


@broken("inverter/check_inversion_is_repeatable", "global random")
class GlobalStart(GoodInverter):
    def invert(self, images, generator):
        return GoodInverter.invert(self, images, generator) + torch.rand(1)


@broken("inverter/check_inversion_looks_at_the_picture", "two latents")
class AlwaysMean(GoodInverter):
    def invert(self, images, generator):
        return generator.w_avg.expand(len(images), -1, -1)


@broken("inverter/check_inversion_does_not_depend_on_the_batch", "difference")
class BatchInverter(GoodInverter):
    def invert(self, images, generator):
        return len(images) * GoodInverter.invert(self, images, generator)


@broken("inverter/check_inverting_changes_nothing", "gradient left")
class LeavesGradients(GoodInverter):
    def invert(self, images, generator):
        views = None if not generator.has_views else generator.evaluation_views()[:1]
        generator.render(generator.w_avg[None], views).image.sum().backward()
        return GoodInverter.invert(self, images, generator)


# ---------------------------------------------------------------- metric

@broken("metric/check_numbers_have_names", "Tensor")
class TensorNumber(GoodMetric):
    def measure(self, evidence):
        return {"change": torch.zeros(())}


@broken("metric/check_numbers_have_names", "snake_case")
class SpacedName(GoodMetric):
    def measure(self, evidence):
        return {"The change": 1.0}


@broken("metric/check_numbers_are_declared", "['extra']")
class Undeclared(GoodMetric):
    def measure(self, evidence):
        return {**GoodMetric.measure(self, evidence), "extra": 1.0}


@broken("metric/check_numbers_are_declared", "'n_change', the count of 'change'")
class MissingCount(GoodMetric):
    def measure(self, evidence):
        return {"change": 1.0}


@broken("metric/check_numbers_are_declared", "twice: change")
class DeclaredTwice(GoodMetric):
    def numbers(self, about):
        return 2 * GoodMetric.numbers(self, about)


@broken("metric/check_declarations_hold_together", "a declared number as the reference of 'change'")
class MissingReference(GoodMetric):
    def numbers(self, about):
        return (Number("change", "Change", count="n_change", reference="change_floor"),)


@broken("metric/check_declarations_hold_together", "a tuple of unlearnkit.interfaces.Number")
class DeclaresNames(GoodMetric):
    def numbers(self, about):
        return ("change",)


@broken("metric/check_measuring_is_repeatable", "global random")
class GlobalMetric(GoodMetric):
    def measure(self, evidence):
        return {"change": float(torch.rand(()))}


@broken("metric/check_measuring_changes_nothing", "edited.")
class EditsEvidence(GoodMetric):
    def measure(self, evidence):
        with torch.no_grad():
            for value in evidence.edited.editable_parameters().values():
                value.zero_()
        return {"change": 1.0}


@broken("metric/check_no_change_can_be_measured", "nothing has changed")
class DividesByChange(GoodMetric):
    def measure(self, evidence):
        change = torch.tensor(GoodMetric.measure(self, evidence)["change"])
        return {"relative": float(change / change)}


# ---------------------------------------------------------------- attack

@broken("attack/check_it_says_what_it_counts", "'floor' or a 'ceiling'")
class OddControl(GoodAttack):
    control = "wall"


@broken("attack/check_it_says_what_it_counts", "a quick budget of at most 3")
class SlowQuick(GoodAttack):
    quick: ClassVar = {"glances": 9}


@broken("attack/check_it_says_what_the_attacker_holds", "a Holds in 'holds'")
class NoHolds(GoodAttack):
    holds = ("base", "photo")


@broken("attack/check_it_says_what_the_attacker_holds", "guesses (G, 3")
class NoGuesses(GoodAttack):
    holds = Holds(base=True)


@broken("attack/check_it_says_what_the_attacker_holds", "whoever was erased")
class KnowsThePerson(GoodAttack):
    holds = Holds(base=True)

    def look(self, case, generator):
        found = GoodAttack.look(self, case, generator)
        return Attempt(found.points, found.image, guesses=found.image[None])


@broken("attack/check_curves_rise_within_the_budget", "never falls")
class FallingCurve(GoodAttack):
    def look(self, case, generator):
        found = GoodAttack.look(self, case, generator)
        return Attempt(((1, 0.5), (self.glances, 0.4)), found.image)


@broken("attack/check_curves_rise_within_the_budget", "up to the budget")
class BeyondBudget(GoodAttack):
    def look(self, case, generator):
        found = GoodAttack.look(self, case, generator)
        return Attempt(((self.glances + 1, 0.5),), found.image)


@broken("attack/check_curves_rise_within_the_budget", "finite similarity")
class NotFiniteCurve(GoodAttack):
    def look(self, case, generator):
        return Attempt(((self.glances, float("nan")),), GoodAttack.look(self, case, generator).image)


@broken("attack/check_attacking_is_repeatable", "global random")
class GlobalAttack(GoodAttack):
    def look(self, case, generator):
        return Attempt(((self.glances, float(torch.rand(()))),), GoodAttack.look(self, case, generator).image)


@broken("attack/check_attacking_changes_nothing", "edited.")
class AttackEditsEvidence(GoodAttack):
    def attack(self, case):
        with torch.no_grad():
            for value in case.evidence.edited.editable_parameters().values():
                value.zero_()
        return GoodAttack.attack(self, case)


@broken("attack/check_attacking_changes_nothing", "no gradient left")
class AttackLeavesGradients(GoodAttack):
    def attack(self, case):
        after = case.evidence.edited
        after.render(case.person.latents[:1], after.front_view()).image.sum().backward()
        return GoodAttack.attack(self, case)


@broken("attack/check_judge_is_not_optimised", "without a graph")
class OptimisesJudge(GoodAttack):
    def look(self, case, generator):
        latents = case.person.latents[:1].clone().requires_grad_(True)
        made = generator.render(latents, generator.front_view()).image
        torch.autograd.grad(case.evidence.judge.embed(made).sum(), [latents])
        return GoodAttack.look(self, case, generator)


@broken("attack/check_a_ceiling_is_the_same_procedure", "the control's curve")
class OtherCeiling(GoodAttack):
    def attack(self, case):
        found = GoodAttack.attack(self, case)
        better = Attempt(((found.control.points[0][0], 1.5),), found.control.image)
        return Recovery(found.edited, better, found.judged_on)


# ---------------------------------------------------------------- launchers

@attrs.define(eq=False)
class GoodLauncher(Launcher):
    """Every job at once, a thread each; closing asks them to end."""

    def launch(self, works, folder):
        stop = threading.Event()
        with ThreadPoolExecutor(max(1, len(works))) as pool:
            try:
                for future in as_completed([pool.submit(work.run, stop) for work in works]):
                    yield future.result()
            finally:
                stop.set()


GOOD.append(GoodLauncher)


@broken("launcher/check_every_work_ends_once", "each piece of work to end once")
class EndsTwice(GoodLauncher):
    def launch(self, works, folder):
        for end in GoodLauncher.launch(self, works, folder):
            yield end
            yield end


@broken("launcher/check_every_work_ends_once", "'fine' to be done, once")
class StartsTwice(GoodLauncher):
    def launch(self, works, folder):
        for work in works:
            work.run()
            yield work.run()


@broken("launcher/check_every_work_ends_once", "the exit code 1 and the last line")
class ForgetsWhy(GoodLauncher):
    def launch(self, works, folder):
        for end in GoodLauncher.launch(self, works, folder):
            yield attrs.evolve(end, reason="")


@broken("launcher/check_no_work_is_no_mistake", "nothing from nothing")
class EndsNothing(GoodLauncher):
    def launch(self, works, folder):
        yield from GoodLauncher.launch(self, works, folder)
        if not works:
            yield Ended("nothing", 0)


@broken("launcher/check_closing_stops_what_runs", "the work to stop when the iterator is closed")
class LeavesProcesses(GoodLauncher):
    def launch(self, works, folder):
        processes = {work.name: subprocess.Popen([sys.executable, *work.arguments]) for work in works}
        for name, process in processes.items():
            yield Ended(name, process.wait())
