"""What a generator promises: z -> latent -> image and features, of which only the editable parameters move."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from unlearnkit.engine import freeze
from unlearnkit.errors import ConfigError, UnlearnkitError
from unlearnkit.interfaces import Generator, Rendering
from unlearnkit.testing.expect import (
    NotApplicable,
    expect,
    expect_close,
    expect_tensor,
    same_bits,
    twice,
    unchanged,
)
from unlearnkit.testing.subject import Subject
from unlearnkit.testing.world import random_latents

BATCH = 2


def check_sizes_are_stated(subject: Subject) -> None:
    """``resolution``, ``z_dim``, ``w_dim`` and ``num_ws`` are positive whole numbers; ``w_avg`` fits them."""
    made: Generator = subject.component
    expect(0 < made.latent_slope <= 1, "latent_slope above 0 and at most 1", made.latent_slope)
    for name in ("resolution", "z_dim", "w_dim", "num_ws"):
        value = getattr(made, name, None)
        expect(type(value) is int and value > 0, f"{name} to be a positive whole number", repr(value))
    expect_tensor("w_avg", made.w_avg, (made.num_ws, made.w_dim))


def check_map_gives_latents(subject: Subject) -> None:
    """``map`` turns z ``(N, z_dim)`` into finite latents ``(N, num_ws, w_dim)`` that differ as z does."""
    made: Generator = subject.component
    latents = random_latents(made, BATCH)
    expect_tensor("map(z)", latents, (BATCH, made.num_ws, made.w_dim))
    expect(not same_bits(latents[0], latents[1]), "two z to give two latents", "the same one")


def check_map_is_repeatable(subject: Subject) -> None:
    """``map`` gives the same latents for the same z, without global random numbers."""
    one, other = twice(lambda: random_latents(subject.component, BATCH))
    expect(same_bits(one, other), "the same latents for the same z", f"a difference of {_gap(one, other):.3g}")


def check_map_does_not_depend_on_the_batch(subject: Subject) -> None:
    """A latent is the same whatever other z are mapped with it."""
    made: Generator = subject.component
    z = torch.randn(3, made.z_dim, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        expect_close("map(z)[i] to equal map(z[i])", made.map(z), torch.cat([made.map(row[None]) for row in z]), 1e-4)


def check_rendering_has_its_shapes(subject: Subject) -> None:
    """``render`` gives an image ``(N, 3, R, R)`` about [-1, 1] and features ``(N, C, h, w)``, finite float32."""
    made: Generator = subject.component
    drawn = draw(made, random_latents(made, BATCH))
    expect(isinstance(drawn, Rendering), "a Rendering", f"a {type(drawn).__name__}")
    expect_tensor("image", drawn.image, (BATCH, 3, made.resolution, made.resolution))
    expect_tensor("features", drawn.features, (BATCH, "C", "h", "w"))
    low, high = float(drawn.image.min()), float(drawn.image.max())
    inside = float((drawn.image.abs() <= 1.5).float().mean())
    expect(low < 0 and inside > 0.9, "an image whose colours are about [-1, 1]", f"[{low:.3g}, {high:.3g}]")


def check_rendering_follows_the_latent(subject: Subject) -> None:
    """Another latent gives another image and other features, and the latents that are given stay as they are."""
    made: Generator = subject.component
    latents = random_latents(made, BATCH)
    with unchanged(lambda: {"latents": latents}, "what render() is given"):
        drawn = draw(made, latents)
    for name in ("image", "features"):
        first, second = getattr(drawn, name)
        expect(not same_bits(first, second), f"two latents to give two {name}s", "the same one twice")


def check_rendering_is_repeatable(subject: Subject) -> None:
    """Without an rng a rendering is the same each time; with one it depends on that rng's seed only."""
    made: Generator = subject.component
    latents = random_latents(made, 1)
    for rng, words in ((None, "without an rng (noise is constant then)"), (5, "with an rng of the same seed")):
        one, other = twice(lambda: draw(made, latents, rng))  # noqa: B023
        gap = max(_gap(one.image, other.image), _gap(one.features, other.features))
        expect(gap == 0, f"the same rendering {words}", f"a difference of {gap:.3g}")


