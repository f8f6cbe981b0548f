"""Write what ships: the weight files (with their facts as metadata) and the pictures of the default run.

    python -m unlearnkit_demo.training.export --train DIR --held-out DIR [--only spatial]

`--only spatial` writes the EG3D and its inverter, which are trained when everything else ships already.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from unlearnkit.checkpoints import write_tensors
from unlearnkit_demo.networks import FaceEncoder, InversionEncoder, PatchEncoder, Trunk
from unlearnkit_demo.people.parameters import NUM_PARAMETERS
from unlearnkit_demo.training import spatial
from unlearnkit_demo.training.data import Pictures
from unlearnkit_demo.training.encoders import DIM
from unlearnkit_demo.training.generator import ARCHITECTURE, build

HERE = Path(__file__).parents[1]
PEOPLE, PICTURES = 10, 4
SEEDS = {"generator": 0, "trunk": 10, "identity": 20, "judge": 21, "inverter": 30, "eg3d": 40, "inverter_3d": 50}


def last_line(folder: Path) -> dict[str, Any]:
    """The last line of a training log."""
    lines = (folder / "log.jsonl").read_text().splitlines()
    return {key: value for line in lines[-2:] for key, value in json.loads(line).items()}


def facts(name: str, folder: Path, **more: Any) -> dict[str, str]:
    """Metadata of a weight file."""
    measured = last_line(folder)
    return {
        "format": "unlearnkit-demo-1", "what": name, "seed": str(SEEDS[name]), "licence": "Apache-2.0",
        "measured": json.dumps(measured), **{key: json.dumps(value) for key, value in more.items()},
    }


def replace(path: Path, tensors: dict[str, Tensor], metadata: dict[str, str]) -> None:
    """Write a weight file anew."""
    path.parent.mkdir(exist_ok=True)
    path.unlink(missing_ok=True)
    write_tensors(path, {key: value.contiguous() for key, value in tensors.items()}, metadata)
    print(f"{path.name}: {path.stat().st_size / 1e6:.1f} MB")


def export_generator(folder: Path, out: Path) -> None:
    """The running average, with w_avg from 100,000 latents; names and settings as every StyleGAN2 has them."""
    state = torch.load(folder / "state.pt", weights_only=True)
    network = build(state["resolution"], NUM_PARAMETERS, state["average"])
    with torch.no_grad():
        z = torch.randn(100_000, NUM_PARAMETERS, generator=torch.Generator().manual_seed(0))
        network.mapping.w_avg.copy_(network.mapping(z)[:, 0].mean(0))
    settings = {"z_dim": NUM_PARAMETERS, "img_resolution": state["resolution"], "img_channels": 3, **ARCHITECTURE}
    metadata = facts("generator", folder, init_kwargs=settings) | {"class_name": "Generator"}
    replace(out, network.state_dict(), metadata)


def export_spatial(folder: Path, out: Path) -> None:
    """The EG3D: the running average, w_avg as above, and how to render it among its settings."""
    network = spatial.build(torch.load(folder / "state.pt", weights_only=True)["average"])
    with torch.no_grad():
        z = torch.randn(100_000, NUM_PARAMETERS, generator=torch.Generator().manual_seed(0))
        latents = network.mapping(z, torch.zeros(len(z), 25))
        network.backbone.mapping.w_avg.copy_(latents[:, 0].mean(0))
    settings = {**spatial.BACKBONE, "img_resolution": spatial.RESOLUTION, "img_channels": 3, "sr_num_fp16_res": 0,
                "neural_rendering_resolution": spatial.NEURAL, "rendering_kwargs": spatial.SETTINGS}
    metadata = facts("eg3d", folder, init_kwargs=settings) | {"class_name": "TriPlaneGenerator"}
    replace(out, network.state_dict(), metadata)


def export_small(name: str, folder: Path, network: torch.nn.Module, architecture: dict[str, Any]) -> None:
    """One of the four small networks; the encoders lose the centres they were trained with."""
    state = torch.load(folder / "state.pt", weights_only=True)["average"]
    state = {key.removeprefix("encoder."): value for key, value in state.items() if not key.startswith("centres.")}
    network.load_state_dict(state)
    replace(HERE / "weights" / f"{name}.safetensors", state, facts(name, folder, architecture=architecture))


def export_pictures(held_out: Pictures) -> None:
    """The first held-out people, not chosen: ``person_00`` asks to be erased, the others stand by."""
    folder = HERE / "pictures"
    folder.mkdir(exist_ok=True)
    people = list(dict.fromkeys(held_out.person.tolist()))[:PEOPLE]
    for number, person in enumerate(people):
        index = torch.nonzero(held_out.person == person)[:PICTURES, 0]
        for picture, image in enumerate(held_out.image[index]):
            Image.fromarray(image.numpy()).save(folder / f"person_{number:02d}_{picture}.png", optimize=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--train", type=Path, required=True, help="folder with generator/ and small/")
    parser.add_argument("--held-out", type=Path, required=True, help="folder of people never learned from")
    parser.add_argument("--only", choices=("spatial",), help="write a part, and leave what ships already")
    args = parser.parse_args()
    if (args.train / "spatial" / "state.pt").exists():
        export_spatial(args.train / "spatial", HERE / "weights" / "eg3d_128.safetensors")
    if (args.train / "inverter_3d" / "state.pt").exists():
        shape = {"num_ws": 12, "w_dim": ARCHITECTURE["w_dim"]}
        network = InversionEncoder(**shape)
        export_small("inverter_3d", args.train / "inverter_3d", network, {"name": "inverter", **shape})
    if args.only == "spatial":
        return
    export_generator(args.train / "generator", HERE / "weights" / "stylegan2_128.safetensors")
    small = args.train / "small"
    export_small("trunk", small / "trunk", Trunk(), {"name": "trunk"})
    export_small("identity", small / "identity", FaceEncoder(dim=DIM), {"name": "face", "dim": DIM})
    export_small("judge", small / "judge", PatchEncoder(dim=DIM), {"name": "patch", "dim": DIM})
    if (small / "inverter" / "state.pt").exists():
        shape = {"num_ws": 12, "w_dim": ARCHITECTURE["w_dim"]}
        export_small("inverter", small / "inverter", InversionEncoder(**shape), {"name": "inverter", **shape})
    export_pictures(Pictures.load(args.held_out))


if __name__ == "__main__":
    main()
