"""What a finished run says in a certificate: gathered field by field, so that nothing of the person comes along.

Text that others wrote (plugins, files) is taken only where it looks like a name of a component or plain words, and
never if it names somebody.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from unlearnkit.certificates.anonymous import is_word, plain_words, two, word
from unlearnkit.certificates.schema import (
    EarlierRequest,
    Erasure,
    Judge,
    Kept,
    Method,
    Model,
    Pictures,
    VerdictFound,
)
from unlearnkit.certificates.worst import worst_attacks
from unlearnkit.edits.chain import EDIT, LATENTS, hashes_below
from unlearnkit.edits.file import load_edit
from unlearnkit.errors import EditError, RunError
from unlearnkit.files.atomic import sha256_file
from unlearnkit.numbers import Levels, levels
from unlearnkit.options.domains import ANY, is_domain
from unlearnkit.options.names import slugs
from unlearnkit.report.audits import audited, read_audits
from unlearnkit.report.earlier import earlier_people
from unlearnkit.report.of_run import run_metrics
from unlearnkit.report.table import sentences
from unlearnkit.report.verdict import verdict
from unlearnkit.runs import Run
from unlearnkit.runs.manifest import HASHED

__all__ = ["check_files", "collect"]

NOT_CLAIMED = (
    "That the generator was ever trained on pictures of these people, or that the right person was asked for.",
    "That nothing in the weights could give the people back: attacks and budgets that are not listed were not tried.",
    "That other encoders, or human eyes, do not recognise what this judge does not.",
    "That the original checkpoint, earlier copies, training pictures, latents, caches and reports were deleted: "
    "whoever has the original still has the people.",
    "That data, model or processing comply with any law: that is for the controller and the authority to say.",
    "That the person who signed looked at the pictures, or that the machine they ran on was honest.",
)
_PER_PERSON = ("erased_before", "erased_after", "erased_worst_after", "others_after", "others_worst_after")
_SECTIONS = ("method", "target", "generator", "inverter", "identity", "perceptual")


def check_files(run: Run) -> dict[str, str]:
    """The metadata of the edit of a finished run whose files are those that it wrote.

    :raises RunError: if it is not finished, or its files do not match its manifest; EditError: if its edit is damaged.
    """
    manifest = run.manifest
    if manifest["status"] != "finished":
        raise RunError(f"{run.path} is not finished ({manifest['status']}), so there is nothing to certify yet; "
                       f"finish it with: unlearnkit run --resume {run.path}")
    if not manifest.get("edit"):
        raise RunError(f"{run.path} is of an older version, which noted no hash of its edit; make the run again")
    for name in HASHED:
        if name != LATENTS or (run.path / name).exists():  # to delete the latents is good practice
            run.checked(name)
    for name, noted in manifest.get("audits", {}).items():
        if (run.path / name).exists() and sha256_file(run.path / name) != noted:
            raise RunError(f"{run.path / name} is not the file that its audit wrote; put that file back")
    edit = run.path / EDIT
    metadata = load_edit(edit)[1]
    noted = [link["sha256"] for link in manifest.get("chain", [])]
    if metadata["base_sha256"] != (manifest.get("base") or {}).get("sha256") or hashes_below(edit, metadata) != noted:
        raise EditError(f"{edit} stands on another base, or on other edits, than {run.path / 'manifest.json'} says; "
                        "restore them, or make the run again")
    return metadata


def collect(run: Run, metadata: Mapping[str, str], public_key: str, issued: datetime.datetime, days: int) -> Erasure:
    """The predicate about a run whose files :func:`check_files` has seen; it is valid for ``days`` days.

    :raises RunError: if a file of the run is damaged.
    """
    manifest, metrics, chosen = run.manifest, run_metrics(run), run.chosen
    request = run.request
    tables = read_audits(run)
    scale = levels(metrics)
    people = [f"person {number}" for number, _ in enumerate(request.names, 1)]
    names = [*request.names, *(name for link in manifest.get("chain", []) for name in link["people"] or ())]
    attacks = worst_attacks(tables, dict(zip(request.names, people, strict=True)), names)
    return Erasure(
        issued=_stamp(issued), expires=_stamp(issued + datetime.timedelta(days=days)),
        measured=str(manifest.get("finished"))[:10], people=len(people),
        model=Model(word(metadata["generator"]), metadata["base_sha256"], word(metadata["base_format"]),
                    tuple(hashes_below(run.path / EDIT, metadata))),
        method=Method(word(chosen.get("method")), manifest.get("steps"), dict(_settings(run.config))),
        versions=_versions(manifest["versions"]), plugins=_versions(manifest["plugins"]),
        judge=_judge(manifest, metrics, scale, word(chosen.get("judge")), names),
        pictures=tuple(_pictures(metrics)), kept=tuple(_kept(metrics)),
        audits=len(tables), attacks=attacks, earlier=tuple(_earlier(metrics, manifest, scale)),
        verdict=_verdict(run.request.names, metrics, manifest, people, _anonymous(tables, names)),
        not_claimed=(*NOT_CLAIMED, *_gaps(run, metrics, manifest, tables)), public_key=public_key,
    )


# ---------------------------------------------------------------- conditions

def _settings(config: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    """Numbers, switches and names of components; texts and lists may be paths or latents, seeds may draw a person."""
    tables = {section: config.get(section) for section in _SECTIONS}
    losses = config.get("loss")
    if isinstance(losses, Mapping):
        tables |= {f"loss.{name}": table for name, table in losses.items() if is_word(name)}
    for section, table in tables.items():
        for key, value in (table.items() if isinstance(table, Mapping) else ()):
            if key == "name" and is_word(value):
                if section != "method":  # it has a field of its own
                    yield section, str(value)
            elif isinstance(value, bool | int | float) and "seed" not in key and is_word(key):
                yield f"{section}.{key}", str(value).lower()


def _judge(
    manifest: Mapping[str, Any], metrics: Mapping[str, float | None], scale: Levels, name: str, names: Sequence[str],
) -> Judge:
    domains = manifest.get("domains") or {}
    knows, draws = (str(domains.get(section, ANY)) for section in ("judge", "generator"))
    if scale.border is None:
        source = "unknown"
    elif metrics.get("strangers_level") is None and metrics.get("border_level") is None:
        source = "measured on the pictures of this run, for the judge has none of its own"
    else:
        told = manifest.get("levels_source")
        source = plain_words(told, names) or "the judge's own"
    return Judge(
        name, knows if is_domain(knows) else ANY, draws if is_domain(draws) else ANY,
        two(scale.strangers), two(scale.same), two(scale.border), source,
    )


def _versions(found: Mapping[str, Any]) -> dict[str, str]:
    return {name: text for name, value in found.items()
            if is_word(name) and re.fullmatch(r"[A-Za-z0-9.+_-]{1,60}|not installed", text := str(value))}


# ---------------------------------------------------------------- results

def _pictures(metrics: Mapping[str, float | None]) -> Iterable[Pictures]:
    for group, title in (("erased", "erased pictures"), ("others", "other pictures")):
        judged = _count(metrics, f"n_{group}_judged", f"n_{group}")
        if judged:
            yield Pictures(title, judged, _count(metrics, f"n_{group}_recognised_before"),
                           _count(metrics, f"n_{group}_recognised"),
                           two(_first(metrics, f"{group}_worst_after", f"{group}_after")))


def _kept(metrics: Mapping[str, float | None]) -> Iterable[Kept]:
    if judged := _count(metrics, "n_bystanders"):
        yield Kept("bystanders", judged, _count(metrics, "n_bystanders_changed"),
                   two(_first(metrics, "bystanders_worst_change", "bystanders_change")))
    if judged := _count(metrics, "n_preserved"):
        yield Kept("random people", judged, None, two(metrics.get("preserved_identity_worst")))


def _earlier(
    metrics: Mapping[str, float | None], manifest: Mapping[str, Any], scale: Levels
) -> Iterable[EarlierRequest]:
    for number, one in enumerate(earlier_people(metrics, manifest), 1):
        yield EarlierRequest(
            f"earlier person {number}", round(one.before, 2), round(one.then, 2), round(one.after, 2),
            None if scale.border is None else one.came_back(scale.border),
        )


def _verdict(
    names: Sequence[str], metrics: Mapping[str, float | None], manifest: Mapping[str, Any], people: Sequence[str],
    audits: Mapping[str, Sequence[Mapping[str, Any]]],
) -> VerdictFound:
    """The verdict of the report, from the same numbers, about people by number."""
    links, count, numbers = [], 0, dict(metrics)
    for link in manifest.get("chain", []):
        known = link["people"]
        links.append({**link, "people": None if known is None else
                      [f"earlier person {count + number}" for number, _ in enumerate(known, 1)]})
        count += len(known or ())
    _rename(numbers, names, people, [f"{name}_" for name in _PER_PERSON], [""])
    old, new = ([name for link in chain for name in link["people"] or ()]
                for chain in (manifest.get("chain", []), links))
    _rename(numbers, old, new, ["earlier_"], ["_before", "_then", "_after"])
    bystanders = [f"bystander {number}" for number in range(1, (_count(metrics, "n_bystanders") or 0) + 1)]
    known_facts = {"chain": links, "domains": manifest.get("domains")}
    found = verdict(numbers, known_facts, people, bystanders, audited(audits))
    return VerdictFound(found.tone, found.answer, tuple(sentences(found)))


def _anonymous(
    tables: Mapping[str, Sequence[Mapping[str, Any]]], names: Sequence[str]
) -> dict[str, list[dict[str, Any]]]:
    """What the verdict needs of audits, with its words made anew."""
    return {name: [{
        "tone": result["tone"], "attack": word(result["attack"]), "effort_to_recognise": result["effort_to_recognise"],
        "answer": f"{result['effort_to_recognise']} {plain_words(result.get('unit'), names) or 'units of effort'}",
    } for result in results] for name, results in tables.items()}


def _rename(
    numbers: dict[str, float | None], old: Sequence[str], new: Sequence[str], before: Sequence[str],
    behind: Sequence[str],
) -> None:
    """Let the numbers of each old name be those of the new one, in place."""
    pairs = list(zip(slugs(old), slugs(new), strict=True))
    known = dict(numbers)
    for left in before:
        for right in behind:
            for _, slug in pairs:
                numbers.pop(f"{left}{slug}{right}", None)
            numbers |= {f"{left}{slug}{right}": known[f"{left}{was}{right}"] for was, slug in pairs
                        if f"{left}{was}{right}" in known}


def _gaps(
    run: Run, metrics: Mapping[str, float | None], manifest: Mapping[str, Any], tables: Mapping[str, Any]
) -> Iterable[str]:
    """What was not even measured in this run."""
    if not tables:
        yield "That the people cannot be brought back: no audit was made of this edit."
    gone = [name for name in manifest.get("audits", {}) if name not in tables]
    if gone:
        yield f"That every audit is counted: {len(gone)} of {len(gone) + len(tables)} are no longer there."
    if again := len(list(run.path.glob("measured*.json"))):
        yield f"That later measurements agree: {again} made with 'unlearnkit measure' are not part of this account."
    if not metrics.get("n_others"):
        yield "That other pictures of the people are forgotten: none was measured."
    chain = manifest.get("chain", [])
    people = sum(len(link["people"] or ()) for link in chain)
    unknown = sum(link["people"] is None for link in chain)
    left = people - len(earlier_people(metrics, manifest))
    if unknown or left:
        yield (f"That everybody erased earlier is still forgotten: {left} people and the people of {unknown} of "
               f"{len(chain)} earlier edits were not measured again.")


# ---------------------------------------------------------------- reading numbers

def _count(metrics: Mapping[str, float | None], *names: str) -> int | None:
    value = _first(metrics, *names)
    return None if value is None else round(value)


def _first(metrics: Mapping[str, float | None], *names: str) -> float | None:
    return next((value for name in names if (value := metrics.get(name)) is not None), None)


def _stamp(time: datetime.datetime) -> str:
    return time.astimezone(datetime.UTC).isoformat(timespec="seconds")
