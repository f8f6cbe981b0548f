"""The pair loop and its use of the machine: memory, threads, precision, CUDA graphs."""

from unlearnkit.engine.loop import PairLoop, accumulate, backward, freeze, micro_batch_size

__all__ = ["PairLoop", "accumulate", "backward", "freeze", "micro_batch_size"]
