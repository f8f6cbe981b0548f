"""What a certificate says: the predicate of an in-toto statement, as records. Imports no torch.

No field has a place for a name, a path, a picture, a latent or a hash of one: people are ``person 1``, similarities
have two decimals, settings are numbers, switches and names of components. Readers ignore fields they do not know, as
in-toto asks; a change of meaning needs another :data:`PREDICATE`.
"""

from __future__ import annotations

import datetime
import re
from typing import Any

import attrs
from attrs import field
from attrs.validators import deep_iterable, ge, in_, matches_re, max_len, min_len

from unlearnkit.errors import UnlearnkitError
from unlearnkit.results.schema import first_problem, make_converter

__all__ = [
    "CHECKPOINT", "EDIT", "FAMILY", "PREDICATE", "STATEMENT", "AttackFound", "CertificateError", "EarlierRequest",
    "Erasure", "Judge", "Kept", "Method", "Model", "Pictures", "Statement", "Subject", "VerdictFound", "from_plain",
    "to_plain",
]

STATEMENT = "https://in-toto.io/Statement/v1"
FAMILY = "https://github.com/unlearnkit/unlearnkit/attestations/erasure/"
PREDICATE = FAMILY + "v1"
"""Type of the predicate; its JSON schema is ``unlearnkit/certificates/erasure.schema.json``."""

EDIT, CHECKPOINT = "edit.safetensors", "edited checkpoint"
"""Names of the two subjects; those of files on the issuer's disk are nobody's business."""

TONES = ("good", "mixed", "bad", "unknown")
_SHA256 = matches_re(r"[0-9a-f]{64}")


class CertificateError(UnlearnkitError, ValueError):
    """Why a certificate is refused, one line."""


def _help(sentence: str) -> dict[str, str]:
    return {"help": sentence}


def _time(_: Any, attribute: Any, value: str) -> None:
    if datetime.datetime.fromisoformat(value).tzinfo is None:
        raise ValueError(f"{attribute.name}: got {value!r}, expected a time with its zone: 2026-01-31T12:00:00Z")


@attrs.frozen
class Subject:
    """A file that the statement is about."""

    name: str = field(validator=in_((EDIT, CHECKPOINT)), metadata=_help(
        f"'{EDIT}': the changed tensors; '{CHECKPOINT}': the base with them on it"))
    digest: dict[str, str] = field(metadata=_help("sha256: of the file's bytes, in hexadecimal"))

    @digest.validator
    def _check(self, _: Any, value: dict[str, str]) -> None:
        if not re.fullmatch(r"[0-9a-f]{64}", value.get("sha256", "")):
            raise ValueError("digest: expected a sha256 of 64 hexadecimal digits")

    @property
    def sha256(self) -> str:
        """SHA-256 of the file."""
        return self.digest["sha256"]


@attrs.frozen
class Model:
    """What the edit was made for."""

    generator: str = field(metadata=_help("the generator's registered name"))
    base_sha256: str = field(validator=_SHA256, metadata=_help("SHA-256 of the original checkpoint"))
    base_format: str = field(metadata=_help("format of the original checkpoint"))
    earlier_edits: tuple[str, ...] = field(validator=deep_iterable(_SHA256), metadata=_help(
        "SHA-256 of the edits that this one contains, oldest first"))


@attrs.frozen
class Method:
    """How the person was erased."""

    name: str = field(metadata=_help("the method's registered name"))
    steps: int | None = field(metadata=_help("optimiser steps that were taken; null for a method without"))
    settings: dict[str, str] = field(metadata=_help(
        "numbers, switches and names of components by dotted name; texts, paths and seeds are left out"))


@attrs.frozen
class Judge:
    """The identity encoder that measured; no loss has used it."""

    name: str = field(metadata=_help("its registered name"))
    domain: str = field(metadata=_help("whose faces it knows: photographs, synthetic-renders, any, ..."))
    generator_domain: str = field(metadata=_help("whose faces the generator draws"))
    strangers: float | None = field(metadata=_help("its similarity of two strangers"))
    same_person: float | None = field(metadata=_help("its similarity of two pictures of one person"))
    border: float | None = field(metadata=_help("from here on it recognises a person; null: unknown"))
    source: str = field(metadata=_help("where these levels come from"))


@attrs.frozen
class Pictures:
    """How many pictures of the people the judge recognises: individuals, no mean."""

    group: str = field(validator=in_(("erased pictures", "other pictures")), metadata=_help(
        "erased pictures: those given to the method; other pictures: of the same people, kept from it"))
    judged: int = field(validator=ge(0), metadata=_help("how many pictures"))
    recognised_before: int | None = field(metadata=_help("how many of them before the edit; null: unknown"))
    recognised_after: int | None = field(metadata=_help("how many of them after the edit; null: unknown"))
    best_after: float | None = field(metadata=_help("highest similarity after the edit, cosine"))


@attrs.frozen
class Kept:
    """People who were to stay as they are."""

    group: str = field(validator=in_(("bystanders", "random people")), metadata=_help("who they are"))
    judged: int = field(validator=ge(0), metadata=_help("how many people"))
    changed: int | None = field(metadata=_help("how many of them the judge takes for somebody else; null: not counted"))
    lowest: float | None = field(metadata=_help("lowest similarity of a person before to after, cosine"))


