"""A finished run of three people on two earlier ones, made by hand, as far as a certificate looks."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch
from PIL import Image
from unlearnkit_stylegan2.network import Generator as Network

from unlearnkit.checkpoints import write_tensors
from unlearnkit.files.atomic import sha256_file
from unlearnkit.files.keyed import new_key
from unlearnkit.interfaces import Person, Request
from unlearnkit.options.names import slugs
from unlearnkit.people.latents import save_people
from unlearnkit.runs import Run

PEOPLE, EARLIER, BYSTANDERS = ("Ada Lovelace", "Bo Bjornson", "Cyrilla"), ("Dora", "Evi X"), ("grandma", "uncle-tom")
CHAIN = ("11" * 32, "22" * 32)


def metrics(people: Sequence[str], earlier: Sequence[str]) -> dict[str, float]:
    numbers = {
        "erased_before": 0.9312345, "erased_after": -0.1212345, "erased_worst_after": 0.0512345, "n_erased": 3.0,
        "n_erased_judged": 3.0, "n_erased_recognised_before": 3.0, "n_erased_recognised": 0.0, "n_others": 3.0,
        "n_others_judged": 3.0, "n_others_recognised_before": 3.0, "n_others_recognised": 0.0,
        "others_after": 0.1112345, "others_worst_after": 0.1912345, "strangers_level": 0.0012345,
        "same_person_level": 0.9412345, "n_bystanders": 2.0, "bystanders_change": 0.9512345, "n_preserved": 20.0,
        "bystanders_worst_change": 0.9012345, "bystanders_worst_number": 2.0, "n_bystanders_changed": 0.0,
        "preserved_identity_worst": 0.7312345,
    }
    for place, slug in enumerate(slugs(people)):
        numbers |= {f"erased_before_{slug}": 0.93 - place / 97, f"erased_after_{slug}": 0.01 + place / 97,
                    f"others_worst_after_{slug}": 0.11 + place / 97}
    for place, slug in enumerate(slugs(earlier)):
        numbers |= {f"earlier_{slug}_before": 0.91, f"earlier_{slug}_then": 0.021, f"earlier_{slug}_after": 0.9 * place}
    return numbers


def attack(person: str, name: str, effort: int | None, **more: object) -> dict[str, object]:
    control = {"kind": "ceiling", "is": "x", "effort_to_recognise": 1, "curve": []}
    return {
        "attack": name, "person": person, "unit": "optimiser steps", "budget": 60, "effort_to_recognise": effort,
        "best": 0.6512345, "ceiling": 0.9412345, "control": control, "tone": "bad" if effort is not None else "good",
        "answer": f"{effort} optimiser steps", "verdict": f"{person} was found", "judged_on": person, **more,
    }


@pytest.fixture(scope="session")
def state() -> dict[str, torch.Tensor]:
    """Weights of a StyleGAN2 of 16 pixels."""
    network = Network(z_dim=4, c_dim=0, w_dim=4, img_resolution=16, num_layers=1, channel_base=16, channel_max=2)
    return {name: value.detach() for name, value in network.state_dict().items()}


@pytest.fixture
def base(tmp_path: Path, state: dict[str, torch.Tensor]) -> Path:
    write_tensors(tmp_path / "base.safetensors", state, {})
    return tmp_path / "base.safetensors"


@pytest.fixture
def make_run(base: Path, state: dict[str, torch.Tensor]) -> Callable[..., Path]:
    """Makes the run in a folder, of people with these names."""
    def make(
        folder: Path, people: Sequence[str] = PEOPLE, earlier: Sequence[str] = EARLIER,
        bystanders: Sequence[str] = BYSTANDERS, seed: int = 3, audited: bool = True, status: str = "finished",
    ) -> Path:
        photos = folder.with_name(f"{folder.name}-photos")
        photos.mkdir()
        files = {name: photos / f"{place}-{slugs([name])[0]}.png" for place, name in enumerate([*people, *bystanders])}
        for place, file in enumerate(files.values()):
            Image.new("RGB", (8, 8), (seed, place, 9)).save(file)
        settings = {
            "seed": seed, "generator": {"name": "stylegan2", "checkpoint": str(base), "latent_seed": seed},
            "method": {"name": "guide", "steps": 150, "losses": ["guide-local"], "note": str(photos)},
            "target": {"name": "ufo", "distance": 30.0}, "inverter": {"name": "demo-inverter"},
            "identity": {"name": "demo-identity"}, "judge": {"name": "demo-judge"},
            "perceptual": {"name": "demo-trunk"}, "loss": {"guide-local": {"mse": 0.01}},
            "request": {"people": [{"name": name, "images": [str(files[name])]} for name in people],
                        "bystanders": [str(files[name]) for name in bystanders]},
        }
        chain = [{"sha256": sha256, "path": str(photos / name), "people": [name], "pictures": {str(photos): "ef" * 32}}
                 for sha256, name in zip(CHAIN, earlier, strict=True)]
        with Run.create(folder, settings, people[0]) as run:
            latents = torch.full((1, 2, 3), 1.25 + seed)
            save_people(folder / "latents.safetensors", Request(tuple(Person(name, latents) for name in people)),
                        latents.expand(len(people), 2, 3))
            sha256 = sha256_file(base)
            name = next(name for name in state if name.endswith("bias"))
            write_tensors(folder / "edit.safetensors", {name: state[name] + 1}, {
                "format": "unlearnkit-edit-1", "generator": "stylegan2", "method": "guide", "base_sha256": sha256,
                "base_format": "safetensors", "base_edit_sha256": CHAIN[-1], "chain": json.dumps(CHAIN),
            })
            run.set_key(new_key())
            run.record_inputs(files.values())
            run.write_json("metrics.json", metrics(people, earlier))
            audits = {}
            if audited:
                results = [attack(people[1], "reinversion-w", 11), attack(people[0], "reinversion-w", 14),
                           attack(people[0], "membership", None, holds=["the edited checkpoint", "a photo"])]
                numbers = run.write_json("audit.json", {"format": "unlearnkit-audit-1", "results": results})
                audits = {"audit.json": sha256_file(numbers)}
            for name in ("edit.safetensors", "latents.safetensors", "metrics.json"):
                run.record_hash(name)
            run.update_manifest(
                base={"path": str(base), "format": "safetensors", "sha256": sha256}, chain=chain, audits=audits,
                domains={"generator": "synthetic-renders", "judge": "synthetic-renders"},
                target_look={"warning": f"the target of {people[0]} is odd"}, steps=150,
            )
            run.finish(status)
        return folder

    return make
