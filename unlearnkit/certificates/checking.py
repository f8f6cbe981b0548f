"""Check a certificate: signature, time, file. Every reason to refuse it is one line. Imports no torch."""

from __future__ import annotations

import datetime
from pathlib import Path

import attrs

from unlearnkit.certificates.envelope import open_envelope, read_public
from unlearnkit.certificates.schema import CertificateError, Statement
from unlearnkit.files.atomic import sha256_file

__all__ = ["Checked", "check"]

_CLOCKS = datetime.timedelta(minutes=5)
"""How far two computers' clocks may be apart."""


@attrs.frozen
class Checked:
    """What was found.

    * ``reasons``: why the certificate is refused, one line each; empty: it holds
    * ``statement``, ``fingerprint``: what it says and who signed it; None where the signature does not hold
    * ``trusted``: whether it was made with the key that the reader gave; otherwise nobody knows whose it is
    * ``compared``: the subject that the reader's file is, such as ``edited checkpoint``; None without a file
    """

    reasons: tuple[str, ...]
    statement: Statement | None = None
    fingerprint: str | None = None
    trusted: bool = False
    compared: str | None = None


def check(
    certificate: Path, checkpoint: Path | None = None, public_key: Path | None = None,
    now: datetime.datetime | None = None,
) -> Checked:
    """Check a certificate, offline; ``checkpoint`` must be one of its subjects, ``now`` is the time (by default, now).

    :raises ConfigError: if ``public_key`` is none; RunError: if ``checkpoint`` cannot be read.
    """
    key = None if public_key is None else read_public(public_key)
    try:
        opened = open_envelope(certificate, key)
    except CertificateError as error:
        return Checked((str(error),))
    statement, reasons, compared = opened.statement, _time_reasons(opened.statement, now), None
    if checkpoint is not None:
        found = sha256_file(checkpoint)
        compared = next((one.name for one in statement.subject if one.sha256 == found), None)
        if compared is None:
            about = " and ".join(f"the {one.name} {one.sha256[:16]}..." for one in statement.subject)
            reasons.append(f"{checkpoint} (SHA-256 {found[:16]}...) is another file than those it is about: {about}")
    return Checked(tuple(reasons), statement, opened.fingerprint, key is not None, compared)


def _time_reasons(statement: Statement, now: datetime.datetime | None) -> list[str]:
    now = now or datetime.datetime.now(datetime.UTC)
    issued, expires = (datetime.datetime.fromisoformat(text)
                       for text in (statement.predicate.issued, statement.predicate.expires))
    if expires <= now:
        return [f"it expired on {expires:%Y-%m-%d}; audit the run again and issue a new one"]
    if issued > now + _CLOCKS:
        return [f"it was issued in the future ({issued:%Y-%m-%d %H:%M} UTC); check the clock of this computer"]
    return []
