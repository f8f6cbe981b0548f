"""The renderer for CUDA against PyTorch, run on the CPU, and on a GPU if there is one."""

from __future__ import annotations

import pytest
import torch
from torch.testing import assert_close

from unlearnkit.ops import volume

MARGIN, BOX = 0.001, 1.1
DECODER = {"w1": (64, 32), "b1": (64,), "w2": (33, 64), "b2": (33,)}


class Scene:
    """Rays through tri-planes; inputs in float64, and what they are called in the C interface."""

    def __init__(self, draw, n, side, rays, coarse, fine, density=0.0, falling=False):
        self.sizes = {"n": n, "side": side, "rays": rays, "coarse": coarse, "fine": fine, "scale": 2 / BOX,
                      "margin": MARGIN}
        generator = torch.Generator().manual_seed(1)
        offsets = torch.rand(n, rays, coarse, generator=generator, dtype=torch.float64)
        depths = torch.linspace(0.3, 1.7, coarse, dtype=torch.float64) + offsets * 1.4 / coarse
        self.inputs = {
            "planes": 2 * draw(n, 3, 32, side, side),
            "w1": draw(64, 32) * 0.3, "b1": draw(64), "w2": draw(33, 64) * 0.3, "b2": draw(33),
            "origins": draw(n, rays, 3) * 0.05 - torch.tensor([0, 0, 1.0], dtype=torch.float64),
            "directions": draw(n, rays, 3) * 0.15 + torch.tensor([0, 0, 1.0], dtype=torch.float64),
            "coarse_depths": depths.sort(descending=falling).values,
            "draws": torch.rand(n, rays, fine, generator=generator, dtype=torch.float64),
        }
        self.inputs["b2"][0] += density
        self.shapes = {"colours": (n, rays, 32), "depth": (n, rays), "opacity": (n, rays),
                       "depths": (n, rays, coarse + fine)}
        self.gradient_shapes = {"dplanes": (n, 3, 32, side, side)}
        self.gradient_shapes |= {f"d{key}": shape for key, shape in DECODER.items()}

    def as_type(self, dtype):
        return {key: value.to(dtype) for key, value in self.inputs.items()}

    def reference(self, inputs):
        planes, w1, b1, w2, b2, *rest = inputs.values()
        return volume.render_composite(planes, (w1, b1, w2, b2), *rest, BOX, MARGIN)

    def gradients(self, inputs, depths, probes):
        leaves = [inputs[key].clone().requires_grad_() for key in ("planes", *DECODER)]
        look = volume.looking(leaves[0], tuple(leaves[1:]), inputs["origins"], inputs["directions"], BOX, MARGIN)
        seen = volume.composite(depths, *look(depths))
        made = [(out, probe) for out, probe in zip(seen, probes, strict=True) if probe is not None]
        return torch.autograd.grad([out for out, _ in made], leaves, [probe for _, probe in made])


def near(found, wanted, tolerance):
    assert found.shape == wanted.shape
    assert float((found - wanted).norm()) <= tolerance * (1e-30 + float(wanted.norm()))


