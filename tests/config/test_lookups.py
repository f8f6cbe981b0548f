"""Settings are records: what is left of string look-ups in them is counted, and may only become fewer."""

from __future__ import annotations

import ast
from pathlib import Path

ROOT = Path(__file__).parents[2]
EDGES = {
    # Where settings are still tables, as the user wrote them or as a file holds them.
    "unlearnkit/config/resolve.py", "unlearnkit/config/tables.py", "unlearnkit/config/settings.py",
    # What finished runs and results of other computers hold, read without the components that they name.
    "unlearnkit/results/runs.py", "unlearnkit/results/rows.py", "unlearnkit/results/notes.py",
    "unlearnkit/certificates/account.py", "unlearnkit/certificates/collect.py",
}
NAMES = {"settings", "config", "table"}
ALLOWED = 4
"""Look-ups outside the edges; 83 before settings became records. Lower it when it falls."""


def lookups(path: Path) -> list[int]:
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant):
            owner, key = node.value, node.slice
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "get":
            owner, key = node.func.value, node.args[0] if node.args else None
        else:
            continue
        if not isinstance(key, ast.Constant) or not isinstance(key.value, str):
            continue
        name = owner.attr if isinstance(owner, ast.Attribute) else owner.id if isinstance(owner, ast.Name) else ""
        if name in NAMES:
            found.append(node.lineno)
    return sorted(found)


def test_string_lookups_of_settings_do_not_come_back() -> None:
    files = [path for path in (ROOT / "unlearnkit").rglob("*.py") if str(path.relative_to(ROOT)) not in EDGES]
    found = [f"{path.relative_to(ROOT)}:{line}" for path in files for line in lookups(path)]
    assert len(found) <= ALLOWED, f"{len(found)} look-ups of settings by a string: {found}"


def test_the_count_counts(tmp_path: Path) -> None:
    source = tmp_path / "a.py"
    source.write_text("settings['a']['b']\nrun.config.get('x')\nother['c']\nsettings[name]\nself.table['d']\n")
    assert lookups(source) == [1, 2, 5]
