"""Results to compare: validated records, statistics over people, tables and pages.

One result is one case of the bench, which writes it, or one ordinary run, which is only read. Imports no torch.
"""

from unlearnkit.results.files import Found, merge_results, read_results, write_result
from unlearnkit.results.schema import AttackResult, Budget, Hardware, Result
from unlearnkit.results.statistics import Group, compare

__all__ = [
    "AttackResult", "Budget", "Found", "Group", "Hardware", "Result", "compare", "merge_results", "read_results",
    "write_result",
]