SCENES = {
    "eg3d": {"n": 1, "side": 16, "rays": 5, "coarse": 48, "fine": 48},
    "odd": {"n": 2, "side": 7, "rays": 11, "coarse": 5, "fine": 7},
    "coarse only": {"n": 2, "side": 9, "rays": 3, "coarse": 37, "fine": 0},
    "two samples": {"n": 2, "side": 4, "rays": 3, "coarse": 2, "fine": 0},
    "many": {"n": 1, "side": 8, "rays": 2, "coarse": 101, "fine": 67},
    "opaque": {"n": 1, "side": 8, "rays": 4, "coarse": 16, "fine": 16, "density": 1e4},
    "dense": {"n": 1, "side": 8, "rays": 4, "coarse": 16, "fine": 16, "density": 20.0},
    "falling": {"n": 1, "side": 8, "rays": 4, "coarse": 6, "fine": 5, "falling": True},
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", SCENES)
def test_pictures(kernels, draw, name, dtype):
    scene = Scene(draw, **SCENES[name])
    found = kernels.run("render_planes", scene.shapes, **scene.as_type(dtype), **scene.sizes)
    wanted = scene.reference(scene.inputs)
    tolerance = 2e-5 if dtype is torch.float32 else 1e-11
    for one, other in zip(found, wanted, strict=True):
        assert_close(one.double(), other, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", SCENES)
def test_gradients(kernels, draw, name, dtype, monkeypatch):
    if dtype is torch.float64:
        monkeypatch.setenv("UL_HOST_SHARED", str(227 * 1024))  # as on an H100: other blocks than with float32
    scene = Scene(draw, **SCENES[name])
    inputs = scene.as_type(dtype)
    depths = scene.reference(scene.inputs)[3].to(dtype)
    probes = [draw(*scene.shapes[key], dtype=dtype) for key in ("colours", "depth", "opacity")]
    wanted = scene.gradients(scene.inputs, depths.double(), [probe.double() for probe in probes])
    given = {**inputs, "depths": depths, **dict(zip(("dcolours", "ddepth", "dopacity"), probes, strict=True))}
    found = kernels.run("render_planes", scene.gradient_shapes, True, **given, **scene.sizes)
    for one, other in zip(found, wanted, strict=True):
        near(one.double(), other, 2e-4 if dtype is torch.float32 else 1e-9)


@pytest.mark.parametrize("given", ["dcolours", "ddepth", "dopacity"])
@pytest.mark.parametrize("wanted", ["dplanes", "decoder"])
def test_one_gradient_at_a_time(kernels, draw, given, wanted):
    scene = Scene(draw, 2, 6, 3, 7, 4)
    depths = scene.reference(scene.inputs)[3]
    shapes = dict(zip(("dcolours", "ddepth", "dopacity"), scene.shapes.values(), strict=False))
    probe = draw(*shapes[given])
    all_wanted = scene.gradients(scene.inputs, depths, [probe if key == given else None for key in shapes])
    chosen = ["dplanes"] if wanted == "dplanes" else [f"d{key}" for key in DECODER]
    outputs = {key: scene.gradient_shapes[key] for key in chosen}
    found = kernels.run("render_planes", outputs, True, **scene.inputs, depths=depths, **{given: probe}, **scene.sizes)
    for one, other in zip(found, all_wanted[:1] if wanted == "dplanes" else all_wanted[1:], strict=True):
        near(one, other, 1e-9)


def test_rays_that_hit_nothing(kernels, draw):
    scene = Scene(draw, 1, 8, 4, 8, 8, density=-1e5)
    colours, depth, opacity, depths = kernels.run("render_planes", scene.shapes, **scene.inputs, **scene.sizes)
    assert not colours.any() and not opacity.any() and bool(depth.isnan().all())
    assert_close(depths, scene.reference(scene.inputs)[3])
    given = {**scene.inputs, "depths": depths, "dcolours": draw(1, 4, 32), "ddepth": torch.zeros_like(depth),
             "dopacity": draw(1, 4)}
    for gradient in kernels.run("render_planes", scene.gradient_shapes, True, **given, **scene.sizes):
        assert bool(gradient.isfinite().all()) and not gradient.any()


def test_rays_outside_the_box(kernels, draw):
    scene = Scene(draw, 1, 8, 6, 8, 4)
    scene.inputs["origins"][0, ::2, 0] += 9
    found = kernels.run("render_planes", scene.shapes, **scene.inputs, **scene.sizes)
    for one, other in zip(found, scene.reference(scene.inputs), strict=True):
        assert_close(one, other, rtol=1e-11, atol=1e-11, equal_nan=True)


@pytest.mark.parametrize("where", ["planes", "draws", "coarse_depths", "w2"])
def test_nan_stays_within_its_bounds(kernels, draw, where):
    """Nothing else is touched and nothing crashes when a training run has gone astray."""
    scene = Scene(draw, 1, 8, 4, 8, 8)
    scene.inputs[where].view(-1)[::3] = float("nan")
    colours, _, _, depths = kernels.run("render_planes", scene.shapes, **scene.inputs, **scene.sizes)
    assert bool(colours.isnan().any())
    gradients = kernels.run("render_planes", scene.gradient_shapes, True, **scene.inputs, depths=depths,
                            dcolours=draw(1, 4, 32), **scene.sizes)
    assert bool(gradients[0].isnan().any())


def test_no_rays(kernels, draw):
    scene = Scene(draw, 2, 4, 0, 4, 4)
    kernels.run("render_planes", scene.shapes, **scene.inputs, **scene.sizes)
    given = {**scene.inputs, "depths": draw(2, 0, 8)}
    for gradient in kernels.run("render_planes", scene.gradient_shapes, True, **given, **scene.sizes):
        assert not gradient.any()


@pytest.mark.parametrize(("coarse", "fine", "why"), [(3, 1, "coarse samples"), (1, 0, "coarse samples"),
                                                     (1000, 25, "at most 1024"), (512, 512, "shared memory")])
def test_samples_that_cannot_be(kernels, draw, coarse, fine, why):
    if why == "shared memory" and kernels.device == "cuda":
        pytest.skip("depends on the GPU")
    scene = Scene(draw, 1, 4, 1, coarse, fine)
    given = {**scene.inputs, "depths": draw(1, 1, coarse + fine)}
    with pytest.raises(RuntimeError, match=why):
        kernels.run("render_planes", scene.gradient_shapes, True, **given, **scene.sizes)
