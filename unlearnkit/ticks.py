"""How far long work is: whoever does it ticks, whoever waits for it listens. Imports no torch.

A component that takes longer than a few seconds calls :func:`tick` now and then; without a listener that costs nothing.
A listener may raise :class:`~unlearnkit.errors.Interrupted`, so a tick is also where work can be stopped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

__all__ = ["Listener", "listening", "tick"]

Listener = Callable[[int, int], None]
_listener: ContextVar[Listener | None] = ContextVar("unlearnkit_listener", default=None)


def tick(done: int, total: int) -> None:
    """Say that ``done`` of ``total`` steps are done."""
    listener = _listener.get()
    if listener is not None:
        listener(done, total)


@contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """Context manager in which ``listener`` is called at each tick, instead of one further out."""
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)
