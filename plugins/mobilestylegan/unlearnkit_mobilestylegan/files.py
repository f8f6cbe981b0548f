"""The published files of the generator. Imports no torch."""

from __future__ import annotations

from unlearnkit.weights import WeightFile

__all__ = ["FILES", "LICENCE", "MAPPING", "SYNTHESIS"]

LICENCE = ("research only: the package says Apache-2.0, but its network was distilled from NVIDIA's FFHQ network, "
           "whose licence is non-commercial")
_PACKAGE = "random-face==2021.7.21.1"
_WHEEL = "e5d10e2be7df63f06123855ec591ca35dcb1d059eba47ddcb175d7d26b4019b5"


def _file(name: str, purpose: str, size: int, sha256: str) -> WeightFile:
    return WeightFile(
        name=f"mobilestylegan-{name.replace('.', '-').lower()}", purpose=f"generator mobilestylegan ({purpose})",
        file_name=f"random_face_2021_{name}", size=size, sha256=sha256, licence=LICENCE, package=_PACKAGE,
        member=f"random_face/data/{name}", package_sha256=_WHEEL, groups=("photoreal",),
    )


MAPPING = (
    _file("MappingNetwork.xml", "mapping, graph", 59_865,
          "73e2096cad6e696e4af47df2477e048ab4c42c0e0dec83c7c66604822689e55b"),
    _file("MappingNetwork.bin", "mapping, numbers", 8_405_040,
          "212dd716bdb556e18db603ea97300d4fa3c872b878c726b2402fea80820e7305"),
)
SYNTHESIS = (
    _file("SynthesisNetwork.xml", "synthesis, graph", 425_183,
          "7918fce515243954d3e06628cb39a23902d6b1d5d02932cc0c2faee7a2aeeedd"),
    _file("SynthesisNetwork.bin", "synthesis, numbers", 32_025_440,
          "c7da15fa22d508c82e1c30dd6b4cdf67fe3ccdddaf85b310ee764dbf0c289645"),
)
FILES = (*MAPPING, *SYNTHESIS)
