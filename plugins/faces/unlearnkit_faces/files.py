"""The weight files that this plugin's networks read. Imports no torch."""

from __future__ import annotations

from unlearnkit.weights import WeightFile

__all__ = ["ARCFACE", "CURRICULARFACE", "E4E", "FACENET", "FILES", "LPIPS_ALEX", "LPIPS_VGG"]

ENCODER = "--set identity.weights=FILE (judge.weights=FILE for the judge)"
TRUNK = "--set perceptual.trunk=FILE"
NO_DOWNLOAD = "choose '--perceptual demo-trunk', which needs no download"

FACENET = WeightFile(
    name="facenet-vggface2",
    purpose="identity encoder facenet-vggface2",
    file_name="20180402-114759-vggface2.pt",
    size=112_000_000,
    licence="MIT, trained on VGGFace2",
    url="https://github.com/timesler/facenet-pytorch/releases/download/v2.2.9/20180402-114759-vggface2.pt",
    setting=ENCODER,
)
ARCFACE = WeightFile(
    name="arcface-ir-se50",
    purpose="identity encoder arcface-ir-se50",
    file_name="model_ir_se50.pth",
    size=175_000_000,
    licence="MIT (the code's)",
    page="the page of omertov/encoder4editing or TreB1eN/InsightFace_Pytorch",
    setting=ENCODER,
)
CURRICULARFACE = WeightFile(
    name="curricularface-ir101",
    purpose="identity encoder curricularface-ir101",
    file_name="CurricularFace_Backbone.pth",
    size=250_000_000,
    licence="MIT (the code's), trained on MS1M",
    page="the page of HuangYG123/CurricularFace",
    setting=ENCODER,
)
LPIPS_VGG = WeightFile(
    name="lpips-vgg",
    purpose="perceptual distance lpips-vgg (VGG-16 trunk)",
    file_name="vgg16-397923af.pth",
    size=553_000_000,
    sha256="397923af",
    licence="BSD-3-Clause (torchvision), trained on ImageNet",
    url="https://download.pytorch.org/models/vgg16-397923af.pth",
    setting=TRUNK,
    instead=NO_DOWNLOAD,
)
LPIPS_ALEX = WeightFile(
    name="lpips-alex",
    purpose="perceptual distance lpips-alex (AlexNet trunk)",
    file_name="alexnet-owt-7be5be79.pth",
    size=244_000_000,
    sha256="7be5be79",
    licence="BSD-3-Clause (torchvision), trained on ImageNet",
    url="https://download.pytorch.org/models/alexnet-owt-7be5be79.pth",
    setting=TRUNK,
    instead=NO_DOWNLOAD,
)
E4E = WeightFile(
    name="e4e",
    purpose="inverter e4e",
    file_name="e4e_ffhq_encode.pt",
    licence="MIT (the code's); holds NVIDIA's FFHQ generator, which is non-commercial",
    page="the page of omertov/encoder4editing",
    setting="--set inverter.weights=FILE",
    instead="choose '--inverter optimise', which needs no weights",
)
FILES = (ARCFACE, CURRICULARFACE, E4E, FACENET, LPIPS_ALEX, LPIPS_VGG)