def check_rendering_does_not_depend_on_the_batch(subject: Subject) -> None:
    """A latent looks the same whatever other latents are rendered with it (no batch statistics)."""
    made: Generator = subject.component
    latents = random_latents(made, BATCH)
    whole, parts = draw(made, latents), [draw(made, row[None]) for row in latents]
    for name in ("image", "features"):
        alone = torch.cat([getattr(part, name) for part in parts])
        expect_close(f"render(w).{name}[i] to equal render(w[i]).{name}", getattr(whole, name), alone, 1e-3)


def check_image_and_features_come_from_one_pass(subject: Subject) -> None:
    """Image and features share a part of their computation: no second forward pass is made for the features."""
    made: Generator = subject.component
    latents = random_latents(made, 1).requires_grad_(True)
    drawn = _render(made, latents)
    shared = _steps(drawn.image) & _steps(drawn.features)
    expect(bool(shared), "image and features from one forward pass", "two computations that share no step")


def check_gradients_reach_the_latent(subject: Subject) -> None:
    """Image and features can be differentiated by the latent, as inverters need."""
    made: Generator = subject.component
    for name in ("image", "features"):
        latents = random_latents(made, 1).requires_grad_(True)
        drawn = getattr(_render(made, latents), name)
        expect(drawn.requires_grad, f"{name} to be differentiable by the latent", "no graph (no_grad or detach?)")
        (slope,) = torch.autograd.grad(drawn.square().sum(), [latents], allow_unused=True)
        good = slope is not None and bool(slope.isfinite().all()) and bool(slope.any())
        expect(good, f"a finite gradient of {name} by the latent that is not zero", "none" if slope is None else slope)


def check_editable_parameters_belong_to_the_module(subject: Subject) -> None:
    """Each editable parameter is one of ``module``, under its name in ``module.state_dict()``."""
    made: Generator = subject.component
    editable, state = made.editable_parameters(), made.module.state_dict()
    expect(bool(editable), "editable parameters", "none")
    for name, value in editable.items():
        expect(isinstance(value, nn.Parameter), f"'{name}' to be an nn.Parameter", f"a {type(value).__name__}")
        same = name in state and state[name].data_ptr() == value.data_ptr() and state[name].shape == value.shape
        expect(same, f"'{name}' to be that tensor of module.state_dict()", f"other names: {', '.join(list(state)[:3])}")


def check_gradients_reach_editable_parameters_only(subject: Subject) -> None:
    """The picture moves the editable parameters and nothing else; the latent space does not depend on them."""
    made: Generator = subject.fresh()
    freeze(made.module)
    editable = made.editable_parameters()
    for value in editable.values():
        value.requires_grad_(True)
    drawn = _render(made, random_latents(made, 1))
    expect(drawn.image.requires_grad, "an image that depends on the editable parameters", "one without a graph")
    (drawn.image.square().mean() + drawn.features.square().mean()).backward()
    slopes = {name: value.grad for name, value in editable.items() if value.grad is not None}
    expect(any(bool(slope.any()) for slope in slopes.values()), "gradients that are not zero", "zeros only")
    bad = [name for name, slope in slopes.items() if not slope.isfinite().all()]
    expect(not bad, "finite gradients", f"NaN or infinity in {', '.join(bad[:4])}")
    others = set(dict(made.module.named_parameters())) - set(editable)
    moved = [name for name, value in made.module.named_parameters() if name in others and value.grad is not None]
    expect(not moved, "no gradient outside editable_parameters()", f"some in {', '.join(moved[:4])}")
    mapped = made.map(torch.zeros(1, made.z_dim) + 0.5)
    expect(not mapped.requires_grad, "map() not to use editable parameters: latents must keep their meaning",
           "latents that depend on them")


