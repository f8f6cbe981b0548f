"""A Ray cluster. Imports Ray only where it is used."""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import attrs

from unlearnkit.errors import PluginError, one_line
from unlearnkit.interfaces import Launcher
from unlearnkit.launchers.tasks import do
from unlearnkit.options import option
from unlearnkit.work import Ended, Work

__all__ = ["Ray"]

_AHEAD = 1000
"""Tasks that Ray knows of at once: enough for any cluster to be busy, few enough to be looked through quickly."""

_GRACE = 60.0
"""Seconds in which jobs may save after they were asked to stop."""


@attrs.define(eq=False)
class Ray(Launcher):
    """Tasks of a Ray cluster, which finds room for each, and another node where one is lost."""

    address: str | None = option(None, help="the cluster: auto (this machine's) or HOST:PORT; by default RAY_ADDRESS, "
                                 "else Ray is started on this machine alone")

    def check(self) -> None:
        """Check that Ray is installed.

        :raises PluginError: if not.
        """
        if importlib.util.find_spec("ray") is None:
            raise PluginError("launcher ray needs Ray: pip install 'unlearnkit[ray]'")

    def launch(self, works: Sequence[Work], folder: Path) -> Iterator[Ended]:
        """Hand tasks to the cluster as long as there are some.

        :raises PluginError: if no cluster answers.
        """
        with self._cluster() as ray:
            task = ray.remote(do).options(
                num_cpus=self.cpus, num_gpus=self.gpus, max_retries=self.retries,
                **({} if self.memory is None else {"memory": int(self.memory * 1e9)}),
            )
            running: dict[Any, Work] = {}
            waiting = iter(works)
            try:
                while True:
                    while len(running) < _AHEAD and (work := next(waiting, None)) is not None:
                        running[task.remote(work)] = work
                    if not running:
                        return
                    (ready,), _ = ray.wait(list(running))
                    yield _ended(ray, ready, running.pop(ready), self.retries)
            finally:
                for left in running:
                    ray.cancel(left)  # KeyboardInterrupt there: its process saves and ends
                if running:
                    ray.wait(list(running), num_returns=len(running), timeout=_GRACE)

    @contextlib.contextmanager
    def _cluster(self) -> Iterator[Any]:
        # Nothing about whose faces are erased, or that any are, goes to anybody.
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        import ray

        try:
            ray.init(self.address, log_to_driver=False, logging_level=logging.ERROR)
        except Exception as error:  # Ray raises whatever its parts do
            raise PluginError(f"no Ray cluster at {self.address or os.environ.get('RAY_ADDRESS') or 'this machine'}: "
                              f"{one_line(error)}; start one with 'ray start --head', or leave launcher.address out") \
                from error
        try:
            yield ray
        finally:
            ray.shutdown()


def _ended(ray: Any, ready: Any, work: Work, retries: int) -> Ended:
    try:
        found: Ended = ray.get(ready)
    except ray.exceptions.RayError as error:
        return Ended(work.name, None, f"its worker or node was lost {retries + 1} times: {one_line(error)[:300]}")
    return found
