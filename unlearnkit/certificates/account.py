"""A certificate in plain words, about a page long. Imports no torch."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

from unlearnkit.certificates.checking import Checked
from unlearnkit.certificates.schema import AttackFound, EarlierRequest, Erasure, Kept, Pictures, Statement

__all__ = ["account"]

_WIDTH = 100
_LONGEST = 600
_MOST_SETTINGS = 40


def account(checked: Checked) -> str:
    """What a certificate that holds says, what it does not, and who says it.

    Its texts may be a stranger's: what no terminal should see is replaced.
    """
    statement = checked.statement
    assert statement is not None
    return "\n".join(_plain(line) for block in _blocks(checked, statement) for line in block) + "\n"


def _blocks(checked: Checked, statement: Statement) -> Iterator[list[str]]:
    found = statement.predicate
    yield ["CERTIFICATE OF ERASURE", *_who(checked), *_validity(found), ""]
    yield ["What it is about", *(f"  {one.name}  SHA-256 {one.sha256}" for one in statement.subject),
           *_item(_compared(checked)), *_model(found), ""]
    yield ["What was done", *_done(found), ""]
    yield [f"What was found (measured {found.measured})", *_item(f"Verdict: {found.verdict.answer}."),
           *(line for text in found.verdict.sentences for line in _item(text)), *_results(found), ""]
    yield [_attacked(found), *(line for attack in found.attacks for line in _item(_attack(attack))), ""]
    if found.earlier:
        yield ["Earlier requests, tested again", *(line for one in found.earlier for line in _item(_earlier(one))), ""]
    yield ["What is NOT claimed", *(line for text in found.not_claimed for line in _item(f"- {text}", "    "))]


# ---------------------------------------------------------------- head

def _who(checked: Checked) -> list[str]:
    key = f"Signed by the key SHA256:{checked.fingerprint}"
    if checked.trusted:
        return [key, "  which is the key you gave: the signature is intact, and theirs."]
    return [key, *_item("The signature is intact, whose it is unknown: anybody can make a key and sign. Get the "
                        "issuer's public key from them by another way, and give it with --public-key.")]


def _validity(found: Erasure) -> list[str]:
    return [f"Issued {found.issued}, valid until {found.expires}"]


def _compared(checked: Checked) -> str:
    if checked.compared is None:
        return "No file was compared with it: give yours with --checkpoint."
    return f"The file you gave is the {checked.compared}, bit for bit."


def _model(found: Erasure) -> list[str]:
    model = found.model
    below = model.earlier_edits
    lines = [f"  made from a {model.base_format} checkpoint of generator '{model.generator}'",
             f"  SHA-256 of that original  {model.base_sha256}"]
    lines += [f"  earlier edit within it  SHA-256 {one}" for one in below]
    return lines if below else [*lines, "  no earlier edit within it"]


def _done(found: Erasure) -> Iterator[str]:
    people = "one person" if found.people == 1 else f"{found.people} people"
    steps = "" if found.method.steps is None else f", {found.method.steps} steps"
    yield from _item(f"Method '{found.method.name}'{steps}, to erase {people}.")
    settings = [f"{name} {value}" for name, value in found.method.settings.items()]
    if settings:
        more = len(settings) - _MOST_SETTINGS
        rest = f", and {more} more" if more > 0 else ""
        yield from _item(f"Settings: {', '.join(settings[:_MOST_SETTINGS])}{rest}.")
    versions = [f"{name} {version}" for name, version in (found.plugins | found.versions).items()]
    yield from _item(f"With {', '.join(versions)}.")


# ---------------------------------------------------------------- results

def _results(found: Erasure) -> Iterator[str]:
    judge = found.judge
    border = "unknown" if judge.border is None else f"from {judge.border:.2f} on"
    levels = ", ".join(f"{what} {value:.2f}" for what, value in (
        ("strangers", judge.strangers), ("one person", judge.same_person)) if value is not None)
    used = "which the losses used too" if judge.name == found.method.settings.get("identity") else "not of the losses"
    yield from _item(f"Judge '{judge.name}' ({used}) recognises a person {border}"
                     f"{f' ({levels})' if levels else ''}; it knows {_words(judge.domain)}, the generator draws "
                     f"{_words(judge.generator_domain)}. Levels: {judge.source.rstrip('.')}.")
    for pictures in found.pictures:
        yield from _item(_pictures(pictures))
    for kept in found.kept:
        yield from _item(_kept(kept))


def _pictures(one: Pictures) -> str:
    after = "an unknown number" if one.recognised_after is None else str(one.recognised_after)
    before = "" if one.recognised_before is None else f", before {one.recognised_before}"
    best = "" if one.best_after is None else f"; highest similarity {one.best_after:.2f}"
    return f"{after} of {one.judged} {_plural(one.group, one.judged)} recognised after{before}{best}."


def _kept(one: Kept) -> str:
    lowest = "" if one.lowest is None else f"lowest similarity before to after {one.lowest:.2f}"
    group = {"random people": "random person"}.get(one.group, one.group) if one.judged == 1 else one.group
    if one.changed is None:
        return f"{one.judged} {group}: {lowest or 'not counted'}."
    return f"{one.changed} of {one.judged} {_plural(group, one.judged)} turned into somebody else; {lowest}."


def _attacked(found: Erasure) -> str:
    if not found.audits:
        return "Attacks: NONE WERE TRIED"
    return f"Attacks, worst case of each, weakest point first ({found.audits} audit{'s' if found.audits > 1 else ''})"


def _attack(one: AttackFound) -> str:
    holds = ", ".join(one.holds) or "not declared"
    came = f"{one.person} comes back after {one.effort} of {one.budget} {one.unit}"
    if one.effort is None:
        came = f"{one.person} does not come back within {one.budget} {one.unit}"
    elif one.effort == 0:
        came = f"{one.person} is recognised without effort"
    best = "" if one.best is None else f", best similarity {one.best:.2f}"
    control = ""
    if one.control in ("ceiling", "floor"):
        needs = "not within the budget" if one.control_effort is None else f"after {one.control_effort}"
        where = "in the original" if one.control == "ceiling" else "where they never were"
        control = f"; {where}: {needs}" + ("" if one.control_best is None else f", {one.control_best:.2f}")
    return f"{one.attack} [{one.tone}]: {came}{best}{control}. The attacker has: {holds}."


def _earlier(one: EarlierRequest) -> str:
    now = {True: "is recognised", False: "is still forgotten", None: "cannot be judged"}[one.recognised]
    return f"{one.person} {now}: similarity {one.before:.2f} in the original, {one.then:.2f} then, {one.after:.2f} now."


# ---------------------------------------------------------------- text

def _plural(group: str, count: int) -> str:
    return group.removesuffix("s") if count == 1 else group


def _words(domain: str) -> str:
    return "faces of any kind" if domain == "any" else domain.replace("-", " ")


def _item(text: str, behind: str = "  ") -> list[str]:
    return textwrap.wrap(_plain(text)[:_LONGEST], _WIDTH, initial_indent="  ", subsequent_indent=behind)


def _plain(text: str) -> str:
    """Text without control characters, which could make a terminal show something else."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)
