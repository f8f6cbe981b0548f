"""Results of the benchmark: validated records, statistics over people, and pages to compare methods on.

Reads and writes no run directory: one result is one case, and ``benchmarks/`` makes them. Imports no torch.
"""

from unlearnkit.results.files import Found, merge_results, read_results, write_result
from unlearnkit.results.schema import Attempted, Budget, Hardware, Result
from unlearnkit.results.statistics import Group, compare

__all__ = [
    "Attempted", "Budget", "Found", "Group", "Hardware", "Result", "compare", "merge_results", "read_results",
    "write_result",
]
