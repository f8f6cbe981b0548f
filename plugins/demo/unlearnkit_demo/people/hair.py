"""Hair: a thick layer on the scalp and a shell behind it that grows with the hair length."""

from __future__ import annotations

import numpy as np

from .eyes import grid_triangles, smoothstep
from .parameters import unit
from .skin import Skin

ROWS, COLUMNS = 36, 56


class Hair:
    """Fields on the template's scalp, and the shell's grid."""

    def __init__(self, skin: Skin) -> None:
        rel = skin.rel
        y, z = rel[:, 1], rel[:, 2]
        # Height of the hair line over depth: forehead, temple, sideburn, behind the ear, nape.
        depth = np.array([-0.10, -0.005, 0.015, 0.030, 0.046, 0.060, 0.080, 0.105, 0.20])
        line = np.array([0.068, 0.064, 0.055, 0.040, 0.005, -0.012, -0.005, -0.055, -0.075])
        smooth = np.linspace(-0.1, 0.2, 121)
        kernel = np.exp(-(np.linspace(-2, 2, 9) ** 2))
        rounded = np.convolve(
            np.pad(np.interp(smooth, depth, line), 4, mode="edge"), kernel / kernel.sum(), "valid"
        )
        self.above = z - np.interp(y, smooth, rounded)
        self.forehead = smoothstep(-y, -0.05, -0.005)
        # Slightly receding corners, so that the hair line is not a straight cut.
        self.corner = np.exp(-(((np.abs(rel[:, 0]) - 0.038) / 0.014) ** 2)) * self.forehead
        near_ear = skin.ears
        for _ in range(3):
            near_ear = np.maximum(near_ear, _spread(skin.triangles, near_ear))
        self.free = 1 - near_ear
        self.top = smoothstep(z, 0.02, 0.10)
        azimuth = np.arctan2(rel[:, 0], 0.09 - y)
        self.streaks = _streaks(azimuth * 1.6 + 0.35 * np.sin(9 * z / 0.1))
        self.back = smoothstep(y, 0.05, 0.12)
        self._shell_grid()

    def _shell_grid(self) -> None:
        t, s = np.meshgrid(np.linspace(0, 1, ROWS), np.linspace(-1, 1, COLUMNS), indexing="ij")
        self.t, self.s = t.ravel(), s.ravel()
        self.shell_triangles = grid_triangles(ROWS, COLUMNS, closed=False)
        self.shell_streaks = _streaks(self.s * 2.6)

    def scalp(self, q: dict[str, float]) -> tuple[np.ndarray, np.ndarray]:
        """Thickness in metres and cover in [0, 1] of the hair on every skin vertex."""
        shift = -0.010 * np.tanh(0.7 * q["hair_line"]) * self.forehead + 0.006 * self.corner
        above = self.above - shift
        volume = unit(q["hair_volume"], 0.6)
        length = unit(q["hair_length"], 0.6)
        full = (0.003 + 0.010 * volume + 0.004 * length) * (1 - self.top) + (
            0.005 + 0.020 * volume
        ) * self.top
        rise = smoothstep(above, -0.002, 0.022)
        cover = smoothstep(above, -0.0025, 0.0035) * self.free
        return full * rise * self.free, cover

    def shell(self, q: dict[str, float], skull: np.ndarray) -> np.ndarray:
        """Vertices of the shell around ``skull`` (half width, front, back, top, ear height of this person).

        Short hair keeps the shell inside the head, so it appears without a jump as the hair gets longer.
        """
        half_width, front, back, top, ear = skull
        length = float(unit(q["hair_length"] - 0.55 * q["gender"], 0.75))
        volume = float(unit(q["hair_volume"], 0.6))
        out = 0.86 + (0.17 + 0.07 * volume) * smoothstep(length, 0.22, 0.62)
        centre_y = 0.45 * front + 0.55 * back
        down = smoothstep(self.t, 0.0, 0.5)
        polar = (0.12 + 0.88 * np.clip(self.t / 0.45, 0, 1)) * (np.pi / 2)
        radial = np.sin(polar)
        bottom = ear - 0.02 - 0.135 * smoothstep(length, 0.15, 1.0)
        over = np.clip((self.t - 0.45) / 0.55, 0, 1)
        z = np.where(
            self.t < 0.45, ear + (top - ear) * min(out, 0.955) * np.cos(polar), ear + (bottom - ear) * over
        )
        reach = np.deg2rad(
            76 + (28 + 22 * smoothstep(length, 0.3, 0.9)) * down
        )  # how far around the side the shell comes, from the back
        angle = self.s * reach
        tuck = 1 - 0.10 * np.abs(self.s) ** 6  # edges bend in towards the head
        flare = 1 + 0.10 * np.sin(over * 2.2) - 0.10 * over**3
        x = half_width * out * radial * np.sin(angle) * tuck * flare
        y = centre_y + (back - centre_y) * out * radial * np.cos(angle) * tuck * (1 - 0.12 * over)
        return np.stack([x, y, z], axis=1)


def _streaks(angle: np.ndarray) -> np.ndarray:
    """Soft irregular strands over an angle, about -1 to 1; fixed, so pictures stay smooth in p."""
    waves = ((9, 0.3, 0.35), (17, 1.7, 0.3), (29, 4.1, 0.25), (43, 2.2, 0.15))
    return np.sum([size * np.sin(k * angle + phase) for k, phase, size in waves], axis=0)


def _spread(triangles: np.ndarray, values: np.ndarray) -> np.ndarray:
    out = values.copy()
    highest = values[triangles].max(1) * 0.8
    for corner in triangles.T:
        np.maximum.at(out, corner, highest)
    return out