def check_adapters_have_their_place(subject: Subject) -> None:
    """``adapt`` inserts modules under the names it returns; ones that do nothing leave the picture as it is."""
    made: Generator = subject.fresh()
    latents = random_latents(made, 1)
    with torch.no_grad():
        before = _render(made, latents).image
    try:
        added = made.adapt(lambda channels: nn.Conv2d(channels, channels, 1))
    except ConfigError:
        return  # it has no place for adapters, and says so
    expect(bool(added), "adapters, or a ConfigError where there is no place for them", "none")
    for name, module in added.items():
        found = dict(made.module.named_modules()).get(name)
        expect(found is module, f"the module '{name}' in module.state_dict()", "another one, or none")
    again = made.adapt(lambda channels: nn.Conv2d(channels, channels, 1))
    expect(all(again.get(name) is module for name, module in added.items()), "the same modules when asked again", "new")
    with torch.no_grad():
        for module in added.values():
            nn.init.dirac_(module.weight)  # type: ignore[arg-type]
            nn.init.zeros_(module.bias)  # type: ignore[arg-type]
        after = _render(made, latents).image
    expect(bool(torch.allclose(before, after, atol=1e-5)), "the same picture with adapters that do nothing", "another")


def check_style_layers_read_latents(subject: Subject) -> None:
    """Each style layer is a pair of parameters of ``module`` and reads a row that latents have."""
    made: Generator = subject.component
    state = made.module.state_dict()
    for layer in made.style_layers():
        for part, value in (("weight", layer.weight), ("bias", layer.bias)):
            name = f"{layer.name}.{part}"
            same = name in state and state[name].data_ptr() == value.data_ptr()
            expect(same, f"'{name}' to be that tensor of module.state_dict()", "another tensor, or none")
        expect(0 <= layer.row < made.num_ws, f"a row from 0 to {made.num_ws - 1}", layer.row)
        expect_tensor(f"weight of {layer.name}", layer.weight.detach(), (len(layer.bias), made.w_dim))


def check_a_copy_is_independent(subject: Subject) -> None:
    """``copy.deepcopy`` gives a generator of its own: editing one does not touch the other."""
    made: Generator = subject.fresh()
    twin, latents = copy.deepcopy(made), random_latents(made, 1)
    before = draw(made, latents)
    expect(same_bits(draw(twin, latents).image, before.image), "a copy that renders the same", "another image")
    with torch.no_grad():
        for value in twin.editable_parameters().values():
            value.add_(0.05)
    expect(same_bits(draw(made, latents).image, before.image), "the original to stay when its copy is edited",
           "another image (do they share tensors?)")
    expect(not same_bits(draw(twin, latents).image, before.image), "an edited copy to render something else",
           "the same image (does it render with the original's weights?)")


def check_rendering_leaves_the_network_alone(subject: Subject) -> None:
    """Neither ``map`` nor ``render`` changes a tensor of the network (no running statistics)."""
    made: Generator = subject.component
    with unchanged(made.module.state_dict, "the network"):
        draw(made, random_latents(made, BATCH), 5)


def check_views_are_sampled(subject: Subject) -> None:
    """With ``has_views`` there are views of both sorts, drawn from the rng only; without, both are None."""
    made: Generator = subject.component
    one, other = twice(lambda: made.sample_views(3, torch.Generator().manual_seed(4)))
    fixed = made.evaluation_views()
    if not made.has_views:
        expect(one is None and fixed is None, "no views, since has_views is False", f"{one}, {fixed}")
        return
    expect(isinstance(one, Tensor) and len(one) == 3, "sample_views(3, rng) to give three views", one)
    expect(isinstance(fixed, Tensor) and len(fixed) > 0, "evaluation_views() to give some views", fixed)
    assert one is not None and fixed is not None
    expect(same_bits(one, other), "the same views from the same seed", "others")
    expect(not same_bits(one[0], one[1]), "different views", "the same one twice")
    expect(fixed.shape[1:] == one.shape[1:], "both sorts of views in one shape", f"{one.shape} and {fixed.shape}")
    latents = random_latents(made, 1)
    with torch.no_grad():
        left, right = (made.render(latents, one[i : i + 1]).image for i in range(2))
    expect(not same_bits(left, right), "another view to give another image", "the same one")