@attrs.frozen
class AttackFound:
    """The worst case of one attack, over all audits and people."""

    attack: str = field(metadata=_help("the attack's registered name"))
    person: str = field(validator=matches_re(r"person \d+"), metadata=_help("whom it was tried on"))
    holds: tuple[str, ...] = field(metadata=_help("what this attacker has; empty: the attack does not declare it"))
    unit: str = field(metadata=_help("what effort is counted in, such as optimiser steps"))
    budget: int = field(validator=ge(1), metadata=_help("most effort that the attack was granted"))
    effort: int | None = field(metadata=_help("effort that brought the person back; null: not within the budget"))
    best: float | None = field(metadata=_help("highest similarity that it reached, cosine"))
    tone: str = field(validator=in_(TONES), metadata=_help("good: withstood; bad and mixed: it succeeds; unknown"))
    control: str = field(metadata=_help("ceiling: where the person still is; floor: where they never were"))
    control_best: float | None = field(metadata=_help("highest similarity of the control"))
    control_effort: int | None = field(metadata=_help("effort of the control; null: not within the budget"))
    numbers: dict[str, float] = field(metadata=_help(
        "what else it found: speedup over the control, rank among candidates, share recognised, ..."))
    tries: int = field(validator=ge(1), metadata=_help("how often it was tried: audits times people"))


@attrs.frozen
class EarlierRequest:
    """Somebody whom an earlier edit erased, measured again on this one."""

    person: str = field(validator=matches_re(r"earlier person \d+"), metadata=_help("who, oldest first"))
    before: float = field(metadata=_help("similarity in the original checkpoint"))
    then: float = field(metadata=_help("similarity with the earlier edits"))
    after: float = field(metadata=_help("similarity now"))
    recognised: bool | None = field(metadata=_help("whether the judge recognises them now; null: unknown"))


@attrs.frozen
class VerdictFound:
    """The verdict of the run's report, audits included, with people by number."""

    tone: str = field(validator=in_(TONES), metadata=_help("good, mixed, bad or unknown"))
    answer: str = field(metadata=_help("a few words"))
    sentences: tuple[str, ...] = field(metadata=_help("the findings behind it"))


@attrs.frozen
class Erasure:
    """The predicate: what was done, what was measured, and what is not claimed."""

    issued: str = field(validator=_time, metadata=_help("when it was signed, ISO 8601, by the issuer's clock"))
    expires: str = field(validator=_time, metadata=_help("until when it may be relied on; attacks get better"))
    measured: str = field(validator=matches_re(r"\d{4}-\d\d-\d\d"), metadata=_help("the day the run was finished, UTC"))
    people: int = field(validator=ge(1), metadata=_help("how many people were erased"))
    model: Model = field(metadata=_help("what was edited"))
    method: Method = field(metadata=_help("how"))
    versions: dict[str, str] = field(metadata=_help("versions of unlearnkit, Python, torch, ..."))
    plugins: dict[str, str] = field(metadata=_help("versions of plugin distributions"))
    judge: Judge = field(metadata=_help("who measured"))
    pictures: tuple[Pictures, ...] = field(metadata=_help("results for the people erased"))
    kept: tuple[Kept, ...] = field(metadata=_help("results for the people to keep"))
    audits: int = field(validator=ge(0), metadata=_help("how many audits were made"))
    attacks: tuple[AttackFound, ...] = field(metadata=_help("worst cases, the weakest point first"))
    earlier: tuple[EarlierRequest, ...] = field(metadata=_help("re-test of earlier requests"))
    verdict: VerdictFound = field(metadata=_help("what it all comes to"))
    not_claimed: tuple[str, ...] = field(metadata=_help("what must not be read into it"))
    public_key: str = field(validator=max_len(4096), metadata=_help(
        "the issuer's key, PEM; it proves that nothing changed, not whose it is"))


@attrs.frozen
class Statement:
    """An in-toto statement whose predicate is an :class:`Erasure`."""

    subject: tuple[Subject, ...] = field(validator=[min_len(1), max_len(2)])
    predicate: Erasure


def to_plain(statement: Statement) -> dict[str, Any]:
    """A statement as its JSON holds it."""
    return {
        "_type": STATEMENT, "subject": [attrs.asdict(subject) for subject in statement.subject],
        "predicateType": PREDICATE, "predicate": attrs.asdict(statement.predicate),
    }


def from_plain(value: Any) -> Statement:
    """A statement from what JSON held, checked field by field; fields that nobody knows are ignored.

    :raises CertificateError: naming what is wrong.
    """
    if not isinstance(value, dict) or value.get("_type") != STATEMENT:
        raise CertificateError(f"it holds no in-toto statement of type {STATEMENT}")
    kind = value.get("predicateType")
    if kind != PREDICATE:
        if isinstance(kind, str) and kind.startswith(FAMILY):
            raise CertificateError(f"its version is {kind.removeprefix(FAMILY)[:20]!r}, and this unlearnkit reads "
                                   f"{PREDICATE.removeprefix(FAMILY)!r}; update unlearnkit")
        raise CertificateError(f"it is no certificate of erasure: its predicate is {str(kind)[:80]!r}")
    try:
        statement: Statement = _CONVERTER.structure(
            {"subject": value.get("subject"), "predicate": value.get("predicate")}, Statement)
    except Exception as error:  # cattrs raises groups of whatever went wrong
        raise CertificateError(f"it is malformed: {first_problem(error, 'certificate')}") from error
    return statement


_CONVERTER = make_converter(forbid_extra_keys=False)
