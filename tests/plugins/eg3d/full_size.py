"""One step of GUIDE on an EG3D of FFHQ's size (512 px, 128 x 128 rays, 48 + 48 samples), random weights, on the CPU.

    python tests/plugins/eg3d/full_size.py FOLDER [PAIRS OF ADJACENCY AND GLOBAL]

Prints one line of JSON: seconds of the step, peak memory of the process in bytes, and what moved. A process of its own,
so that the peak is this step's.
"""

from __future__ import annotations

import copy
import json
import resource
import sys
import time
from pathlib import Path

import torch
from torchvision.models import vgg16
from unlearnkit_demo.components import DemoIdentity
from unlearnkit_eg3d.generator import EG3D
from unlearnkit_eg3d.network import VARIANTS, TriPlaneGenerator
from unlearnkit_eg3d.volume import RenderSettings
from unlearnkit_faces.perceptual import LpipsVgg
from unlearnkit_guide.losses import Adjacency, Global, Local
from unlearnkit_guide.method import Guide
from unlearnkit_guide.targets import Ufo

from unlearnkit.checkpoints import write_tensors
from unlearnkit.interfaces import Job, Measures

RENDERING = {
    "superresolution_module": "training.superresolution.SuperresolutionHybrid8XDC", "depth_resolution": 48,
    "depth_resolution_importance": 48, "ray_start": 2.25, "ray_end": 3.3, "box_warp": 1, "c_scale": 1.0,
    "avg_camera_pivot": [0, 0, 0.2], "avg_camera_radius": 2.7, "decoder_lr_mul": 1.0,
}
KWARGS = {
    "z_dim": 512, "c_dim": 25, "w_dim": 512, "img_resolution": 512, "img_channels": 3, "channel_base": 32768,
    "channel_max": 512, "sr_num_fp16_res": 4, "num_layers": 2, "neural_rendering_resolution": 128,
    "rendering_kwargs": RENDERING,
}


def write_files(folder: Path) -> tuple[Path, Path]:
    """An EG3D and a VGG of random weights."""
    torch.manual_seed(0)
    network = TriPlaneGenerator(
        backbone={"z_dim": 512, "c_dim": 25, "w_dim": 512, "img_resolution": 256, "num_layers": 2},
        variant=VARIANTS["SuperresolutionHybrid8XDC"], settings=RenderSettings(), neural_resolution=128, c_scale=1.0)
    metadata = {"init_kwargs": json.dumps(KWARGS), "class_name": "TriPlaneGenerator"}
    write_tensors(folder / "ffhq.safetensors", network.state_dict(), metadata)
    torch.save({k: v for k, v in vgg16(weights=None).state_dict().items() if k.startswith("features.")},
               folder / "vgg16.pt")
    return folder / "ffhq.safetensors", folder / "vgg16.pt"


def main() -> None:
    file, trunk = write_files(Path(sys.argv[1]))
    pairs = int(sys.argv[2]) if len(sys.argv) > 2 else 2
    cpu = torch.device("cpu")
    generator, identity, perceptual = EG3D(checkpoint=file), DemoIdentity(), LpipsVgg(trunk=trunk)
    for component in (generator, identity, perceptual):
        component.prepare(cpu)
    sources = generator.map(torch.randn(1, 512, generator=torch.Generator().manual_seed(1))).detach()
    losses = {"local": Local(), "adjacency": Adjacency(samples=pairs), "global": Global(samples=pairs)}
    source = copy.deepcopy(generator)
    job = Job(generator, source, sources, Ufo().select(sources, generator, torch.Generator()), losses,
              Measures(perceptual, identity), torch.Generator().manual_seed(2), cpu)
    started = time.monotonic()
    Guide(steps=1).unlearn(job)
    seconds = time.monotonic() - started
    before, after = source.module.state_dict(), generator.module.state_dict()
    moved = sorted({name.split(".")[0] + "." + name.split(".")[1] for name in before
                    if not torch.equal(before[name], after[name])})
    print(json.dumps({"seconds": seconds, "pairs": 1 + 2 * pairs, "moved": moved,
                      "peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}))


if __name__ == "__main__":
    main()
