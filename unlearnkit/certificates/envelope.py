"""Signing and opening: DSSE envelopes with Ed25519 or ECDSA P-256 keys, offline. Imports no torch.

Envelope, signature schemes and the reading of keys are those of securesystemslib and pyca/cryptography. A key is known
by its fingerprint, the SHA-256 of its public half in DER: ``openssl pkey -pubin -in FILE -outform DER | sha256sum``.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs

from unlearnkit.certificates.schema import CertificateError, Statement, from_plain, to_plain
from unlearnkit.errors import ConfigError
from unlearnkit.files import atomic
from unlearnkit.files.plain import json_bytes, parse_json
from unlearnkit.files.reading import read_file

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes, PublicKeyTypes
    from securesystemslib.dsse import Envelope
    from securesystemslib.signer import SSlibKey

__all__ = ["PASSPHRASE", "PAYLOAD", "Opened", "open_envelope", "new_key", "public_pem", "read_private", "read_public",
           "seal"]

PAYLOAD = "application/vnd.in-toto+json"
PASSPHRASE = "UNLEARNKIT_KEY_PASSPHRASE"
"""Environment variable with the passphrase of an encrypted private key."""

_MOST = 1 << 20
_KEY_MOST = 1 << 16
_SIGNATURES = 8
_KINDS = "expected an Ed25519 or ECDSA P-256 key in PEM"


@attrs.frozen
class Opened:
    """A statement whose signature is intact, and the fingerprint of the key that made it."""

    statement: Statement
    fingerprint: str


# ---------------------------------------------------------------- keys

def new_key(path: Path) -> tuple[Path, str]:
    """Write a new Ed25519 key: the private half to ``path`` (mode 0600), the public half beside it as ``NAME.pub``.

    Neither is ever written over another file. Returns the path of the public half and the fingerprint.

    :raises RunError: if a file cannot be written; ConfigError: if the extra ``certify`` is not installed.
    """
    with _installed():
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
        from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
    key, public = Ed25519PrivateKey.generate(), path.with_name(f"{path.name}.pub")
    if os.path.lexists(public):
        raise ConfigError(f"{public} already exists and is never overwritten; choose another name")
    with atomic.plain_errors("write", path):
        private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        atomic.write_new(path, private, atomic.PRIVATE)
        atomic.write_new(public, public_pem(key).encode())
    return public, _ours(key.public_key()).keyid


def read_private(path: Path) -> PrivateKeyTypes:
    """A private key in PEM; its passphrase, if it has one, is in the environment (:data:`PASSPHRASE`).

    :raises ConfigError: for anything else.
    """
    with _installed():
        from cryptography.hazmat.primitives.serialization import load_pem_private_key
    secret = os.environ.get(PASSPHRASE)
    try:
        key = load_pem_private_key(_read_key(path), secret.encode() if secret else None)
    except TypeError:  # a passphrase that is missing or too many
        raise ConfigError(f"{path}: {PASSPHRASE} holds a passphrase, and this key has none; unset it" if secret else
                          f"{path} is protected by a passphrase; put it into {PASSPHRASE}") from None
    except Exception as error:  # cryptography raises several kinds, and those of OpenSSL
        why = f", or the passphrase in {PASSPHRASE} is wrong" if secret else ""
        raise ConfigError(f"{path} is no private key{why}: {_KINDS}") from error
    _check(key.public_key(), path)
    return key


def read_public(path: Path) -> PublicKeyTypes:
    """A public key in PEM.

    :raises ConfigError: for anything else.
    """
    return _public(_read_key(path), path)


def public_pem(key: PrivateKeyTypes) -> str:
    """The public half in PEM."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def _public(pem: bytes, where: Path | str) -> PublicKeyTypes:
    with _installed():
        from cryptography.hazmat.primitives.serialization import load_pem_public_key
    try:
        key = load_pem_public_key(pem)
    except Exception as error:
        raise ConfigError(f"{where} is no public key: {_KINDS}") from error
    _check(key, where)
    return key


def _check(key: PublicKeyTypes, where: Path | str) -> None:
    from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    p256 = isinstance(key, EllipticCurvePublicKey) and isinstance(key.curve, SECP256R1)
    if not p256 and not isinstance(key, Ed25519PublicKey):
        raise ConfigError(f"{where} holds a key of another kind: {_KINDS}")


