"""The most memory that a phase takes. Linux can set its high-water mark back; elsewhere the whole process counts."""

from __future__ import annotations

import ctypes
import gc
from pathlib import Path

import torch

from unlearnkit.runs.manifest import peak_memory

__all__ = ["PeakMemory"]

_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


class PeakMemory:
    """``with PeakMemory(device) as peak: ...``; then ``peak.bytes``, and ``peak.source`` says what that counts.

    On the CPU it is the memory of the whole process, networks and libraries too, at its highest in this phase.
    """

    def __init__(self, device: torch.device) -> None:
        self.bytes: int | None = None
        self.source = ""
        self._cuda = device.type == "cuda"
        self._reset = False

    def __enter__(self) -> PeakMemory:
        gc.collect()
        if self._cuda:
            torch.cuda.reset_peak_memory_stats()
            return self
        try:
            ctypes.CDLL(None).malloc_trim(0)  # what earlier cases freed is not this one's
            _CLEAR.write_text("5")
            self._reset = True
        except (OSError, AttributeError):
            self._reset = False
        return self

    def __exit__(self, *_: object) -> None:
        if self._cuda:
            self.bytes, self.source = int(torch.cuda.max_memory_allocated()), "torch.cuda, of the phase"
        elif self._reset:
            line = next(line for line in _STATUS.read_text().splitlines() if line.startswith("VmHWM:"))
            self.bytes, self.source = int(line.split()[1]) * 1024, "VmHWM of the process, set back before the phase"
        else:
            self.bytes = peak_memory().get("peak_bytes")
            self.source = "ru_maxrss of the process since it started: an upper bound"