def check_the_front_and_the_turn(subject: Subject) -> None:
    """The front is one view of the shape of all others; a turn, where there is one, ends beside where it began."""
    made: Generator = subject.component
    front, turn = made.front_view(), made.turn_views(8)
    if not made.has_views:
        expect(front is None and turn is None, "no views, since has_views is False", f"{front}, {turn}")
        return
    views = made.sample_views(1, torch.Generator().manual_seed(4))
    assert views is not None
    expect(isinstance(front, Tensor) and front.shape == views.shape, f"a front view {tuple(views.shape)}", front)
    if turn is None:
        return
    expect(turn.shape == (8, *views.shape[1:]), f"turn_views(8) to be {(8, *views.shape[1:])}", tuple(turn.shape))
    steps = (turn - turn.roll(1, 0)).flatten(1).norm(dim=1)
    expect(bool(turn.isfinite().all()) and float(steps[0]) <= 3 * float(steps[1:].max()),
           "a closed path: the last view of turn_views() beside its first", f"a jump of {float(steps[0]):.3g}")


def check_depth_has_its_shape(subject: Subject) -> None:
    """``depth`` is finite ``(N, 1, h, w)``, or None; another latent has another one."""
    made: Generator = subject.component
    front = made.front_view()
    if front is None:
        return
    latents = random_latents(made, BATCH)
    with torch.no_grad():
        depth = made.depth(latents, front.expand(BATCH, *front.shape[1:]))
    if depth is None:
        return
    expect_tensor("depth", depth, (BATCH, 1, "h", "w"))
    expect(not same_bits(depth[0], depth[1]), "two latents to give two depths", "the same one twice")


def check_views_of_a_wrong_shape_are_refused(subject: Subject) -> None:
    """A generator with views answers views that are missing or too many with one line, an UnlearnkitError."""
    made: Generator = subject.component
    front = made.front_view()
    if front is None:
        return
    latents = random_latents(made, BATCH)
    for views, words in ((None, "no views"), (front.expand(BATCH + 1, *front.shape[1:]), "a view too many")):
        try:
            with torch.no_grad():
                made.render(latents, views)
        except UnlearnkitError as error:
            expect("\n" not in str(error), "one line", str(error))
        else:
            expect(False, f"an UnlearnkitError for {words}", "none")


# ---------------------------------------------------------------- how to draw

def _render(made: Generator, latents: Tensor, seed: int | None = None) -> Rendering:
    """Render from the first fixed view, where there are views."""
    views = made.evaluation_views() if made.has_views else None
    if made.has_views and views is None:
        raise NotApplicable("it has no evaluation_views() (see check_views_are_sampled)")
    view = None if views is None else views[:1].expand(len(latents), *views.shape[1:])
    return made.render(latents, view, None if seed is None else torch.Generator().manual_seed(seed))


def draw(made: Generator, latents: Tensor, seed: int | None = None) -> Rendering:
    """Render without a graph, from the first fixed view, where there are views."""
    with torch.no_grad():
        return _render(made, latents, seed)


def _gap(a: Tensor, b: Tensor) -> float:
    return float((a - b).abs().max()) if a.shape == b.shape else float("inf")


def _steps(tensor: Tensor) -> set[object]:
    """All steps of computation behind a tensor, without the leaves that it starts from."""
    found: set[object] = set()
    waiting = [tensor.grad_fn]
    while waiting:
        step = waiting.pop()
        if step is None or step in found or step.name().endswith("AccumulateGrad"):
            continue
        found.add(step)
        waiting += [before for before, _ in step.next_functions]
    return found