def _ours(key: PublicKeyTypes) -> SSlibKey:
    """securesystemslib's key, named by its fingerprint."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
    from securesystemslib.signer import SSlibKey

    der = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return SSlibKey.from_crypto(key, keyid=hashlib.sha256(der).hexdigest())


def _read_key(path: Path) -> bytes:
    with atomic.plain_errors("read", path):
        return read_file(path, _KEY_MOST)


@contextlib.contextmanager
def _installed() -> Iterator[None]:
    try:
        import securesystemslib.dsse
        import securesystemslib.signer  # noqa: F401

        yield
    except ImportError as error:
        raise ConfigError("certificates need two more packages: pip install 'unlearnkit[certify]'") from error


# ---------------------------------------------------------------- sign, open

def seal(statement: Statement, key: PrivateKeyTypes) -> bytes:
    """A signed certificate, as its file holds it."""
    with _installed():
        from securesystemslib.dsse import Envelope
        from securesystemslib.signer import CryptoSigner
    envelope = Envelope(json_bytes(to_plain(statement)), PAYLOAD, {})
    _statement(envelope)  # nothing is signed that no reader would take
    envelope.sign(CryptoSigner(key, _ours(key.public_key())))
    return json_bytes(envelope.to_dict())


def open_envelope(path: Path, key: PublicKeyTypes | None = None) -> Opened:
    """Read a certificate and check its signature, with the key that it brings along or with ``key`` alone.

    :raises CertificateError: if it is no certificate, or its signature is broken or made by another key.
    """
    envelope = _read_envelope(path)
    if key is None:
        statement = _statement(envelope)
        try:
            known = _ours(_public(statement.predicate.public_key.encode(), "its public key"))
        except ConfigError as error:
            raise CertificateError(str(error)) from error
        _verify(envelope, known)
        return Opened(statement, known.keyid)
    known = _ours(key)  # a stranger's statement is not even read
    if known.keyid not in envelope.signatures:
        made = ", ".join(sorted(short[:16] for short in envelope.signatures if short.isalnum()))
        raise CertificateError(f"it is signed by another key (SHA256:{made}...) than the one you gave "
                               f"(SHA256:{known.keyid[:16]}...)")
    _verify(envelope, known)
    return Opened(_statement(envelope), known.keyid)


def _verify(envelope: Envelope, key: SSlibKey) -> None:
    from securesystemslib.exceptions import VerificationError

    try:
        envelope.verify([key], 1)
    except VerificationError as error:
        raise CertificateError("it was changed after it was signed: the signature does not fit its content") from error


def _read_envelope(path: Path) -> Envelope:
    """The envelope in a file, its form checked; nothing in it is trusted yet."""
    with _installed():
        from securesystemslib.dsse import Envelope
    try:
        value = parse_json(read_file(path, _MOST))
    except OSError as error:
        raise CertificateError(f"it cannot be read: it {error.strerror or error}") from error
    except ValueError as error:  # also what is not UTF-8
        raise CertificateError(f"it is no JSON: {str(error)[:120]}") from error
    if not isinstance(value, dict) or not _is_envelope(value):
        raise CertificateError("it is no DSSE envelope: expected payload, payloadType and signatures")
    if value["payloadType"] != PAYLOAD:
        raise CertificateError(f"its payload is {value['payloadType'][:80]!r}, expected {PAYLOAD!r}")
    try:
        # A copy: from_dict takes the signatures apart.
        envelope = Envelope.from_dict({**value, "signatures": [dict(one) for one in value["signatures"]]})
        again = envelope.to_dict()
    except (KeyError, TypeError, ValueError) as error:  # binascii's errors are ValueErrors
        raise CertificateError(f"it is a damaged DSSE envelope: {str(error)[:120]}") from error
    if any(again[part] != value[part] for part in again):  # Base64 has several spellings for the same bytes
        raise CertificateError("it is a damaged DSSE envelope: its Base64 is not as it was written")
    return envelope


def _is_envelope(value: dict[str, Any]) -> bool:
    signatures = value.get("signatures")
    return (
        isinstance(value.get("payload"), str) and isinstance(value.get("payloadType"), str)
        and isinstance(signatures, list) and 1 <= len(signatures) <= _SIGNATURES
        and all(isinstance(one, dict) and isinstance(one.get("keyid"), str) and isinstance(one.get("sig"), str)
                for one in signatures)
    )


def _statement(envelope: Envelope) -> Statement:
    try:
        return from_plain(parse_json(envelope.payload))
    except ValueError as error:
        if isinstance(error, CertificateError):
            raise
        raise CertificateError(f"its payload is no JSON: {str(error)[:120]}") from error
