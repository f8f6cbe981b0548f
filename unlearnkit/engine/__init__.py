"""The pair loop and how it uses the machine: memory, threads, precision, recorded steps."""

from unlearnkit.engine.loop import PairLoop, accumulate, backward, freeze, micro_batch_size

__all__ = ["PairLoop", "accumulate", "backward", "freeze", "micro_batch_size"]
