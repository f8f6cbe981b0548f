"""What is offered for generators of photographs where the user names no encoders. Imports no torch."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from unlearnkit.weights import present
from unlearnkit_faces.files import DLIB, MOBILEFACENET

__all__ = ["offers"]

PHOTOGRAPHIC = re.compile(r"ffhq|celeba", re.IGNORECASE)
"""What a file of StyleGAN2 or EG3D is called that draws photographs; their generators judge by the same words."""
JUDGES = ("dlib", "mobilefacenet", "sface")
"""From the most to the least independent: dlib has no gradient that anything could follow."""


def offers(settings: Mapping[str, Any]) -> dict[str, str] | None:
    """Encoders for a generator of photographs: losses use `sface`, and the judge is one that can run here.

    That is `dlib` where its package and file are, else `mobilefacenet` where its file is; without either `dlib` again,
    whose message says how to get it. Never the encoder that the losses use. None for other generators.
    """
    generator = settings.get("generator", {})
    file = Path(str(generator.get("checkpoint") or "")).name
    if generator.get("name") != "mobilestylegan" and not PHOTOGRAPHIC.search(file):
        return None
    used = settings.get("identity", {}).get("name") or "sface"
    judges = [judge for judge in JUDGES if judge != used]
    judge = next((judge for judge in judges if _is_ready(judge)), judges[0])
    return {"identity.name": "sface", "judge.name": judge, "perceptual.name": "st-lpips"}


def _is_ready(judge: str) -> bool:
    if judge == "dlib":
        return importlib.util.find_spec("dlib") is not None and present(DLIB) is not None
    return judge == "mobilefacenet" and present(MOBILEFACENET) is not None
