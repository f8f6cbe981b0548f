"""The bench: every method on the same people, generators and budgets. ``unlearnkit bench``, see docs/benchmarks.md.

``profiles`` says how much is done, ``scenarios`` on whom (``drawn`` draws those that do not ship), ``cases`` lists what
is run, ``running`` runs one case, ``remembering`` what many have in common, ``plan`` all of them, ``tuning`` finds
settings for a method. What comes out is read by :mod:`unlearnkit.results`.
"""
