"""The bench: every method on the same people and budgets. ``pytest benchmarks/``, see docs/benchmarks.md."""
