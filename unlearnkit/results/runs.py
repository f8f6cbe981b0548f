"""An ordinary run directory as a result, so that runs and cases of the bench compare alike. Imports no torch."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unlearnkit.errors import ConfigError, RunError
from unlearnkit.options.names import slugs
from unlearnkit.report.numbers import NUMBERS_FILE
from unlearnkit.results.schema import CHECKPOINT, FORMAT, PICTURES, RUN, Result, from_plain
from unlearnkit.runs import Run

if TYPE_CHECKING:
    from unlearnkit.config import PersonSettings, RequestSettings

__all__ = ["SCENARIO", "is_run", "read_run"]

SCENARIO = "runs"
"""Scenario of every ordinary run: what is in common among the people is that somebody chose to erase them."""
_AUDIT = re.compile(r"audit(?:-(\d+))?\.json")
_NUMBERS = ("speedup", "best", "share_recognised", "effort_to_recognise")
Table = Mapping[str, Any]


def is_run(path: Path) -> bool:
    """True for a folder that ``unlearnkit run`` made."""
    return (path / "manifest.json").is_file()


def read_run(path: Path) -> Result:
    """The result of a run; one that is not finished is a result with an error, which the table names.

    :raises RunError: naming the run or file that is damaged.
    """
    run = Run.open(path)
    manifest, settings, chosen = run.manifest, run.config, run.chosen
    if not {"method", "generator"} <= chosen.keys():
        raise RunError(f"{path / 'config.toml'} names no method and generator; give a folder of 'unlearnkit run'")
    table: dict[str, Any] = {
        "profile": RUN, "method": chosen["method"], "generator": chosen["generator"], "scenario": SCENARIO,
        "seed": settings.get("seed", 0), "settings": settings, "format": FORMAT,
    }
    try:
        table |= {"identity": _identity(run.request, manifest), **_conditions(settings, manifest)}
        if manifest["status"] == "finished":
            table |= _found(run, manifest)
        else:
            table["error"] = f"{path} is {manifest['status']}; continue it with: unlearnkit run --resume {path}"
    except ConfigError as error:
        raise RunError(f"{path / 'config.toml'} is damaged: {error}; restore it, or leave it out") from error
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise RunError(f"{path} is damaged ({error!r}); restore it, or leave it out") from error
    return from_plain(table, str(path))


def _conditions(settings: Table, manifest: Table) -> dict[str, Any]:
    steps = manifest.get("steps") or _table(settings.get("method")).get("steps")
    checkpoint = _checkpoint(manifest)
    return {
        "budget": {"steps": steps, "tuning_trials": 0, "samples": _table(settings.get("metrics")).get("samples", 2)},
        "versions": {**manifest["plugins"], **manifest["versions"], **({CHECKPOINT: checkpoint} if checkpoint else {})},
        "hardware": {"cpu": manifest.get("cpu", ""), "threads": manifest.get("threads", 1),
                     "platform": manifest.get("platform", ""), "device": str(manifest.get("device", "")),
                     "kernels": manifest.get("kernels", ""), "instructions": manifest.get("instructions", "")},
    }


def _found(run: Run, manifest: Table) -> dict[str, Any]:
    metrics = {name: value for name, value in _table(run.read_json("metrics.json")).items() if _is_number(value)}
    gpu = manifest["memory"].get("cuda_peak_bytes")  # only where torch used a GPU
    peak = manifest["memory"].get("peak_bytes") if gpu is None else gpu
    return {
        "metrics": {name: value for name, value in metrics.items() if not name.startswith("n_")},
        "samples": {name.removeprefix("n_"): int(value) for name, value in metrics.items()
                    if name.startswith("n_") and value is not None},
        "numbers": _table(run.read_json(NUMBERS_FILE)),
        "audit": _audit(run), "pictures": _pictures(run), "peak_bytes": None if peak is None else int(peak),
        "peak_source": f"{'of the process' if gpu is None else 'of torch on the GPU'}, over the whole run",
        "seconds": {name: value for name, value in manifest["timings"].items() if _is_number(value)},
    }


# ---------------------------------------------------------------- who was erased

def _identity(request: RequestSettings, manifest: Table) -> str:
    """The people's names and a short hash of what was erased: one person in two runs has one identity."""
    names = "-".join(slugs(request.names))[:40].strip("_-")
    erased = sorted("|".join(_erased(person, request.erase, manifest)) for person in request.erased)
    return f"{names}-{hashlib.sha256(chr(10).join(erased).encode()).hexdigest()[:6]}"


def _erased(person: PersonSettings, count: int, manifest: Table) -> list[str]:
    """The pictures that were erased, or the latent, or the checkpoint and the seed that drew it.

    They are known by their paths: their hashes are made with a key of each run, lest a result say which photo it was.
    Older runs noted hashes that can be compared.
    """
    inputs = {} if manifest.get("inputs_keyed") else manifest["inputs"]
    if person.images:
        return [str(inputs.get(str(path), path)) for path in person.images[:count]]
    if person.latent is not None:
        return [str(inputs.get(str(person.latent), person.latent))]
    return [_checkpoint(manifest), f"seed {person.latent_seed}"]


def _checkpoint(manifest: Table) -> str:
    return str(_table(manifest.get("base")).get("sha256", ""))[:12]


# ---------------------------------------------------------------- what came of it

def _audit(run: Run) -> dict[str, Any] | None:
    """The latest audit: of each attack, the person whom it brought back best."""
    names = [name for name in (path.name for path in run.path.glob("audit*.json")) if _AUDIT.fullmatch(name)]
    if not names:
        return None
    latest = max(names, key=lambda name: int((_AUDIT.fullmatch(name) or [None, 1])[1] or 1))
    try:
        attacks: dict[str, list[Table]] = {}
        for result in run.read_json(latest)["results"]:
            attacks.setdefault(str(result["attack"]), []).append(result)
        return {name: _attack(min(found, key=_rank)) for name, found in attacks.items()}
    except (KeyError, TypeError, AttributeError) as error:
        raise RunError(f"{run.path / latest} is damaged ({error!r}); remove it and audit again") from error


def _rank(result: Table) -> tuple[float, float]:
    effort, best = result["effort_to_recognise"], result["best"]
    return (float("inf") if effort is None else effort), -best


def _attack(result: Table) -> dict[str, Any]:
    control = result["control"]
    numbers = {name: result.get(name) for name in _NUMBERS}
    numbers |= {"control_best": result.get(control["kind"]), "control_effort": control["effort_to_recognise"]}
    if found := result.get("identified"):
        numbers |= {"place": float(found["rank"]), "candidates": float(found["candidates"])}
    return {"unit": result["unit"], "budget": result["budget"], "numbers": numbers, "curve": result["curve"]}


def _pictures(run: Run) -> dict[str, str]:
    """PNG files of the first erased latent by what they show; an index that says something else has none."""
    index = run.read_json("images/index.json")
    entries = [_table(entry) for entry in index] if isinstance(index, list) else []
    erased = [entry for entry in entries if entry.get("group") == "erased"]
    first = [entry for entry in erased if (entry.get("person"), entry.get("index")) ==
             (erased[0].get("person"), erased[0].get("index"))]
    return {entry["role"]: entry["file"] for entry in first if entry.get("role") in PICTURES and "file" in entry}


def _table(value: Any) -> Table:
    return value if isinstance(value, dict) else {}


def _is_number(value: Any) -> bool:
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))
