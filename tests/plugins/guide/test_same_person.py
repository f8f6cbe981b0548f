"""Other pictures of the person, imagined from one: the Gaussian, and that it finds the same person."""

from types import SimpleNamespace

import attrs
import torch
from torch import Tensor, nn
from unlearnkit_demo import CHECKPOINTS
from unlearnkit_demo.components import DemoIdentity, DemoJudge
from unlearnkit_guide.same_person import SamePerson, main_directions, relatives
from unlearnkit_stylegan2.generator import StyleGAN2

from unlearnkit.interfaces import Measures, Rendering
from unlearnkit.testing.world import ToyGenerator, ToyIdentity, ToyPerceptual, toy_job


@attrs.define(eq=False)
class Straight(ToyGenerator):
    """Shows its latent as it is; random latents spread 1, 2 and 3 wide along three axes."""

    w_avg = property(lambda self: torch.zeros(2, 3))

    def map(self, z: Tensor) -> Tensor:
        return (z * torch.tensor([1.0, 2.0, 3.0]))[:, None].repeat(1, 2, 1)

    def render(self, latents, views=None, rng=None):
        return Rendering(latents[:, :1, :, None], latents[:, :1, :, None])


class FirstAxis(nn.Module):
    """An identity that only the first axis decides."""

    def embed(self, images: Tensor) -> Tensor:
        return images[:, 0, :1, 0]


def eye(encoder):
    return Measures(ToyPerceptual(), encoder)


def test_main_directions_carry_the_whole_spread():
    directions = main_directions(Straight(), 3, torch.Generator().manual_seed(0))
    spread = directions.T @ directions
    assert directions.norm(dim=1).argsort(descending=True).tolist() == [0, 1, 2]
    torch.testing.assert_close(spread[:3, :3], torch.diag(torch.tensor([1.0, 4.0, 9.0])), atol=0.9, rtol=0)
    torch.testing.assert_close(spread[:3, :3], spread[:3, 3:])  # both rows of a latent move together


def test_what_identity_ignores_is_drawn_anew_and_what_it_sees_stays():
    generator, source = Straight(), torch.tensor([[1.0, 2.0, -3.0]]).repeat(2, 1)
    directions = main_directions(generator, 3, torch.Generator().manual_seed(0))
    around = relatives(source, generator, eye(FirstAxis()), directions, tolerance=0.01)
    found = source + around.draw(4000, torch.Generator().manual_seed(1)).unflatten(1, (2, 3))
    drawn = found[:, 0]
    torch.testing.assert_close(drawn[:, 0], torch.ones(4000), atol=0.06, rtol=0)  # the same person
    torch.testing.assert_close(drawn[:, 1:].mean(0), torch.zeros(2), atol=0.25, rtol=0)  # as random latents are
    torch.testing.assert_close(drawn[:, 1:].std(0), torch.tensor([2.0, 3.0]), atol=0.3, rtol=0)


def test_with_every_likeness_tolerated_nothing_of_the_person_is_left():
    generator, source = Straight(), torch.tensor([[1.0, 2.0, -3.0]]).repeat(2, 1)
    directions = main_directions(generator, 3, torch.Generator().manual_seed(0))
    around = relatives(source, generator, eye(FirstAxis()), directions, tolerance=1e4)
    drawn = (source.flatten() + around.draw(4000, torch.Generator().manual_seed(1)))[:, :3]
    torch.testing.assert_close(drawn.mean(0), torch.zeros(3), atol=0.25, rtol=0)


def test_more_directions_than_the_generator_has_do_no_harm():
    job = toy_job({})
    loss = SamePerson(directions=48)
    loss.begin(job)
    pairs = loss.pairs(SimpleNamespace(
        sources=job.sources, targets=job.targets, rng=job.rng, pairs=lambda a, b: SimpleNamespace(edited=a, frozen=b)))
    assert pairs.edited.shape == (2 * len(job.sources), 2, 3) and pairs.edited.isfinite().all()
    moved = pairs.edited - job.sources.repeat_interleave(2, 0)
    torch.testing.assert_close(pairs.frozen, job.targets.repeat_interleave(2, 0) + moved)


def test_looking_around_takes_nothing_from_the_runs_chance():
    job = toy_job({})
    before, outside = job.rng.get_state(), torch.get_rng_state()
    first, second = SamePerson(), SamePerson()
    first.begin(job)
    torch.randn(3)
    second.begin(job)
    assert torch.equal(job.rng.get_state(), before)
    assert torch.equal(first._found[0].root, second._found[0].root)
    assert isinstance(job.measures.identity, ToyIdentity) and not torch.equal(outside, torch.get_rng_state())


def test_in_the_bundled_world_a_judge_sees_the_same_person():
    generator, identity, judge = StyleGAN2(checkpoint=CHECKPOINTS["stylegan2"]), DemoIdentity(), DemoJudge()
    for part in (generator, identity, judge):
        part.prepare(torch.device("cpu"))
    rng = torch.Generator().manual_seed(5)
    with torch.no_grad():
        people = generator.map(torch.randn(3, generator.z_dim, generator=rng))
        directions = main_directions(generator, 48, torch.Generator().manual_seed(0))
        near, far = [], []
        for source in people:
            around = relatives(source, generator, eye(identity), directions, tolerance=0.07)
            offsets = around.draw(8, rng).unflatten(1, source.shape)
            random = generator.map(torch.randn(8, generator.z_dim, generator=rng)) - source
            random = random * (offsets.flatten(1).norm(dim=1) / random.flatten(1).norm(dim=1))[:, None, None]
            wanted = judge.embed(generator.render(source[None]).image)
            near.append(judge.embed(generator.render(source + offsets).image) @ wanted.T)
            far.append(judge.embed(generator.render(source + random).image) @ wanted.T)
    near_mean, far_mean = float(torch.cat(near).mean()), float(torch.cat(far).mean())
    assert near_mean > 0.65, near_mean
    assert near_mean > far_mean + 0.1, (near_mean, far_mean)
