"""The abstract class of launchers, which start work on one machine or many."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path

import attrs
import torch

from unlearnkit.errors import ConfigError
from unlearnkit.interfaces.components import Component
from unlearnkit.options import option
from unlearnkit.work import Ended, Work

__all__ = ["Launcher"]


def _whole(_: object, __: object, gpus: float) -> None:
    if gpus > 1 and gpus != int(gpus):
        raise ConfigError(f"gpus: got {gpus:g}, expected a whole number, or a part of one GPU")


@attrs.define(eq=False)
class Launcher(Component):
    """Starts work (processes) wherever there is room for it. Its options say what each piece of work needs."""

    cpus: int = option(1, ge=1, le=4096, help="cores for each job, and its threads")
    gpus: float = option(0.0, ge=0, le=1024, validator=_whole, help="GPUs for each job; a half lets two share one")
    memory: float | None = option(None, gt=0, unit="GB", help="memory for each job; by default it is not counted")
    retries: int = option(2, ge=0, le=100, help="how often a job is started again after it, or its machine, was lost")

    def prepare(self, device: torch.device) -> None:
        """Nothing is loaded: a launcher whose :meth:`check` passes is ready."""
        self.check()

    @abstractmethod
    def launch(self, works: Sequence[Work], folder: Path) -> Iterator[Ended]:
        """Start every piece of work once, and yield each as it ends, in any order, however it ends.

        ``work.run()`` does one, in whatever process calls it; with ``stop``, or an exception in its thread, it asks
        that process to save and end. A machine that is lost is a reason to start the work elsewhere, up to ``retries``
        times, then an ``Ended`` whose code is None. Closing the iterator stops what runs. All machines see ``folder``;
        what the launcher must note lies there.
        """
