"""The fixed window that puts the face of an FFHQ-aligned picture where recognition networks expect it.

FFHQ's alignment leaves the eyes within 1 % and nose and mouth within 2 to 4 % of the same place (standard deviations of
MTCNN's landmarks on 240 pictures drawn by MobileStyleGAN at 256 pixels), so one window does for all, and it stays
differentiable. It is the least-squares similarity that maps the mean landmarks onto the five points of the 112 × 112
template (``unlearnkit_faces.identity.TEMPLATE``), whose rotation of 0.4 degrees is left out. Of the windows tried on
the ORL faces (0.85 to 1.2 times its size, 3 % higher or lower) it has the smallest equal error with SFace and
MobileFaceNet, and 0.1 % more than the smallest with dlib.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

__all__ = ["ORL", "TEMPLATE_WINDOW", "Window", "window_crop"]

Window = tuple[float, float, float, float]
"""Top, bottom, left and right of a square, in sides of the picture."""
TEMPLATE_WINDOW: Window = (0.117, 0.871, 0.127, 0.882)

ORL = ("means measured by us on the 400 ORL faces (40 people, greyscale, FFHQ-aligned by MTCNN): 1,800 pairs of one "
       "person and 78,000 of two")
"""What the levels of the encoders that use these windows were measured on."""


def window_crop(images: Tensor, size: int, window: Window = TEMPLATE_WINDOW) -> Tensor:
    """Cut the same window out of every picture: ``(N, 3, S, S)`` -> ``(N, 3, size, size)``, antialiased."""
    side = images.shape[2]
    top, bottom, left, right = (round(edge * side) for edge in window)
    return F.interpolate(images[:, :, top:bottom, left:right], (size, size), mode="bilinear", align_corners=False,
                         antialias=True)
