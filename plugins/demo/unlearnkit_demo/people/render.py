"""Pictures of synthetic people from their parameters (VTK off screen, one window reused)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .body import Body
from .camera import Camera, aligned_camera
from .eyes import Eyes
from .hair import Hair
from .occlusion import ambient_occlusion
from .parameters import NUM_PARAMETERS, PARAMETER_NAMES
from .raster import Raster
from .shading import Light, irradiance, make_light, shine, strand_shine
from .shirt import Shirt
from .skin import Skin, hair_tone
from .surface import Normals

SKIN_WRAP = np.array([0.50, 0.34, 0.28], np.float32)
PLAIN_WRAP = np.array([0.3, 0.3, 0.3], np.float32)
BATCH = 32
Person = dict[str, float]  # one person's parameters by name
Part = tuple[np.ndarray, np.ndarray]  # vertices and linear colours


@dataclass(frozen=True)
class Head:
    """A posed head: coarse and fine surface, eyeballs, and the points between the eyes and on the upper lip."""

    coarse: np.ndarray
    eyes: np.ndarray
    points: np.ndarray
    normals: np.ndarray
    eye_radius: float
    middle: np.ndarray
    mouth: np.ndarray


class PeopleRenderer:
    """Draws people: ``render(p)`` with ``p`` (N, NUM_PARAMETERS) gives uint8 pictures (N, size, size, 3)."""

    def __init__(self, size: int = 128, oversampling: int = 2) -> None:
        self.size = size
        self.body, self.eyes = Body(), Eyes()
        self.skin = Skin(self.body)
        self.hair, self.shirt = Hair(self.skin), Shirt()
        self._shell_normals = Normals(self.hair.shell_triangles, len(self.hair.t))
        self._skin_normals = Normals(self.skin.triangles, len(self.skin.template))
        parts = [
            (self.skin.triangles, len(self.skin.template)),
            (self.eyes.triangles, len(self.eyes.unit)),
            (self.hair.shell_triangles, len(self.hair.t)),
            (self.shirt.triangles, len(self.shirt.unit)),
        ]
        starts = np.cumsum([0] + [count for _, count in parts])
        triangles = np.concatenate([part + start for (part, _), start in zip(parts, starts, strict=False)])
        self.raster = Raster(triangles, int(starts[-1]), size, oversampling)
        self._find_landmarks()
        self.occlusion = ambient_occlusion(
            self.skin.template, self.skin.template_normals(), self.skin.triangles
        )

    def _find_landmarks(self) -> None:
        skin, rel = self.skin, self.skin.rel
        self._upper_lip = np.flatnonzero((skin.lips > 0.5) & (np.abs(rel[:, 0]) < 0.006))
        scalp = (self.hair.above > 0.01) & (skin.ears < 0.1)
        self._scalp = np.flatnonzero(scalp)
        self._ear = np.flatnonzero(skin.ears > 0.5)
        template = self.body.template()
        spread = np.linalg.norm(template.vertices[0][skin.eyeball] - template.eyes[0, 0], axis=1)
        self._eye_radius_ratio = 0.0152 / spread.mean()

    def render(self, p: np.ndarray) -> np.ndarray:
        """Pictures (N, size, size, 3), uint8, of ``p`` (N, NUM_PARAMETERS)."""
        p = np.atleast_2d(np.asarray(p, np.float64))
        if p.shape[1] != NUM_PARAMETERS:
            raise ValueError(f"p has {p.shape[1]} columns, expected {NUM_PARAMETERS}")
        out = np.empty((len(p), self.size, self.size, 3), np.uint8)
        for start in range(0, len(p), BATCH):
            heads = self.body.pose(p[start : start + BATCH])
            for i, (vertices, eyes) in enumerate(zip(heads.vertices, heads.eyes, strict=True)):
                out[start + i] = self._one(
                    dict(zip(PARAMETER_NAMES, p[start + i], strict=True)), vertices, eyes
                )
        return out

    def _one(self, q: dict[str, float], coarse: np.ndarray, eyes: np.ndarray) -> np.ndarray:
        head = self.landmarks(coarse, eyes)
        camera = aligned_camera(
            head.middle, head.mouth, np.deg2rad(18) * np.tanh(0.7 * q["yaw"]),
            np.deg2rad(8) * np.tanh(0.7 * q["pitch"])
        )
        points, colours = self.scene(q, head, camera)
        return self.raster.draw(points, colours, camera, background(q))

    def landmarks(self, coarse: np.ndarray, eyes: np.ndarray) -> Head:
        """A posed head's fine surface and the points that cameras are placed by."""
        points, normals = self.skin.refine(coarse)
        radius = np.linalg.norm(coarse[self.skin.eyeball] - eyes[0], axis=1).mean() * self._eye_radius_ratio
        middle = eyes.mean(0) - np.array([0, radius, 0])
        return Head(coarse, eyes, points, normals, radius, middle, points[self._upper_lip].mean(0))

    def scene(self, q: Person, head: Head, camera: Camera) -> Part:
        """Everything there is to see, lit and coloured (sRGB) for somebody at ``camera``, whom the eyes follow."""
        coarse, eyes, points, normals, radius = head.coarse, head.eyes, head.points, head.normals, head.eye_radius
        light = make_light(
            0.7 * np.tanh(0.7 * q["light_azimuth"]), 0.5 + 0.3 * np.tanh(0.7 * q["light_height"]), camera.back
        )
        skin = self._skin(q, points, normals, light)
        skull = _skull(skin[0], self._scalp, self._ear, coarse[self.skin.kept, 1].max())
        neck = coarse[self.skin.neck].mean(0)
        parts = [
            skin,
            self._eyes(q, eyes, radius, light, camera),
            self._shell(q, skull, light),
            self._shirt(q, neck, light),
        ]
        colours = np.sqrt(np.clip(np.concatenate([c for _, c in parts]), 0, 1))
        return np.concatenate([v for v, _ in parts]), colours

    def _skin(self, q: Person, points: np.ndarray, normals: np.ndarray, light: Light) -> Part:
        """The head, its scalp raised by the hair on it."""
        hair = hair_tone(q)
        thickness, cover = self.hair.scalp(q)
        points = points + normals * thickness[:, None].astype(np.float32)
        if thickness.max() > 0:
            normals = normals + (self._skin_normals(points) - normals) * cover[:, None].astype(np.float32)
        streaky = hair * (1 + 0.22 * self.hair.streaks)[:, None]
        albedo = self.skin.albedo(q, hair)
        albedo = (albedo + (streaky - albedo) * cover[:, None]).astype(np.float32) ** 2
        covered = cover[:, None].astype(np.float32)
        occlusion = self.occlusion[:, None] * (1 - covered) + covered * (
            0.55 + 0.45 * self.occlusion[:, None]
        )
        lit = albedo * irradiance(normals, light, occlusion, SKIN_WRAP)
        gloss = (
            shine(normals, light, 22) * (0.035 + 0.06 * self.skin.lips[:, None]) * occlusion * (1 - covered)
        )
        strands = strand_shine(normals, light, 24) * covered * (hair**2 * 0.55 + 0.02)
        return points, lit + gloss + strands

    def _eyes(self, q: Person, centres: np.ndarray, radius: float, light: Light, camera: Camera) -> Part:
        """Eyes that look most of the way to the camera."""
        gaze = 0.75 * camera.back + 0.25 * np.array([0.0, -1.0, 0.0])
        points, normals = self.eyes.place(centres, radius, gaze / np.linalg.norm(gaze))
        albedo = self.eyes.albedo(q["eye_colour"] - 0.7 * q["skin_tone"]) ** 2
        lit = albedo * irradiance(normals, light, 0.85, PLAIN_WRAP) * self.eyes.lid_shadow()
        return points, lit + self.eyes.highlight(-np.tanh(q["light_azimuth"]))

    def _shell(self, q: Person, skull: np.ndarray, light: Light) -> Part:
        points = self.hair.shell(q, skull)
        normals = self._shell_normals(points)
        normals = normals * np.sign((normals * (points - points.mean(0))).sum())  # outwards
        hair = hair_tone(q)
        albedo = (hair * (0.95 + 0.22 * self.hair.shell_streaks)[:, None]) ** 2
        lit = albedo * irradiance(normals, light, 0.8, PLAIN_WRAP)
        return points, lit + strand_shine(normals, light, 24) * (hair**2 * 0.5 + 0.015)

    def _shirt(self, q: Person, neck: np.ndarray, light: Light) -> Part:
        points, normals = self.shirt.place(neck)
        return points, self.shirt.albedo(q) ** 2 * irradiance(normals, light, 0.8, PLAIN_WRAP)


def background(q: dict[str, float]) -> np.ndarray:
    """A plain soft backdrop (sRGB)."""
    warm, green = np.tanh(0.7 * q["background_warmth"]), np.tanh(0.7 * q["background_green"])
    grey = 0.60 + 0.20 * np.tanh(0.7 * q["background_brightness"])
    return grey + warm * np.array([0.07, 0.0, -0.07]) + green * np.array([-0.03, 0.05, -0.02])


def _skull(points: np.ndarray, scalp: np.ndarray, ear: np.ndarray, back: float) -> np.ndarray:
    """Half width, front, back, top and ear height of the hairy part of a head."""
    on = points[scalp]
    return np.array(
        [np.abs(on[:, 0]).max(), on[:, 1].min(), back + 0.008, on[:, 2].max(), points[ear, 2].mean()]
    )
