"""The skin: fine surface of the head, where its paint goes, and how thick the hair on it is."""

from __future__ import annotations

import os

import numpy as np

from .body import Body
from .eyes import ramp, smoothstep
from .parameters import unit
from .surface import Normals, components, linear_subdivision, loop_subdivision

# Light to dark (sRGB).
SKIN_TONES = np.array(
    [
        [0.93, 0.78, 0.70],
        [0.88, 0.70, 0.59],
        [0.78, 0.58, 0.45],
        [0.63, 0.44, 0.32],
        [0.46, 0.31, 0.22],
        [0.34, 0.225, 0.165],
    ]
)
# Black, dark brown, brown, auburn, dark blond, blond.
HAIR_TONES = np.array(
    [
        [0.07, 0.06, 0.06],
        [0.15, 0.10, 0.075],
        [0.27, 0.175, 0.115],
        [0.38, 0.23, 0.13],
        [0.52, 0.39, 0.24],
        [0.70, 0.56, 0.36],
    ]
)
DARK_HAIR_OF_DARK_SKIN = 1.0


class Skin:
    """Fixed matrices and masks from the template; ``refine`` and ``albedo`` use them for every person."""

    def __init__(self, body: Body) -> None:
        template = body.template()
        coarse = template.vertices[0]
        label = components(body.triangles, len(coarse))
        self.kept = np.flatnonzero(label == 0)  # drops the template's eyeballs and tongue
        self.eyeball = np.flatnonzero(
            (label > 0) & (np.linalg.norm(coarse - template.eyes[0, 0], axis=1) < 0.022)
        )
        self.eye_middle = template.eyes[0].mean(0)
        self._subdivide(body.triangles[label[body.triangles[:, 0]] == 0], coarse)
        self.template = self.matrix @ coarse[self.kept]
        self._load_masks(body)
        self.neck = self.kept[coarse[self.kept, 2] < coarse[self.kept, 2].min() + 0.006]
        self._find_regions(template.eyes[0])
        for name, value in vars(self).items():
            if isinstance(value, np.ndarray) and value.shape == (len(self.template),):
                setattr(self, name, value.astype(np.float32))

    def _subdivide(self, triangles: np.ndarray, coarse: np.ndarray) -> None:
        """Loop once everywhere, then midpoints where the paint needs crisp edges; unseen triangles go."""
        renumber = np.zeros(len(coarse), np.int64)
        renumber[self.kept] = np.arange(len(self.kept))
        first, triangles = loop_subdivision(renumber[triangles], len(self.kept))
        triangles = triangles[self._seen(triangles, first @ coarse[self.kept])]
        used, triangles = np.unique(triangles, return_inverse=True)
        first, triangles = first[used], triangles.reshape(-1, 3)
        at = first @ coarse[self.kept]
        self._middle_normals = Normals(triangles, len(at))
        centre = at[triangles].mean(1)
        # Eyes, brows and lips need crisp edges; the rest does not.
        height = centre[:, 2] - self.eye_middle[2]
        crisp = ((height > -0.016) & (height < 0.034)) | ((height > -0.092) & (height < -0.055))
        fine = crisp & (centre[:, 1] < -0.098) & (np.abs(centre[:, 0]) < 0.058)
        second, self.triangles = linear_subdivision(triangles, len(at), fine)
        self.first, self.second = first.astype(np.float32), second.astype(np.float32)
        self.matrix = second @ first

    def refine(self, coarse: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Fine vertices and normals (V, 3) of one posed coarse head."""
        middle = self.first @ coarse[self.kept].astype(np.float32)
        return self.second @ middle, self.second @ self._middle_normals(middle)

    def template_normals(self) -> np.ndarray:
        """Normals of the template's fine surface."""
        return Normals(self.triangles, len(self.template))(self.template)

    def _seen(self, triangles: np.ndarray, at: np.ndarray) -> np.ndarray:
        """Mask of triangles that some camera of ours may see: not the head's back, nor behind the eyes."""
        a, b, c = (at[triangles[:, i]] for i in range(3))
        away = np.cross(b - a, c - a)
        away = away[:, 1] / (np.linalg.norm(away, axis=1) + 1e-12)
        centre = (a + b + c) / 3
        x, y, z = np.abs(centre[:, 0]), centre[:, 1], centre[:, 2]
        inside = (y > -0.100) & (y < 0.0) & (x < 0.040) & (z > 0.10) & (z < 0.18)
        return (away < 0.5) & ~inside

    def _load_masks(self, body: Body) -> None:
        from PIL import Image

        uv = self.matrix @ body.uv()[self.kept]

        def mask(name: str) -> np.ndarray:
            path = os.path.join(body.texture_folder, f"mpfb_{name}.jpg")
            image = np.asarray(Image.open(path).convert("L"), np.float64) / 255
            rows = ((1 - uv[:, 1]) * (image.shape[0] - 1)).round().astype(int)
            columns = (uv[:, 0] * (image.shape[1] - 1)).round().astype(int)
            return image[rows.clip(0, image.shape[0] - 1), columns.clip(0, image.shape[1] - 1)]

        front = self.template[:, 1] < -0.09
        self.lips, self.eyelids = mask("lips") * front, mask("eyelids") * front
        self.ears = mask("ears") * (np.abs(self.template[:, 0]) > 0.062)
        self.mouth_inside = mask("inside-mouth") * (1 - self.lips)

    def _find_regions(self, eyes: np.ndarray) -> None:
        """Where the paint goes, by position on the template; ``x`` is the distance from the middle plane."""
        self.rel = self.template - self.eye_middle
        x, y, z = np.abs(self.rel[:, 0]), self.rel[:, 1], self.rel[:, 2]
        self.front = smoothstep(-y, -0.035, -0.015)
        self._find_lids(x, y, z, np.abs(eyes[0, 0]))
        self._find_brows(x, z)
        self.blush = np.exp(-(((x - 0.038) / 0.017) ** 2) - ((z + 0.033) / 0.017) ** 2) * self.front
        self.nose_tip = np.exp(-((x / 0.014) ** 2) - ((z + 0.040) / 0.012) ** 2) * (y < -0.012)
        below_nose = smoothstep(-z + 0.15 * np.maximum(x - 0.03, 0), 0.046, 0.072)  # higher on the cheek
        neck = smoothstep(-y, -0.075, -0.045) * smoothstep(z, -0.115, -0.095)
        self.beard = below_nose * (1 - self.lips) * neck

    def _find_lids(self, x: np.ndarray, y: np.ndarray, z: np.ndarray, eye_x: float) -> None:
        across = x - eye_x
        near = np.exp(-((across / 0.019) ** 4) - ((z - 0.002) / 0.014) ** 4) * (y < 0.004)
        # Lash line: the lids' rim is what lies nearest the eyeball (``y`` is 0 at the eye's centre).
        gap = np.sqrt(across**2 + y**2 + z**2) - 0.0158
        upper = smoothstep(z - 0.10 * across, -0.001, 0.003)
        self.lashes = near * np.exp(-((gap / 0.0016) ** 2)) * (0.30 + 0.70 * upper)
        self.crease = self.eyelids * smoothstep(z, 0.004, 0.010)

    def _find_brows(self, x: np.ndarray, z: np.ndarray) -> None:
        along = (x - 0.0095) / 0.041  # 0 at the brow's inner end, 1 at the outer end
        arch = 0.0075 * np.sin(np.clip(along, 0, 1.15) * 2.25) - 0.0055 * np.clip(along, 0, 1.2) ** 3
        self.brow_offset = z - (0.0165 + arch)
        self.brow_taper = np.clip(1.05 - 0.75 * np.clip(along, 0, 1.3) ** 2, 0.0, 1)
        self.brow_ends = smoothstep(along, -0.08, 0.10) * (1 - smoothstep(along, 0.92, 1.10)) * self.front

    def albedo(self, q: dict[str, float], hair: np.ndarray) -> np.ndarray:
        """Colours (V, 3) of the skin of a person with parameters ``q`` and hair colour ``hair``."""
        tone = skin_tone(q)
        light = 1 - float(unit(q["skin_tone"], 0.6))
        out = np.repeat(tone[None].astype(np.float32), len(self.template), 0)
        red = np.array([1.06, 0.80, 0.80])
        blush = (0.55 * self.blush + 0.5 * self.nose_tip) * (0.15 + 0.6 * light)
        out = mix(out, tone * red, blush)
        man = float(unit(q["gender"], 0.9))
        out = mix(out, tone * np.array([0.62, 0.62, 0.66]), self.beard * 0.42 * smoothstep(man, 0.35, 1.0))
        lip = ramp(
            np.stack([tone * [0.86, 0.66, 0.64], tone * [0.92, 0.60, 0.60], [0.70, 0.31, 0.32]]),
            float(unit(q["lip_tone"] - 0.5 * q["gender"], 0.6)),
        )
        out = mix(out, lip, 0.92 * self.lips)
        out = mix(out, np.array([0.10, 0.03, 0.03]), self.mouth_inside)
        out = mix(out, tone * [0.66, 0.56, 0.54], 0.55 * self.crease)
        out = mix(out, 0.25 * hair + 0.02, 0.85 * np.clip(self.lashes, 0, 1))
        return mix(out, 0.75 * hair + 0.02, self.brow(q))

    def brow(self, q: dict[str, float]) -> np.ndarray:
        """How much of the skin is covered by the eyebrows; the parameter makes them thick and dark."""
        strength = float(unit(q["brow"] + 0.3 * q["gender"], 0.7))
        half_width = (0.0021 + 0.0034 * strength) * self.brow_taper
        inside = smoothstep((half_width - np.abs(self.brow_offset)) / 0.0022, -0.7, 0.7)
        return inside * self.brow_ends * (0.55 + 0.37 * strength)


def mix(a: np.ndarray, b: np.ndarray, t: np.ndarray) -> np.ndarray:
    """Blend per vertex: ``a`` (V, 3) towards the colour ``b`` (3,) by ``t`` (V,)."""
    return a + (np.asarray(b, np.float32) - a) * t[:, None].astype(np.float32)


def skin_tone(q: dict[str, float]) -> np.ndarray:
    """Skin colour; the undertone goes from rosy to olive."""
    under = np.tanh(0.6 * q["skin_undertone"])
    return ramp(SKIN_TONES, float(unit(q["skin_tone"], 0.6))) * (1 + under * np.array([0.0, 0.045, -0.06]))


def hair_tone(q: dict[str, float]) -> np.ndarray:
    """Hair colour, darker on average for darker skin."""
    return ramp(
        HAIR_TONES,
        float(unit(q["hair_tone"] - DARK_HAIR_OF_DARK_SKIN * q["skin_tone"] - 0.1, 0.6)),
    )
