"""``unlearnkit new``: a working plugin package to start from."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from string import Template

import click

from unlearnkit.errors import ConfigError

_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")

PYPROJECT = '''\
[build-system]
requires = ["setuptools>=77"]
build-backend = "setuptools.build_meta"

[project]
name = "unlearnkit-$name"
version = "0.1.0"
description = "A plugin of unlearnkit: what it adds, in one line"
requires-python = ">=3.11"
dependencies = ["unlearnkit"]

[project.optional-dependencies]
test = ["pytest>=8"]

# How unlearnkit finds the plugin: its name, and the module that holds its hooks.
[project.entry-points.unlearnkit]
$name = "$package"

[tool.setuptools]
packages = ["$package"]
'''

HOOKS = '''\
"""The plugin $name: what it registers. Imports no torch, so that `unlearnkit --help` stays fast."""

from unlearnkit.plugins import hookimpl


@hookimpl
def unlearnkit_register_losses(register):
    register("$name-look", "$package.losses:Look", "The erased latent shows the target's colours and identity")


@hookimpl
def unlearnkit_register_target_selectors(register):
    register("$name-stranger", "$package.targets:Stranger", "A random person, or somebody on the way there")
'''

LOSSES = '''\
"""A loss: which latents it looks at, and how far what they show is from what they should show."""

from __future__ import annotations

import attrs
from torch import Tensor

from unlearnkit.config import option
from unlearnkit.interfaces import Loss, Measures, Pairs, Rendering, Step


@attrs.define(eq=False)
class Look(Loss):
    """What was the person becomes the target: mean absolute colour difference, and 1 - identity similarity."""

    colour: float = option(1.0, ge=0, help="weight of the mean absolute difference of colours")
    identity: float = option(0.5, ge=0, help="weight of 1 - identity similarity")

    def pairs(self, step: Step) -> Pairs:
        """One pair a person (edited source, frozen target), the same at every step."""
        return step.pairs(step.erased, step.targets, constant=True)

    def terms(self, edited: Rendering, frozen: Rendering, measures: Measures) -> dict[str, Tensor]:
        """One number a pair for each term, ``(N,)``."""
        return {
            "colour": (edited.image - frozen.image).abs().mean((1, 2, 3)),
            "identity": 1 - measures.identity_similarity(edited, frozen),
        }

    def weights(self) -> dict[str, float]:
        """Weight of each term, by the same names."""
        return {"colour": self.colour, "identity": self.identity}
'''

TARGETS = '''\
"""A target selector: which latent the generator shall show instead of the erased person."""

from __future__ import annotations

import attrs
import torch
from torch import Tensor

from unlearnkit.config import option
from unlearnkit.interfaces import Generator, TargetSelector


@attrs.define(eq=False)
class Stranger(TargetSelector):
    """A random person's latent, or a point between the erased person and that stranger."""

    strength: float = option(1.0, gt=0, le=1, help="1 is the stranger; less is on the way from the person to there")

    def select(self, erased: Tensor, generator: Generator, rng: torch.Generator) -> Tensor:
        """Latents ``(P, num_ws, w_dim)`` -> as many targets; every draw comes from ``rng``."""
        return erased.lerp(generator.sample_latents(len(erased), rng), self.strength)
'''

TESTS = '''\
"""Does every component of this plugin keep the promises of its interface? And does each do what it says?"""

import torch
from $package.losses import Look
from $package.targets import Stranger

from unlearnkit.engine import PairLoop
from unlearnkit.testing import ToyGenerator, components_of, parametrize_with_checks, random_latents, toy_job


@parametrize_with_checks(components_of("$name"))
def test_conformance(component, check):
    check(component)


def test_look_makes_the_source_look_like_the_target():
    job = toy_job({"look": Look()})
    wanted = job.frozen.render(job.targets).image
    before = (job.edited.render(job.erased).image - wanted).abs().mean()
    PairLoop(losses=("look",), steps=100, learning_rate=0.02).unlearn(job)
    after = (job.edited.render(job.erased).image - wanted).abs().mean()
    assert after < 0.3 * before


def test_less_strength_stays_nearer_to_the_person():
    generator = ToyGenerator()
    erased = random_latents(generator, 1)
    near, far = (
        (Stranger(strength=strength).select(erased, generator, torch.Generator().manual_seed(0)) - erased).norm()
        for strength in (0.5, 1.0)
    )
    torch.testing.assert_close(2 * near, far)
'''

README = '''\
# unlearnkit-$name

A plugin of unlearnkit: the loss `$name-look` and the target selector `$name-stranger`.

```
pip install -e '.[test]' && pytest
$run
```
'''

FILES = {
    "pyproject.toml": PYPROJECT, "README.md": README, "$package/__init__.py": HOOKS, "$package/losses.py": LOSSES,
    "$package/targets.py": TARGETS, "tests/test_plugin.py": TESTS,
}
RUN = "unlearnkit run --method guide --generator stylegan2 --target $name-stranger " \
      "--set 'losses.names=[\"$name-look\", \"guide-global\"]'"


@click.command()
@click.argument("name")
@click.option("--out", type=click.Path(path_type=Path), metavar="FOLDER", help="Where; by default ./NAME.")
def command(name: str, out: Path | None) -> None:
    """Write a working plugin package called NAME, with a loss, a target selector and their tests.

    \b
    unlearnkit new left-ear
    pip install -e 'left-ear[test]' && pytest left-ear
    """
    _check(name)
    folder = Path(name) if out is None else out
    words = {"name": name, "package": f"unlearnkit_{name.replace('-', '_')}"}
    words["run"] = Template(RUN).substitute(words)
    try:
        folder.mkdir(parents=True)
    except FileExistsError:
        raise ConfigError(f"{folder} is there already and is left as it is; choose another with --out") from None
    for path, text in FILES.items():
        file = folder / Template(path).substitute(words)
        file.parent.mkdir(exist_ok=True)
        file.write_text(Template(text).substitute(words), encoding="utf-8")
    place = shlex.quote(str(folder))
    click.echo(f"wrote {folder}; next:")
    click.echo(f"  pip install -e {shlex.quote(f'{folder}[test]')} && pytest {place}")
    click.echo(f"  {words['run']}")


def _check(name: str) -> None:
    """Refuse names that no plugin may have, or that one has already."""
    from unlearnkit.plugins import registry

    if not _NAME.fullmatch(name):
        raise ConfigError(f"NAME: got {name!r}, expected small letters and digits, words joined by '-': left-ear")
    taken = next((plugin for plugin in registry().plugins if plugin.name == name), None)
    if taken is not None:
        raise ConfigError(f"NAME: {taken.owner} is installed already; choose another name")
