"""``report.html``: one page that holds everything, made from the run directory alone."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
from markupsafe import Markup

from unlearnkit.files import atomic
from unlearnkit.options.domains import PHOTOGRAPHS
from unlearnkit.report.audits import read_audits
from unlearnkit.report.curves import loss_curves
from unlearnkit.report.earlier import earlier_people
from unlearnkit.report.numbers import (
    NUMBERS_FILE,
    by_metric,
    bytes_text,
    lines,
    read_declared,
    seconds_text,
    slugs_of_several,
)
from unlearnkit.report.of_run import run_metrics, run_verdict
from unlearnkit.report.pictures import ROLES, load_images
from unlearnkit.report.template import fill
from unlearnkit.report.verdict import levels
from unlearnkit.report.worlds import drawn_domain

if TYPE_CHECKING:
    from unlearnkit.runs import Run

__all__ = ["write_report"]

_TITLES = {
    "others": ("Other pictures of the same person", "Nobody erased these one by one: they should go along."),
    "earlier": ("Erased earlier", "People whom earlier edits erased: in the checkpoint, before this run, and now."),
    "shape": ("Shape", "Depth from the front, near is bright: other people should keep theirs."),
    "bystanders": ("Bystanders", "They should stay exactly who they are."),
    "neighbours": ("Neighbours", "Faces right around the erased one: the likeness should fade here too."),
    "random": ("Random people", "Anybody else that the generator makes: they should not change."),
}
_ROWS = {"erased": "The erased person", "others": "Their other pictures", "bystanders": "Bystanders"}


@attrs.define
class Card:
    """One latent: its pictures by role, in the order in which they are shown.

    ``beyond``: its similarity lies on the wrong side of the border.
    """

    person: str
    index: int
    pictures: list[dict[str, Any]]
    beyond: bool = False

    @property
    def similarity(self) -> float | None:
        """The similarity that is noted with the picture after."""
        return next((p["similarity"] for p in self.pictures if p["role"] == "after"), None)


def write_report(run: Run) -> Path:
    """Write ``report.html`` into the run directory and return its path.

    Reads only that directory. The page needs nothing from outside: pictures are inside, no script runs.
    """
    return run.write_text("report.html", fill(Path(__file__).with_name("report.html"), **_context(run)))


def _context(run: Run) -> dict[str, Any]:
    from unlearnkit.report.turn import load_turns  # brings torch, which nothing else here needs

    metrics = run_metrics(run)
    manifest = run.manifest
    people = run.request.names
    declared = read_declared(run.read_json(NUMBERS_FILE), str(run.path / NUMBERS_FILE))
    cards = _cards(run)
    others = [name for name in _TITLES if name in cards]
    erased = cards.get("erased", [])
    log = run.read_log()
    curves = loss_curves(log)
    return {
        "name": manifest.get("name") or run.path.name,
        "status": manifest["status"],
        "steps": len(log),
        "people": _join([card.person for card in erased]),
        "verdict": run_verdict(run),
        "audits": [name.replace(".json", ".html") for name in read_audits(run)],
        "scale": _scale(metrics, manifest, people),
        "erased": erased,
        "repeated": _repeated(erased),
        "groups": [(_TITLES[name][0], _note(run, name), cards[name], _repeated(cards[name])) for name in others],
        "turns": [{**turn, "data": _data_uri(run.path / turn["file"], "gif")} for turn in load_turns(run)],
        "numbers": by_metric(lines(metrics, declared)),
        # Drawn by matplotlib, which escapes what it writes.
        "curves": None if curves is None else Markup(curves),
        "settings": _dotted(run.config),
        "facts": _facts(manifest),
        "hashes": [*_plain_hashes(manifest), *_chain(manifest)],
    }


def _note(run: Run, group: str) -> str:
    """What a group of pictures is about; only pictures that somebody gave, in the world of photographs, are real."""
    if group == "bystanders" and run.request.bystanders and drawn_domain(run.manifest) == PHOTOGRAPHS:
        return "Other people, those with a picture real ones: they should stay exactly who they are."
    return _TITLES[group][1]


def _cards(run: Run) -> dict[str, list[Card]]:
    """Pictures by group, in the order of the index; one card a latent."""
    groups: dict[str, dict[tuple[str, int], Card]] = {}
    for entry in load_images(run):
        group = groups.setdefault(entry["group"], {})
        card = group.setdefault((entry["person"], entry["index"]), Card(entry["person"], entry["index"], []))
        card.pictures.append({**entry, "data": _data_uri(run.path / entry["file"])})
    for group in groups.values():
        for card in group.values():
            card.pictures.sort(key=lambda picture: ROLES.index(picture["role"]))
    border = levels(run_metrics(run)).border
    found = {name: list(group.values()) for name, group in groups.items()}
    for name, good in (("others", False), ("bystanders", True)):
        for card in found.get(name, []):
            card.beyond = _beyond(card.similarity, border, good)
        found.get(name, []).sort(key=lambda card: _worse(card.similarity, good), reverse=True)
    return found


def _repeated(cards: list[Card]) -> set[str]:
    """People with more than one card, whose cards need a number."""
    names = [card.person for card in cards]
    return {name for name in names if names.count(name) > 1}


def _data_uri(path: Path, kind: str = "png") -> str:
    with atomic.plain_errors("read", path):
        return f"data:image/{kind};base64," + base64.b64encode(path.read_bytes()).decode()


def _scale(
    metrics: Mapping[str, float | None], manifest: Mapping[str, Any], people: Sequence[str]
) -> dict[str, Any]:
    """The rows of the scale of similarities; ``at`` says where on its line one lies, in per cent."""
    marks = levels(metrics)
    rows: list[dict[str, Any]] = []
    for group, title in _ROWS.items():
        title += ", mean" if (metrics.get(f"n_{group}") or 0) > 1 else ""
        several = {f"_{slug}": name for slug, name in slugs_of_several(people).items()} if group == "erased" else {}
        for ending, name in several.items() or [("", title)]:
            before, after = (metrics.get(f"{group}_{when}{ending}") for when in ("before", "after"))
            rows.append({"title": name, "before": before, "after": after, "good": group == "bystanders"})
    rows += [{"title": f"{one.name}, erased earlier", "before": one.then, "after": one.after, "good": False}
             for one in earlier_people(metrics, manifest)]
    rows += _individuals(metrics)
    rows = [row for row in rows if row["before"] is not None and row["after"] is not None]
    for row in rows:
        row["beyond"] = _beyond(row["after"], marks.border, row["good"])
    rows.sort(key=lambda row: _worse(row["after"], row["good"]), reverse=True)
    low = min([0.0, *(row[when] for row in rows for when in ("before", "after"))])
    return {
        "rows": rows, "strangers": marks.strangers, "same": marks.same, "border": marks.border,
        "at": lambda value: round(100 * (min(max(value, low), 1.0) - low) / (1.0 - low), 2),
    }


def _individuals(metrics: Mapping[str, float | None]) -> list[dict[str, Any]]:
    """The one picture of a group that decides, where the group is more than one."""
    found = []
    for group, title in (("erased", "Erased, best recognised"), ("others", "Other pictures, best recognised")):
        if (metrics.get(f"n_{group}") or 0) > 1:
            before, after = (metrics.get(f"{group}_{name}") for name in ("lowest_before", "worst_after"))
            found.append({"title": title, "before": before, "after": after, "good": False})
    if (metrics.get("n_bystanders") or 0) > 1:
        found.append({"title": "Bystander who changed most", "before": 1.0,
                      "after": metrics.get("bystanders_worst_change"), "good": True})
    return found


def _beyond(after: float | None, border: float | None, good: bool) -> bool:
    """Whether somebody who should be gone is recognised, or somebody who should stay is not."""
    return after is not None and border is not None and (after < border if good else after >= border)


def _worse(after: float | None, good: bool) -> float:
    """The larger, the worse; people who should be gone and those who should stay on one scale."""
    return 0.0 if after is None else -after if good else after


def _facts(manifest: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The manifest as lines to read."""
    plain = ("status", "command", "seed", "device", "cpu", "threads", "kernels", "instructions", "platform",
             "started", "finished")
    facts = [(key, str(manifest[key])) for key in plain if manifest.get(key) is not None]
    facts.append(("time", seconds_text(manifest["seconds"])))
    for name, value in manifest["timings"].items():
        facts.append((f"time: {name}", seconds_text(value) if isinstance(value, int | float) else str(value)))
    memory = manifest["memory"]
    titles = {"peak_bytes": "peak memory", "cuda_peak_bytes": "peak GPU memory"}
    facts += [(title, bytes_text(memory[key])) for key, title in titles.items() if key in memory]
    facts += [(name, str(version)) for name, version in manifest["versions"].items()]
    plugins = manifest["plugins"].items()
    return facts + [(f"plugins: {name}", str(version)) for name, version in plugins if name != "unlearnkit"]


def _plain_hashes(manifest: Mapping[str, Any]) -> list[tuple[str, str]]:
    """SHA-256 of inputs by path, as older runs noted them; keyed ones say nothing to a reader."""
    return [] if manifest.get("inputs_keyed") else sorted(manifest["inputs"].items())


def _chain(manifest: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The earlier edits below this run, oldest first."""
    return [
        (f"earlier edit {number}: {link['path'] or 'not here'}", link["sha256"])
        for number, link in enumerate(manifest.get("chain") or (), 1)
    ]


def _dotted(settings: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    lines: list[tuple[str, str]] = []
    for key, value in settings.items():
        name = f"{prefix}{key}"
        lines += _dotted(value, f"{name}.") if isinstance(value, Mapping) else [(name, str(value))]
    return lines


def _join(names: list[str]) -> str:
    names = list(dict.fromkeys(names))
    return f"{', '.join(names[:-1])} and {names[-1]}" if len(names) > 1 else "".join(names) or "the person"
