"""Published face networks: identity encoders, perceptual distances, inverters, alignment. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from unlearnkit.plugins import Register, RegisterWeights, hookimpl
from unlearnkit_faces.defaults import offers
from unlearnkit_faces.files import FILES

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor

__all__ = [
    "unlearnkit_align_picture", "unlearnkit_defaults", "unlearnkit_find_faces",
    "unlearnkit_register_identity_encoders", "unlearnkit_register_inverters", "unlearnkit_register_perceptuals",
    "unlearnkit_register_weights",
]


@hookimpl
def unlearnkit_register_identity_encoders(register: Register) -> None:
    """Register the published networks that recognise people."""
    register(
        "sface", "unlearnkit_faces.sface:SFace",
        "SFace (OpenCV's model zoo), small and differentiable; get it with 'unlearnkit fetch sface'")
    register(
        "dlib", "unlearnkit_faces.dlib_judge:Dlib",
        "dlib's ResNet, a judge without gradients; needs the package dlib-bin and 'unlearnkit fetch dlib'")
    register(
        "mobilefacenet", "unlearnkit_faces.mobilefacenet:MobileFaceNet",
        "MobileFaceNet, the smallest, differentiable; needs mobilefacenet.pt of foamliu/MobileFaceNet")
    register(
        "facenet-vggface2", "unlearnkit_faces.identity:Facenet",
        "FaceNet (Inception-ResNet-v1) trained on VGGFace2; weights file from facenet-pytorch")
    register(
        "arcface-ir-se50", "unlearnkit_faces.identity:ArcFace",
        "ArcFace IR-SE50, the encoder of GUIDE's identity loss; needs model_ir_se50.pth")
    register(
        "curricularface-ir101", "unlearnkit_faces.identity:CurricularFace",
        "CurricularFace IR-101, the network of GUIDE's ID metric; needs CurricularFace_Backbone.pth")


@hookimpl
def unlearnkit_register_perceptuals(register: Register) -> None:
    """Register `lpips-vgg`, `lpips-alex` and `st-lpips`."""
    register(
        "st-lpips", "unlearnkit_faces.st_lpips:ShiftTolerantLpips",
        "ST-LPIPS on AlexNet or VGG-16, tolerates small shifts; get it with 'unlearnkit fetch st-lpips-alex'")
    register(
        "lpips-vgg", "unlearnkit_faces.perceptual:LpipsVgg",
        "LPIPS 0.1 on VGG-16, as in GUIDE's losses; needs torchvision's VGG-16 weights")
    register(
        "lpips-alex", "unlearnkit_faces.perceptual:LpipsAlex",
        "LPIPS 0.1 on AlexNet, faster and common in evaluations; needs torchvision's AlexNet weights")


@hookimpl
def unlearnkit_register_inverters(register: Register) -> None:
    """Register `optimise` and `e4e`."""
    register(
        "optimise", "unlearnkit_faces.inverters:OptimisationInverter",
        "Optimises the latent by gradient descent (as stage 1 of PTI): any generator, no weights, minutes on a CPU")
    register(
        "e4e", "unlearnkit_faces.inverters:E4eInverter",
        "e4e or pSp encoder for StyleGAN2, one forward pass; needs e4e_ffhq_encode.pt or a similar file")


@hookimpl
def unlearnkit_register_weights(register: RegisterWeights) -> None:
    """Register the published files that these networks read."""
    for file in FILES:
        register(file)


@hookimpl
def unlearnkit_defaults(settings: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Offer encoders and a judge for generators of photographs."""
    return offers(settings)


@hookimpl
def unlearnkit_find_faces(images: Tensor, domain: str) -> Tensor | None:
    """MTCNN's confidence in each image; None for anything but photographs, which are all that it knows."""
    from unlearnkit.options.domains import PHOTOGRAPHS
    from unlearnkit_faces.detection import confidences, is_installed

    return confidences(images) if domain == PHOTOGRAPHS and is_installed() else None


@hookimpl
def unlearnkit_align_picture(
    picture: Image, size: int, name: str, face: int | str | None, required: bool
) -> Tensor | None:
    """Crop a face as FFHQ does, from MTCNN landmarks (whose weights ship with facenet-pytorch)."""
    from unlearnkit_faces.alignment import align_if_needed, align_picture
    from unlearnkit_faces.detection import is_installed

    if required:
        return align_picture(picture, size, face, name)
    return align_if_needed(picture, size, face, name) if is_installed() else None
