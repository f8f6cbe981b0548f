"""Which unlearnkit is tested: the installed one. A checkout on the path would shadow it: without native kernels, and
with the half of its plugins that happens to be importable. Imports nothing of unlearnkit before that is settled.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import sys
from pathlib import Path

__all__ = ["ROOT", "use_installed"]

ROOT = Path(__file__).resolve().parents[1]


def use_installed() -> str:
    """Take the checkout off the path, unless it is installed editable; gives the folder of what is tested.

    :raises RuntimeError: in words for the user, if no unlearnkit is installed or the checkout's is loaded already.
    """
    if not _is_editable():
        sys.path[:] = [entry for entry in sys.path if Path(entry or ".").resolve() != ROOT]
        importlib.invalidate_caches()
    loaded = sys.modules.get("unlearnkit")
    spec = importlib.util.find_spec("unlearnkit") if loaded is None else loaded.__spec__
    if spec is None or spec.origin is None:
        raise RuntimeError("unlearnkit is not installed, and the bench tests what is installed: pip install '.[test]'")
    if Path(spec.origin).resolve().is_relative_to(ROOT / "unlearnkit") and not _is_editable():
        raise RuntimeError(f"this would test the checkout {ROOT}, not the unlearnkit that is installed; start Python "
                           "elsewhere or without PYTHONPATH, or install the checkout: pip install -e '.[test]'")
    return str(Path(spec.origin).parent)


def _is_editable() -> bool:
    """True if the installed unlearnkit is this very checkout (``pip install -e``)."""
    for distribution in importlib.metadata.distributions(name="unlearnkit"):
        origin = json.loads(distribution.read_text("direct_url.json") or "{}")
        if origin.get("dir_info", {}).get("editable") and origin["url"] == ROOT.as_uri():
            return True
    return False
