"""The parameter vector of a synthetic person: what each number means and how it is drawn.

A picture is a smooth function of ``p``, a vector of ``NUM_PARAMETERS`` numbers of about unit size. The first
``NUM_IDENTITY`` say who the person is, the rest how the picture was taken. ``p`` lies on the sphere that
StyleGAN2's mapping network normalises its input to: a generator can be trained on ``z -> picture`` directly.
"""

from __future__ import annotations

from typing import Any

import numpy as np

# (name of Anny's local change, the left one of a pair; strength at the soft limit; value in the middle).
# Chosen by looking: the sliders that move the front of the face most, without the ones that make odd skulls.
SLIDERS = (
    ("head-fat-incr", 0.75, 0.0),
    ("head-scale-horiz-incr", 0.55, 0.0),
    ("forehead-scale-vert-incr", 0.55, 0.0),
    ("l-cheek-bones-incr", 0.8, 0.0),
    ("l-cheek-volume-incr", 0.8, 0.0),
    ("chin-jaw-drop-incr", 0.7, 0.0),
    ("chin-height-incr", 0.6, 0.0),
    ("chin-width-incr", 0.8, 0.0),
    ("eyebrows-angle-up", 0.7, 0.0),
    ("eyebrows-trans-up", 0.6, 0.0),
    ("l-eye-scale-incr", 0.5, 0.3),
    ("l-eye-corner1-up", 0.7, 0.0),
    ("l-eye-trans-out", 0.5, 0.1),
    ("l-eye-height2-incr", 0.55, 0.25),
    ("mouth-scale-horiz-incr", 0.7, 0.0),
    ("mouth-lowerlip-volume-incr", 0.8, 0.0),
    ("mouth-upperlip-height-incr", 0.7, 0.0),
    ("nose-scale-horiz-incr", 0.75, 0.0),
    ("nose-scale-vert-incr", 0.6, 0.0),
    ("nose-point-up", 0.7, 0.0),
)
APPEARANCE = (
    "gender",
    "age",
    "weight",
    "skin_tone",
    "skin_undertone",
    "hair_tone",
    "lip_tone",
    "eye_colour",
    "brow",
    "hair_line",
    "hair_volume",
    "hair_length",
)
NUISANCE = (
    "yaw",
    "pitch",
    "light_azimuth",
    "light_height",
    "smile",
    "brow_raise",
    "background_brightness",
    "background_warmth",
    "background_green",
)
IDENTITY_NAMES = tuple(name for name, _, _ in SLIDERS) + APPEARANCE
PARAMETER_NAMES = IDENTITY_NAMES + NUISANCE
NUM_IDENTITY = len(IDENTITY_NAMES)
NUM_NUISANCE = len(NUISANCE)
NUM_PARAMETERS = NUM_IDENTITY + NUM_NUISANCE


def parameters_from_z(z: Any) -> Any:
    """Scale ``z`` (..., NUM_PARAMETERS; NumPy array or tensor) to root mean square 1 along its last axis."""
    if isinstance(z, np.ndarray):
        return z / np.sqrt(np.mean(z**2, axis=-1, keepdims=True) + 1e-8)
    return z * (z.square().mean(dim=-1, keepdim=True) + 1e-8).rsqrt()


def redraw_nuisance(p: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Another picture of the same people: a new direction of the nuisance part, its norm kept.

    Keeping the norm keeps ``p`` on the sphere without touching the identity part by a single bit.
    """
    out = p.copy()
    new = rng.standard_normal(out[..., NUM_IDENTITY:].shape)
    norm = np.linalg.norm(out[..., NUM_IDENTITY:], axis=-1, keepdims=True)
    out[..., NUM_IDENTITY:] = new * (norm / np.linalg.norm(new, axis=-1, keepdims=True))
    return out


def named(p: np.ndarray) -> dict[str, np.ndarray]:
    """The columns of ``p`` (N, NUM_PARAMETERS) by name."""
    return {name: p[:, i] for i, name in enumerate(PARAMETER_NAMES)}


def unit(x: Any, slope: float = 0.7) -> Any:
    """Squash smoothly to (0, 1)."""
    return 0.5 + 0.5 * np.tanh(slope * x)
