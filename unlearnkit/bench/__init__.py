"""The bench: every method on the same people, generators and budgets. ``unlearnkit bench``, see docs/benchmarks.md.

``profiles`` says how much is done, ``scenarios`` on whom, ``cases`` lists what is run, ``running`` runs one case,
``plan`` all of them, ``tuning`` finds settings for a method. What comes out is read by :mod:`unlearnkit.results`.
"""
