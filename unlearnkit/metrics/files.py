"""The weight files that metrics read. Imports no torch."""

from __future__ import annotations

from unlearnkit.weights import WeightFile

__all__ = ["INCEPTION"]

INCEPTION = WeightFile(
    name="fid",
    purpose="metric fid (Inception-v3)",
    file_name="pt_inception-2015-12-05-6726825d.pth",
    size=95_600_000,
    sha256="6726825d",
    licence="Apache-2.0",
    url="https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/pt_inception-2015-12-05-6726825d.pth",
    setting="--set metric.fid.weights=FILE",
)
